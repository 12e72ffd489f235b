"""All violations of a snapshot at once: structure, presence, values, and the rules.

A snapshot is checked in parts: each folded application by itself, and the frame around them. What
was found in a part stays with it, so that after an edit only what it touched is looked at again;
the rules that compare applications are asked each time. `tests/core/test_incremental.py` shows
that the answer is the one from scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from operator import is_not

from omeconf.core.build import build, build_alone
from omeconf.core.document import Document
from omeconf.core.effective import EffectiveElement, FoldedItems, keep_at_hand
from omeconf.core.fold import APPLICATION, AROUND, Block
from omeconf.core.inspect import inspect
from omeconf.core.lint import (
    APPLICATION_LINTS,
    COMPARED,
    LINTS_BETWEEN,
    MODULES,
    SERVER_LINTS,
    needs,
    not_bound,
)
from omeconf.core.logger import check_logger
from omeconf.core.rules import APPLICATION_RULES, RULED, RULES_BETWEEN, SERVER_RULES, Rule
from omeconf.core.schema import Release, Schema
from omeconf.core.snapshot import Snapshot
from omeconf.core.violation import Severity, Violation, sort_key


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in one application, wherever it stands: lines and paths are its own."""

    violations: tuple[Violation, ...]
    needs: frozenset[str]
    """All parts of Bind that it needs."""


@dataclass(frozen=True, slots=True)
class FrameVerdict:
    """What was found in the frame of a snapshot, and outside of its files."""

    violations: tuple[tuple[Violation, int | None], ...]
    """With the offset in the frame of its file, from which its line is told again; None where
    that is not needed."""
    bound: frozenset[str]
    """The parts of Bind that are there, of those that applications need."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folded application of a snapshot."""

    applications: EffectiveElement
    """The element around it."""
    number: int
    """From 0 among its applications."""
    block: Block

    def located(self, bound: frozenset[str], severities: Sequence[Severity]) -> Iterator[Violation]:
        """What was found in it, in a server with these parts of Bind; placed in its file."""
        node = self.applications.all(APPLICATION)[self.number]
        verdict: Verdict = self.block.verdict
        found = verdict.violations
        if Severity.ADVICE in severities and not verdict.needs <= bound:
            alone = node.alone
            if alone is node:
                yield from not_bound(node, bound)
            else:
                found += tuple(not_bound(alone, bound))
        document, path = node.document, node.place_path
        line, column = document.place(node.element.start)
        for each in found:
            if each.severity not in severities:
                continue
            yield replace(
                each,
                file=document.file,
                path=path + each.path.removeprefix(f"/{APPLICATION}[1]"),
                line=line + each.line - 1,
                column=each.column + (column - 1 if each.line == 1 else 0),
            )


Circumstances = tuple[Schema, Mapping[str, str] | None, bool]
"""What a verdict on an application depends on besides its bytes: the schema, the engine's
environment, and whether its file lies outside of the folder."""


class Checked:
    """A snapshot with what the engine sees of it and all that is wrong with it."""

    def __init__(
        self,
        snapshot: Snapshot,
        root: EffectiveElement | None,
        circumstances: Sequence[Circumstances],
        frame: FrameVerdict,
        *,
        between: Sequence[Violation] = (),
        noted: Sequence[Place] = (),
    ) -> None:
        self.snapshot = snapshot
        self.root = root
        """The effective tree; None if Server.xml cannot be read at all."""
        self.circumstances = circumstances
        self.frame = frame
        self.between = between
        """What the rules found that compare applications."""
        self.noted = noted
        """The folded applications with which something is wrong."""

    @cached_property
    def violations(self) -> tuple[Violation, ...]:
        """In the order of the files."""
        return self._found(tuple(Severity))

    @cached_property
    def errors(self) -> tuple[Violation, ...]:
        """What keeps the engine from running this configuration as a whole."""
        return self._found((Severity.ERROR,))

    @property
    def is_good(self) -> bool:
        """Whether the engine would run it."""
        return not self.errors

    def new_since(self, base: Checked | None) -> tuple[Violation, ...]:
        """Errors and warnings that base did not have: what keeps it from being committed.

        A violation is the same one when code, path and message are: lines may have moved.
        """
        warnings = self._found((Severity.WARNING,), but=base)
        if not self.errors and not warnings:
            return ()
        known = {(v.code, v.path, v.message) for v in base.violations} if base else set()
        new = [v for v in warnings if (v.code, v.path, v.message) not in known]
        return tuple(sorted((*self.errors, *new), key=sort_key))

    def advice_since(self, base: Checked | None) -> tuple[Violation, ...]:
        """Advice on the parts that are not as they were in base."""
        return self._found((Severity.ADVICE,), but=base)

    def _found(
        self, severities: Sequence[Severity], but: Checked | None = None
    ) -> tuple[Violation, ...]:
        """Violations in the order of the files; but: only those of parts that are others there."""
        found = [each for each in self.between if each.severity in severities]
        if but is None or but.frame is not self.frame:
            found += self._in_frame(severities)
            but = None
        for place in self.noted:
            where = str(place.applications.path), id(place.block)
            if but is not None and where in but.blocks:
                continue
            found += place.located(self.frame.bound, severities)
        return tuple(sorted(dict.fromkeys(found), key=sort_key))

    def _in_frame(self, severities: Sequence[Severity]) -> Iterator[Violation]:
        for violation, offset in self.frame.violations:
            if violation.severity not in severities:
                continue
            if offset is None:
                yield violation
            else:
                line, column = self.snapshot.document(violation.file).place_in_frame(offset)
                yield replace(violation, line=line, column=column)

    @cached_property
    def blocks(self) -> frozenset[tuple[str, int]]:
        """Which folded applications there are, by the path around them and their identities."""
        return frozenset(
            (path, id(block))
            for applications in _around(self.root)
            for path in (str(applications.path),)
            for block in _blocks(applications)[1]
        )


def check(snapshot: Snapshot, schema: Schema, like: Checked | None = None) -> Checked:
    """Find everything that is wrong with a snapshot. Never raises for bad content.

    like is what was found in a similar one: where both are the same it lends what it knows.
    """
    circumstances: Sequence[Circumstances] = [(schema, snapshot.env, is_outside)
                                              for is_outside in (False, True)]  # fmt: skip
    frame: FrameVerdict | None = None
    if like is not None and list(like.circumstances) == circumstances:
        circumstances = like.circumstances  # the same objects: `_judge` looks for them
        if _is_same_frame(snapshot, like.snapshot):
            frame = like.frame
    if frame is None:
        report: list[Violation] = []
        root = build(snapshot, schema, report)
        frame = _frame(snapshot, schema, root, report)
    else:
        root = build(snapshot, schema)
    if root is None:
        return Checked(snapshot, None, circumstances, frame)
    known = like if like is not None and frame is like.frame else None
    noted, has_news = _judge(root, snapshot, circumstances, frame, known)
    between: Sequence[Violation] = ()
    if known is None or known.between or has_news:
        between = [
            found
            for rule in _in_force(schema, RULES_BETWEEN, LINTS_BETWEEN)
            for found in rule(root, snapshot.env)
        ]
    return Checked(snapshot, root, circumstances, frame, between=between, noted=noted)


def _judge(
    root: EffectiveElement,
    snapshot: Snapshot,
    circumstances: Sequence[Circumstances],
    frame: FrameVerdict,
    known: Checked | None,
) -> tuple[list[Place], bool]:
    """Look at each folded application that has no verdict yet.

    Gives those with which something is wrong, and whether the rules between applications may say
    otherwise than of a known state, which has the same frame.
    """
    noted: list[Place] = []
    has_news = False
    older = _around(None if known is None else known.root)
    for applications in _around(root):
        under = circumstances[applications.document.file.startswith("/")]
        numbers, blocks = _blocks(applications)
        fresh: Sequence[int] = range(len(blocks))
        before = next(older, None)
        if known is not None and before is not None:
            _, former = _blocks(before)
            if applications.keys(APPLICATION) == before.keys(APPLICATION):
                fresh = tuple(compress(fresh, map(is_not, blocks, former)))
                looked_at = {numbers[at] for at in fresh}
                noted += (
                    Place(applications, place.number, place.block)
                    for place in known.noted
                    if place.applications is before and place.number not in looked_at
                )
                has_news |= any(
                    COMPARED in each.source for at in fresh for each in (blocks[at], former[at])
                )
            else:
                has_news = True
        for at in fresh:
            block = blocks[at]
            if block.judged_by is not under:
                block.verdict, block.judged_by = _verdict(block, snapshot, under), under
            if block.verdict.violations or not block.verdict.needs <= frame.bound:
                noted.append(Place(applications, numbers[at], block))
    return noted, has_news


def _around(root: EffectiveElement | None) -> Iterator[EffectiveElement]:
    """Every element that holds applications."""
    if root is not None:
        yield from root.every(f"VirtualHosts/VirtualHost/{AROUND}")


def _blocks(applications: EffectiveElement) -> tuple[Sequence[int], Sequence[Block]]:
    """The folded applications of an element, and which of all of its they are."""
    found = applications.all(APPLICATION)
    if isinstance(found, FoldedItems):
        return range(len(found)), found.blocks
    blocks = {number: node.block for number, node in enumerate(found)}
    folded = {number: block for number, block in blocks.items() if block is not None}
    return tuple(folded), tuple(folded.values())


def _is_same_frame(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots differ in nothing but folded applications."""
    if one.surroundings != other.surroundings or one.files.keys() != other.files.keys():
        return False
    parsed, others = one.parsed, other.parsed
    return all(
        file in parsed and file in others and parsed[file].is_framed_like(others[file])
        for file in one.files
    )


def _frame(
    snapshot: Snapshot, schema: Schema, root: EffectiveElement | None, report: list[Violation]
) -> FrameVerdict:
    """Look at everything but folded applications; report is what was found on the way there."""
    found: list[Violation] = []
    bound: frozenset[str] = frozenset()
    if root is not None:
        bound = frozenset(part for part in MODULES.values() if root.below(f"Bind/{part}"))
        gated = {file: _is_gated(document, schema) for file, document in snapshot.parsed.items()}
        for node in root.frame():
            found += inspect(node, snapshot.env, schema.release, is_gated=gated[node.document.file])
            if node.item is schema.application:
                found += _in_application(node, snapshot, schema)
                found += not_bound(node, bound)
        for rule in _in_force(schema, SERVER_RULES, SERVER_LINTS):
            found += rule(root, snapshot.env)
    if snapshot.logger is not None:
        found += check_logger(snapshot.logger)
    found += report
    offsets = (_offset_in_frame(each, snapshot) for each in found)
    return FrameVerdict(tuple(zip(found, offsets, strict=True)), bound)


def _offset_in_frame(violation: Violation, snapshot: Snapshot) -> int | None:
    document = snapshot.parsed.get(violation.file)
    if document is None:
        return None
    return document.offset_in_frame(violation.line, violation.column)


def _verdict(block: Block, snapshot: Snapshot, under: Circumstances) -> Verdict:
    """Look at one application by itself."""
    schema, env, is_outside = under
    found: list[Violation] = []
    nothing = Snapshot({}, env=env)
    is_gated = block.parsed is None and _is_gated_alone(block, schema)
    root = build_alone(block, nothing, schema, found, file="/" if is_outside else "")
    older = _clean_older(block, under)
    for node in root.descendants() if older is None else _others(root, older):
        found += inspect(node, env, schema.release, is_gated=is_gated)
    if older is None or not _are_same(root, older, RULED):
        found += _in_application(root, snapshot, schema)
    keep_at_hand(block, root)
    return Verdict(tuple(dict.fromkeys(found)), needs(root))


def _clean_older(block: Block, under: Circumstances) -> EffectiveElement | None:
    """What stood in the place of an application, if it is at hand and nothing was wrong with it."""
    older = block.older()
    if older is None or older.judged_by is not under or older.verdict.violations:
        return None
    tree: EffectiveElement | None = older.tree()
    return tree


def _others(node: EffectiveElement, older: EffectiveElement) -> Iterator[EffectiveElement]:
    """An element, and those inside it, that are not the same to the byte as in an older one."""
    if node.is_written_like(older):
        return
    yield node
    for name, now in node.groups():  # to look inside tells what is wrong there
        before = older.all(name)
        if len(now) == len(before):
            for one, other in zip(now, before, strict=True):
                yield from _others(one, other)
        else:
            for one in now:
                yield from one.descendants()


def _are_same(node: EffectiveElement, older: EffectiveElement, names: Iterable[str]) -> bool:
    """Whether the children of these names are the same to the byte."""
    groups = ((node.all(name), older.all(name)) for name in names)
    return all(
        len(now) == len(before)
        and all(one.is_written_like(other) for one, other in zip(now, before, strict=True))
        for now, before in groups
    )


def _in_application(
    node: EffectiveElement, snapshot: Snapshot, schema: Schema
) -> Iterator[Violation]:
    for rule in _in_force(schema, APPLICATION_RULES, APPLICATION_LINTS):
        yield from rule(node, snapshot.env)


def _in_force(schema: Schema, *tables: Mapping[Rule, Release]) -> Iterator[Rule]:
    for table in tables:
        for rule, since in table.items():
            if schema.release >= since:
                yield rule


def _is_gated_alone(block: Block, schema: Schema) -> bool:
    """As `_is_gated`; asked when many are checked: for a single one it takes longer than it saves
    (lxml lets other threads run, and has to wait for them).
    """
    return APPLICATION in schema.gated and schema.gate(block.source)


def _is_gated(document: Document, schema: Schema) -> bool:
    """Whether lxml finds nothing wrong in a file (without what is folded), so that no clean value
    need be looked at.
    """
    if document.root.name not in schema.gated or not document.is_editable:
        return False
    return schema.gate(document.fold.frame.text if document.fold else document.data)
