"""A file folded: its applications kept as bytes, and the frame that is left without them.

So that an edit costs what it changes, not what the file has: an application is parsed when somebody
looks into it, and what is known of it is kept with its bytes, from one revision to the next.

The frame is the file with one placeholder, an empty element, in the place of each run of
applications. Frame and applications are each well-formed by themselves, so the file is: an element
stands where an element stood. What does not fit (attributes, an include, something odd between two
applications) stays in the frame; where nothing can be folded, the whole file is one frame.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import ref

from omeconf.core.once import LOOKING, MadeOnce
from omeconf.core.parse import BLANKS, MAX_DEPTH, Element, Parser, Text, with_other_text
from omeconf.errors import NotWellFormed

APPLICATION, AROUND = "Application", "Applications"
_PLACEHOLDER = b"<Application/>"
_MAX_DEPTH = MAX_DEPTH - 20
"""Levels inside a folded application: so the file, with the levels around it, has not too many."""
_TOKEN = re.compile(
    rb"<(?:!--.*?-->|!\[CDATA\[.*?\]\]>|\?.*?\?>|(Application>)|(/Application[ \t\r\n]*>)"
    rb"|(Application[ \t\r\n/](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>))",
    re.DOTALL,
)
"""What tells where applications begin and end: 1 opens, 2 closes, 3 has attributes or is empty."""

_FEW = 16
"""So many applications that were edited at once are not parsed again to check them."""

Span = tuple[int, int, bytes]
"""The bytes start..end of a file are to become others."""


class Block:
    """One application as it is written, with what is known of it."""

    __slots__ = (
        "__weakref__", "judged_by", "name", "older", "parsed", "since", "source", "tree", "verdict",
    )  # fmt: skip

    def __init__(self, source: bytes, name: str | None) -> None:
        self.source = source
        self.name = name
        """The text of its Name; None if it has none."""
        self.parsed: Element | None = None
        """Its tree, by itself, from when it was found until it has been checked; of a few."""
        self.older: Callable[[], Block | None] = _nothing
        """What stood in its place before an edit, if that is still there."""
        self.judged_by: object = None
        self.verdict: Any = None
        """What a check found, and in which circumstances: `check.py` keeps it here."""
        self.tree: Callable[[], Any] = _nothing
        """What the engine sees of it, if that was built to check it and is still at hand."""
        self.since: tuple[tuple[ref[Block], Any], ...] = ()
        """What changed since some older bytes of it: `diff.py` keeps it here."""


class Folded(Element):
    """The element of a folded application: its inside is parsed when it is first looked at."""

    __slots__ = ("__weakref__", "_is_parsed", "block")

    def __init__(self, block: Block, start: int, parent: Element) -> None:
        self.name = APPLICATION
        self.block = block
        self.start = start
        self.end = start + len(block.source)
        self.parent = parent
        self.attributes = {}
        self._is_parsed = False

    def __getattr__(self, name: str) -> Any:
        """Called for what is not set yet."""
        if name not in ("children", "close_start", "open_end", "texts"):
            raise AttributeError(name)
        with LOOKING:
            if not self._is_parsed:
                inside = Parser("", _nowhere, base=self.start).parse(self.block.source, "utf-8")
                for child in inside.children:
                    child.parent = self
                self.texts, self.open_end = inside.texts, inside.open_end
                self.children, self.close_start = inside.children, inside.close_start
                self._is_parsed = True
        return object.__getattribute__(self, name)


class _Placed(Element):
    """An element of the frame with offsets of the file: those inside when they are looked at."""

    __slots__ = ("_file", "_in_frame")

    def __init__(self, element: Element, parent: Element | None, folded: Fold) -> None:
        at = folded.in_file
        self.name, self.attributes, self.parent = element.name, element.attributes, parent
        self.start, self.open_end = at(element.start), at(element.open_end)
        self.close_start, self.end = at(element.close_start), at(element.end)
        self.texts = [Text(at(t.start), at(t.end), t.value, t.is_cdata) for t in element.texts]
        self._in_frame: Element | None = element
        self._file = ref(folded)

    def __getattr__(self, name: str) -> Any:
        """Called for what is not set yet."""
        if name != "children":
            raise AttributeError(name)
        with LOOKING:
            element = self._in_frame
            if element is not None:
                folded = self._file()
                assert folded is not None, "hold the document while its elements are used"
                self.children = _children(element, self, folded)
                self._in_frame = None
        return object.__getattribute__(self, name)


class FoldedChildren(MadeOnce[Element]):
    """The applications of one run as elements, each made when it is asked for."""

    def __init__(self, run: Run, start: int, parent: Element) -> None:
        super().__init__()
        self._run = ref(run)
        self._start = start
        self._parent = parent

    @property
    def run(self) -> Run:
        """What they are in the file, which is held by its document."""
        found = self._run()
        assert found is not None, "hold the document while its elements are used"
        return found

    def __len__(self) -> int:
        return len(self.run.blocks)

    def _make(self, number: int) -> Element:
        start = self._start + self.run.starts[number]
        return Folded(self.run.blocks[number], start, self._parent)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """The number of an element."""
        number = bisect_left(self.run.starts, value.start - self._start, start)
        if number < (len(self) if stop is None else stop) and self[number] is value:
            return number
        raise ValueError(f"{value!r} is not among them")


class Names(list[str | None]):
    """The names of some applications, in order; not changed any more once it is asked about."""

    @cached_property
    def are_unique(self) -> bool:
        """Whether each has one, and no two the same."""
        return None not in self and len(set(self)) == len(self)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Run:
    """Applications that follow each other, with only blanks and comments in between."""

    blocks: list[Block]
    names: Names
    starts: list[int]
    """Where each begins, from the beginning of the run, in bytes."""

    @property
    def length(self) -> int:
        """Bytes from the beginning of the first to the end of the last."""
        return self.starts[-1] + len(self.blocks[-1].source)


@dataclass(frozen=True, slots=True)
class Frame:
    """What is left of a file without its folded applications."""

    text: bytes
    root: Element
    """Its tree; offsets are of the frame."""
    spots: tuple[int, ...]
    """Where the placeholders stand, one for each run."""
    is_mixed: bool
    """Whether other applications stand beside a run: their places depend on its length."""


class Fold:
    """One file, folded."""

    __slots__ = ("__weakref__", "before", "frame", "runs")

    def __init__(self, frame: Frame, runs: Sequence[Run]) -> None:
        self.frame = frame
        self.runs = runs
        self.before = [0]
        """How many bytes more than the frame has lie before each run, and in all."""
        for run in runs:
            self.before.append(self.before[-1] + run.length - len(_PLACEHOLDER))

    def start_of(self, number: int) -> int:
        """Where a run begins in the file."""
        return self.frame.spots[number] + self.before[number]

    def in_file(self, offset: int) -> int:
        """The offset in the file of one in the frame."""
        return offset + self.before[bisect_left(self.frame.spots, offset)]

    def in_frame(self, offset: int) -> int | None:
        """The offset in the frame of one in the file; None inside an application."""
        for number, run in enumerate(self.runs):
            start = self.start_of(number)
            if offset <= start:
                return offset - self.before[number]
            if offset < start + run.length:
                return None
        return offset - self.before[-1]

    def tree(self) -> Element:
        """The root element; its offsets are of the file."""
        return _Placed(self.frame.root, None, self) if self.runs else self.frame.root

    @property
    def blocks(self) -> Iterator[Block]:
        """All that is folded, in the order of the file."""
        for run in self.runs:
            yield from run.blocks


def fold(data: bytes, like: Fold | None = None) -> Fold | None:
    """Fold a file; None if it cannot be: then the parser tells what it is.

    like lends what it has of the same bytes.
    """
    spans = _applications(data, 0, len(data))
    if spans is None:
        return None
    known = {block.source: block for block in like.blocks} if like else {}
    runs: list[Run] = []
    frame: list[bytes] = []
    spots: list[int] = []
    at, size, end = 0, 0, -1
    for start, stop in spans:
        source = data[start:stop]
        if b"include" in source or b"ignore" in source:
            continue
        block = known.get(source) or _block(source)
        if block is None:
            return None
        if runs and _is_gap(data[end:start]):
            _append(runs[-1], block, start - end)
        else:
            frame += (data[at:start], _PLACEHOLDER)
            size += start - at
            spots.append(size)
            size += len(_PLACEHOLDER)
            runs.append(Run([block], Names([block.name]), [0]))
        at = end = stop
    text = b"".join((*frame, data[at:])) if runs else data
    found = _frame(text, tuple(spots), like.frame if like else None)
    return None if found is None else Fold(found, runs)


def refold(old: Fold, spans: Sequence[Span], data: bytes) -> Fold | None:
    """Fold what became of a folded file; None if that must be done from the beginning.

    spans say where the older bytes became others; data is the file since.
    """
    first, last = min(each[0] for each in spans), max(each[1] for each in spans)
    grown = sum(len(text) - (end - start) for start, end, text in spans)
    for number, run in enumerate(old.runs):
        start = old.start_of(number)
        if start <= first and last <= start + run.length:
            changed = _run(run, start, first - start, last - start, grown, data)
            if changed is not None:
                runs = [*old.runs[:number], changed, *old.runs[number + 1 :]]
                return Fold(old.frame, runs)
    return _reframed(old, spans)


def _run(run: Run, start: int, first: int, last: int, grown: int, data: bytes) -> Run | None:
    """A run, edited between two offsets of it; None if it is not all applications any more."""
    i = max(bisect_left(run.starts, first) - 1, 0)
    j = min(bisect_right(run.starts, last), len(run.starts) - 1)
    begin = start + run.starts[i]
    stop = start + run.starts[j] + len(run.blocks[j].source) + grown
    spans = _applications(data, begin, stop)
    if not spans or spans[0][0] != begin or spans[-1][1] != stop:
        return None
    known = {block.source: block for block in run.blocks[i : j + 1]}
    blocks: list[Block] = []
    for number, (at, end) in enumerate(spans):
        source = data[at:end]
        if b"include" in source or b"ignore" in source:
            return None
        block = known.get(source)
        if block is None and len(spans) == j + 1 - i:
            block = _edited(run, i + number, first, last, source)
        if block is None:
            block = _block(source, keeps=len(spans) < _FEW)
        if block is None or (number and not _is_gap(data[spans[number - 1][1] : at])):
            return None
        blocks.append(block)
    if len(blocks) == j + 1 - i:
        for before, block in zip(run.blocks[i : j + 1], blocks, strict=True):
            if before is not block:
                block.older = ref(before)
    names, found = run.names, [block.name for block in blocks]
    if found != names[i : j + 1]:
        names = Names([*names[:i], *found, *names[j + 1 :]])
    return Run(
        run.blocks[:i] + blocks + run.blocks[j + 1 :],
        names,
        run.starts[:i]
        + [at - start for at, _ in spans]
        + ([at + grown for at in run.starts[j + 1 :]] if grown else run.starts[j + 1 :]),
    )


def _reframed(old: Fold, spans: Sequence[Span]) -> Fold | None:
    """Edited outside of all runs: only the frame is read again."""
    text = old.frame.text
    spots = list(old.frame.spots)
    in_order = sorted(spans, key=lambda each: each[:2])
    for start, end, new in in_order[::-1]:
        first, last = old.in_frame(start), old.in_frame(end)
        if first is None or last is None or last - first != end - start or b"<Appl" in new:
            return None
        if any(first < spot + len(_PLACEHOLDER) and spot < last for spot in spots):
            return None
        text = text[:first] + new + text[last:]
        moved = len(new) - (last - first)
        spots = [spot + moved if spot >= last else spot for spot in spots]
    frame = _frame(text, tuple(spots), old.frame)
    return None if frame is None else Fold(frame, old.runs)


def _frame(text: bytes, spots: tuple[int, ...], like: Frame | None) -> Frame | None:
    """The frame of that text; None if it is not well-formed, or a placeholder not where it may."""
    if like is not None and like.spots == spots and like.text == text:
        return like
    try:
        root = Parser("", _nowhere).parse(text, "utf-8")
    except NotWellFormed:
        return None
    wanted, found, is_mixed = set(spots), set[int](), False
    for element in root.descendants():
        if element.name == AROUND:
            here = {child.start for child in element.children if child.start in wanted}
            is_mixed |= bool(here) and len(element.children) > 1
            found |= here
    return Frame(text, root, spots, is_mixed) if found == wanted else None


def _applications(data: bytes, start: int, stop: int) -> list[tuple[int, int]] | None:
    """Where the outermost plain applications lie; None if begin and end do not match."""
    spans: list[tuple[int, int]] = []
    depth, opened, is_plain = 0, 0, False
    for token in _TOKEN.finditer(data, start, stop):
        kind = token.lastindex
        if kind is None or (kind == 3 and data[token.end() - 2] == ord("/")):
            continue
        if kind == 2:
            depth -= 1
            if depth < 0:
                return None
            if depth == 0 and is_plain:
                spans.append((opened, token.end()))
            continue
        if depth == 0:
            opened, is_plain = token.start(), kind == 1
        depth += 1
    return spans if depth == 0 else None


def _block(source: bytes, *, keeps: bool = False) -> Block | None:
    """An application by itself; None if it is not well-formed. keeps: its tree, too."""
    try:
        root = Parser("", _nowhere, max_depth=_MAX_DEPTH).parse(source, "utf-8")
    except NotWellFormed:
        return None
    return _named(source, root, keeps=keeps)


def _edited(run: Run, number: int, first: int, last: int, source: bytes) -> Block | None:
    """An application of a run that was edited between two offsets of that; None if what it became
    is not known without reading it again.
    """
    older, start = run.blocks[number], run.starts[number]
    tree = older.tree()
    if tree is None or not start < first < last < start + len(older.source):
        return None
    grown = len(source) - len(older.source)
    root = with_other_text(tree.element, first - start, last - start, grown, source)
    return None if root is None else _named(source, root, keeps=True)


def _named(source: bytes, root: Element, *, keeps: bool) -> Block:
    """An application by itself, with its tree if that is kept."""
    name = next((child.value for child in root.children if child.name == "Name"), None)
    block = Block(source, name)
    if keeps:
        block.parsed = root
    return block


def _append(run: Run, block: Block, gap: int) -> None:
    run.starts.append(run.length + gap)
    run.blocks.append(block)
    run.names.append(block.name)


def _is_gap(between: bytes) -> bool:
    """Whether there are only blanks and comments between two applications."""
    if not between.strip(BLANKS):
        return True
    try:
        inside = Parser("", _nowhere).parse(b"<a>" + between + b"</a>", "utf-8")
    except NotWellFormed:
        return False
    return not inside.children and not inside.texts


def _children(element: Element, copy: Element, folded: Fold) -> Sequence[Element]:
    """The children of a copy, with what stands where the original has placeholders."""
    spots = folded.frame.spots if element.name == AROUND else ()
    parts: list[Iterable[Element]] = []
    for child in element.children:
        number = bisect_left(spots, child.start)
        if number == len(spots) or spots[number] != child.start:
            parts.append((_Placed(child, copy, folded),))
            continue
        run = FoldedChildren(folded.runs[number], folded.start_of(number), copy)
        if len(element.children) == 1:
            return run
        parts.append(run)
    return [each for part in parts for each in part]


def _nothing() -> None:
    """Stands for a reference to what is gone."""


def _nowhere(_: int) -> tuple[int, int]:
    return 1, 1
