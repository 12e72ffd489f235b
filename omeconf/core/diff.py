"""What changed between two snapshots: by Path, as the engine sees it, and as unified text."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from operator import is_not
from weakref import ref

from omeconf.core.effective import EffectiveElement, FoldedItems
from omeconf.core.fold import APPLICATION, AROUND
from omeconf.core.lines import hunks, split
from omeconf.core.patch import window
from omeconf.core.path import Path, Step
from omeconf.core.schema import Item, ValueType
from omeconf.core.snapshot import Snapshot
from omeconf.core.values import read

_CONTEXT = 3
"""Lines that are shown around a difference."""


class Kind(enum.StrEnum):
    """How an element changed."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    """The items of a list stand in another order."""


@dataclass(frozen=True, slots=True)
class Change:
    """One element that the engine sees otherwise than before."""

    kind: Kind
    path: Path
    item: Item
    old: str = ""
    """A leaf's text before; "" for an object."""
    new: str = ""

    def as_json(self) -> dict[str, str]:
        """For answers and logs; a secret's value is not shown."""
        shown = {"kind": self.kind.value, "path": str(self.path)}
        if self.item.type is not None:
            hide = self.item.is_secret
            shown |= {"old": "***" if hide else self.old, "new": "***" if hide else self.new}
        return shown


def changes(old: EffectiveElement | None, new: EffectiveElement | None) -> tuple[Change, ...]:
    """All changes between two effective trees; none for comments, layout or moved files."""
    if old is None or new is None:
        present = old or new
        if present is None:
            return ()
        kind = Kind.REMOVED if new is None else Kind.ADDED
        return (Change(kind, present.path, present.item),)
    if _differ_in_applications_only(old, new):
        hosts = (each.every("VirtualHosts/VirtualHost") for each in (old, new))
        return tuple(
            change
            for before, after in zip(*hosts, strict=True)
            for change in _compare_applications(before, after)
        )
    return tuple(_compare(old, new))


def _differ_in_applications_only(old: EffectiveElement, new: EffectiveElement) -> bool:
    """Whether one file has all of both, and nothing outside of folded applications is other."""
    includes = any(True for _ in new.document.attribute_values("include"))
    return not includes and new.document.is_framed_like(old.document)


def _compare_applications(old: EffectiveElement, new: EffectiveElement) -> Iterator[Change]:
    before, after = old.first(AROUND), new.first(AROUND)
    if before is not None and after is not None:
        item = after.item.children[APPLICATION]
        yield from _compare_lists(after, item, before.all(APPLICATION), after.all(APPLICATION))


def unified(old: Snapshot, new: Snapshot) -> str:
    """The file diff of two snapshots as unified text, three lines of context."""
    return "".join(
        unified_text(file, old.files.get(file, b""), new.files.get(file, b""))
        for file in old.changed_files(new)
    )


def unified_text(file: str, old: bytes, new: bytes) -> str:
    """Unified text for one file; only what lies between the first and the last difference, and the
    lines around, is looked at.
    """
    if old == new:
        return ""
    start, old_end, new_end = window(old, new)
    for _ in range(_CONTEXT + 1):
        start = old.rfind(b"\n", 0, max(start - 1, 0)) + 1
    more = old_end
    for _ in range(_CONTEXT + 1):
        more = (old.find(b"\n", more) + 1) or len(old)
    skipped = old.count(b"\n", 0, start)
    one, other = old[start:more], new[start : more + new_end - old_end]
    before, after = _lines(one), _lines(other)
    text = [f"--- a/{file}\n+++ b/{file}\n"]
    for group in _hunks(_opcodes(one, other)):
        first, last = group[0], group[-1]
        gone = _range(skipped + first[1], skipped + last[2])
        come = _range(skipped + first[3], skipped + last[4])
        text.append(f"@@ -{gone} +{come} @@\n")
        for verb, i1, i2, j1, j2 in group:
            if verb == "equal":
                text += (_line(" ", line) for line in before[i1:i2])
            else:
                text += (_line("-", line) for line in before[i1:i2])
                text += (_line("+", line) for line in after[j1:j2])
    return "".join(text)


def _lines(data: bytes) -> list[str]:
    """Lines as text; what is no UTF-8 is shown by its bytes, so that it still differs."""
    return [line.decode("utf-8", "backslashreplace") for line in split(data)]


_Opcode = tuple[str, int, int, int, int]


def _opcodes(before: bytes, after: bytes) -> list[_Opcode]:
    old, new = split(before), split(after)
    found: list[_Opcode] = []
    i = j = 0
    for each in hunks(old, new):
        found.append(("equal", i, each.old_start, j, each.new_start))
        i, j = each.old_end, each.new_end
        found.append(("replace", each.old_start, i, each.new_start, j))
    return [*found, ("equal", i, len(old), j, len(new))]


def _hunks(opcodes: list[_Opcode], context: int = _CONTEXT) -> Iterator[list[_Opcode]]:
    """Changes with some equal lines around them; long equal stretches part the hunks."""
    hunk: list[_Opcode] = []
    for verb, i1, i2, j1, j2 in opcodes:
        if verb != "equal":
            hunk.append((verb, i1, i2, j1, j2))
            continue
        has_change = any(each[0] != "equal" for each in hunk)
        if has_change and i2 - i1 <= 2 * context:
            hunk.append((verb, i1, i2, j1, j2))
            continue
        if has_change:
            hunk.append((verb, i1, i1 + context, j1, j1 + context))
            yield hunk
        lead = min(context, i2 - i1)
        hunk = [(verb, i2 - lead, i2, j2 - lead, j2)]
    if any(each[0] != "equal" for each in hunk):
        verb, i1, i2, j1, j2 = hunk[-1]
        if verb == "equal":
            kept = min(context, i2 - i1)
            hunk[-1] = (verb, i1, i1 + kept, j1, j1 + kept)
        yield hunk


def _range(start: int, stop: int) -> str:
    count = stop - start
    first = start + 1 if count else start
    return str(first) if count == 1 else f"{first},{count}"


def _line(mark: str, line: str) -> str:
    end = "" if line.endswith("\n") else "\n\\ No newline at end of file\n"
    return f"{mark}{line}{end}"


def _compare(old: EffectiveElement, new: EffectiveElement) -> Iterator[Change]:
    item = new.item
    if new.is_written_like(old):
        return
    for name, value_type in item.attributes.items():
        before, after = (n.element.attributes.get(name, "") for n in (old, new))
        if before != after and not _reads_equal(value_type, before, after):
            yield Change(Kind.CHANGED, new.path, item, before, after)
    if item.type is not None:
        before, after = old.element.value, new.element.value
        if before != after and not _reads_equal(item.type, before, after):
            yield Change(Kind.CHANGED, new.path, item, before, after)
        return
    present = {name for each in (old, new) for name, _ in each.groups()}
    for name, child in item.children.items():
        if name not in present:
            continue
        if child.is_list:
            yield from _compare_lists(new, child, old.all(name), new.all(name))
        else:
            yield from _compare_single(child, old.first(name), new.first(name))


def _compare_single(
    item: Item, old: EffectiveElement | None, new: EffectiveElement | None
) -> Iterator[Change]:
    present = old or new
    if present is None:
        return
    if old is not None and new is not None:
        yield from _compare(old, new)
        return
    kind = Kind.ADDED if new is not None else Kind.REMOVED
    inner = item.flat_child
    if inner is not None and inner.scope != item.scope:
        # a wrapper has no meaning of its own: what it holds came or went
        for child in present.all(inner.name):
            yield Change(kind, child.path, inner)
        return
    value = present.element.value if item.type is not None else ""
    yield Change(
        kind, present.path, item, value if new is None else "", value if old is None else ""
    )


def _compare_lists(
    parent: EffectiveElement,
    item: Item,
    old: Sequence[EffectiveElement],
    new: Sequence[EffectiveElement],
) -> Iterator[Change]:
    if item.key is None:
        if len(old) != len(new):
            yield Change(Kind.CHANGED, parent.path / item.name, item)
        else:
            for one, other in zip(old, new, strict=True):
                yield from _compare(one, other)
        return
    if (
        isinstance(old, FoldedItems)
        and isinstance(new, FoldedItems)
        and old.names.are_unique
        and new.names.are_unique
    ):
        yield from _compare_folded(item, old, new)
        return
    before = {str(node.step): node for node in old}
    after = {str(node.step): node for node in new}
    for step, node in before.items():
        if step not in after:
            yield Change(Kind.REMOVED, node.path, item)
    for step, node in after.items():
        if step in before:
            if node.block is None or node.block is not before[step].block:
                yield from _compare(before[step], node)
        else:
            yield Change(Kind.ADDED, node.path, item)
    if [s for s in before if s in after] != [s for s in after if s in before]:
        yield Change(Kind.MOVED, parent.path / item.name, item)


def _compare_folded(item: Item, old: FoldedItems, new: FoldedItems) -> Iterator[Change]:
    """As for other lists, but only what is not the same to the byte is looked into."""
    one, other = old.blocks, new.blocks
    if old.names == new.names:
        for place in compress(range(len(other)), map(is_not, one, other)):
            yield from _compare_blocks(old, place, new, place)
        return
    before = {name: place for place, name in enumerate(old.names)}
    after = {name: place for place, name in enumerate(new.names)}
    for name, place in before.items():
        if name not in after:
            yield Change(Kind.REMOVED, old[place].path, item)
    for name, place in after.items():
        if name not in before:
            yield Change(Kind.ADDED, new[place].path, item)
        elif one[before[name]] is not other[place]:
            yield from _compare_blocks(old, before[name], new, place)
    if [n for n in old.names if n in after] != [n for n in new.names if n in before]:
        yield Change(Kind.MOVED, new.path / item.name, item)


def _compare_blocks(old: FoldedItems, i: int, new: FoldedItems, j: int) -> Iterator[Change]:
    """What changed in an application; found once, and remembered with its newer bytes."""
    one, other = old.blocks[i], new.blocks[j]
    known = next((found for older, found in other.since if older() is one), None)
    if known is None:
        known = tuple(_compare(old.alone(i), new.alone(j)))
        other.since = ((ref(one), known), *other.since[:1])
    above = new.path / Step(APPLICATION, other.name)
    for change in known:
        below = change.path.steps[_depth(change.path) :]
        yield replace(change, path=Path((*above.steps, *below)))


def _depth(path: Path) -> int:
    """How many steps lead to the application on a path."""
    return next(n for n, step in enumerate(path.steps, 1) if step.name == APPLICATION)


def _reads_equal(value_type: ValueType, old: str, new: str) -> bool:
    """Whether the engine makes the same of both; a macro is only equal to itself."""
    if "${" in old or "${" in new:
        return False
    before, after = read(value_type.reads, old), read(value_type.reads, new)
    return before == after and not before.refusal and value_type.reads != "text"
