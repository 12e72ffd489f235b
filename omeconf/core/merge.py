"""Three-way merge of one file: take back, or put on top, one change beside another.

Line by line, as diff3 does it: two changes that touch the same lines, or lines side by side, are
a conflict, unless both made the same of them. `merge` then gives nothing, and `marked` the text
with both, between marks as git writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omeconf.core.lines import hunks, split
from omeconf.errors import Conflict

Lines = tuple[bytes, ...]

_OPENING, _BEFORE, _BETWEEN, _CLOSING = b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>"


@dataclass(frozen=True, slots=True)
class _Hunk:
    start: int
    end: int
    lines: Lines


@dataclass(frozen=True, slots=True)
class _Region:
    """Lines start..end of the base, and what each of the two made of them."""

    start: int
    end: int
    one: Lines
    other: Lines
    line: int
    """The first that both changed, from 0."""
    is_conflict: bool


def merge(base: bytes, one: bytes, other: bytes) -> bytes:
    """base with what changed on the way to one, and on the way to other. Raises Conflict.

    To take a change back: base is the state after it, one what there is now, and other the
    state before it.
    """
    if one == other or base == other:
        return one
    if base == one:
        return other
    found = list(_regions(base, one, other))
    for region in found:
        if region.is_conflict:
            raise Conflict(f"both changed line {region.line + 1}")
    return b"".join(_filled(split(base), ((each, each.one) for each in found)))


def marked(base: bytes, one: bytes, other: bytes, names: tuple[str, str, str]) -> bytes:
    """As `merge`; but where that raises Conflict there is all three between marks.

    names: of one, base and other, behind the marks. A last line between marks gets a line end.
    """
    found = ((each, _both(split(base), each, names)) for each in _regions(base, one, other))
    return b"".join(_filled(split(base), found))


def marks(text: bytes, known: bytes) -> list[int]:
    """The lines of a text, from 1, that `marked` wrote between other lines.

    known: a text without them; a line that it has too is none, as comments may look like that.
    """
    usual = set(split(known))
    return [
        number
        for number, line in enumerate(split(text), 1)
        if line.startswith((_OPENING, _BEFORE, _CLOSING)) or line.rstrip() == _BETWEEN
        if line not in usual
    ]


def _both(lines: Sequence[bytes], region: _Region, names: tuple[str, str, str]) -> Lines:
    """What stands for a region in a marked text."""
    if not region.is_conflict:
        return region.one
    own, before, their = (name.encode() for name in names)
    end = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
    return (
        _OPENING + b" " + own + end,
        *_ended(region.one, end),
        _BEFORE + b" " + before + end,
        *_ended(tuple(lines[region.start : region.end]), end),
        _BETWEEN + end,
        *_ended(region.other, end),
        _CLOSING + b" " + their + end,
    )


def _ended(lines: Lines, end: bytes) -> Lines:
    if not lines or lines[-1].endswith(b"\n"):
        return lines
    return (*lines[:-1], lines[-1] + end)


def _filled(lines: Sequence[bytes], regions: Iterator[tuple[_Region, Lines]]) -> Iterator[bytes]:
    """The lines of a base, with others in the place of some regions."""
    position = 0
    for region, instead in regions:
        yield from lines[position : region.start]
        yield from instead
        position = region.end
    yield from lines[position:]


def _regions(base: bytes, one: bytes, other: bytes) -> Iterator[_Region]:
    """Where one or the other differs from the base, in order; changes that touch are one."""
    lines = split(base)
    made, others = _hunks(lines, split(one)), _hunks(lines, split(other))
    while made or others:
        mine: list[_Hunk] = []
        theirs: list[_Hunk] = []
        end = min(each[0].start for each in (made, others) if each)
        while True:
            if made and made[0].start <= end:
                mine.append(made.pop(0))
            elif others and others[0].start <= end:
                theirs.append(others.pop(0))
            else:
                break
            end = max(end, *(each[-1].end for each in (mine, theirs) if each))
        yield _region(lines, mine, theirs)


def _region(lines: Sequence[bytes], mine: Sequence[_Hunk], theirs: Sequence[_Hunk]) -> _Region:
    start = min(each.start for each in (*mine, *theirs))
    end = max(each.end for each in (*mine, *theirs))
    one, other = (_patched(lines, start, end, each) for each in (mine, theirs))
    if not mine or not theirs:
        one = other = one if mine else other
    line = max(mine[0].start, theirs[0].start) if mine and theirs else start
    return _Region(start, end, one, other, line, one != other)


def _patched(lines: Sequence[bytes], start: int, end: int, hunks: Sequence[_Hunk]) -> Lines:
    """The lines start..end after some hunks."""
    found: list[bytes] = []
    for hunk in hunks:
        found += (*lines[start : hunk.start], *hunk.lines)
        start = hunk.end
    return (*found, *lines[start:end])


def _hunks(old: Sequence[bytes], new: Sequence[bytes]) -> list[_Hunk]:
    return [
        _Hunk(each.old_start, each.old_end, tuple(new[each.new_start : each.new_end]))
        for each in hunks(old, new)
    ]
