"""Three-way merge of one file: take back, or put on top, one change beside another.

Line by line, as diff3 does it: two changes that touch the same lines, or lines side by side, are
a conflict, and then nothing is merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omeconf.core.lines import hunks, split
from omeconf.errors import Conflict


@dataclass(frozen=True, slots=True)
class _Hunk:
    start: int
    end: int
    lines: tuple[bytes, ...]


def merge(base: bytes, one: bytes, other: bytes) -> bytes:
    """base with what changed on the way to one, and on the way to other. Raises Conflict.

    To take a change back: base is the state after it, one what there is now, and other the
    state before it.
    """
    if one == other or base == other:
        return one
    if base == one:
        return other
    lines = split(base)
    made = _hunks(lines, split(one))
    for hunk in _hunks(lines, split(other)):
        if hunk in made:
            continue
        for present in made:
            if hunk.start <= present.end and present.start <= hunk.end:
                raise Conflict(f"both changed line {max(hunk.start, present.start) + 1}")
        made.append(hunk)
    result: list[bytes] = []
    position = 0
    for hunk in sorted(made, key=lambda each: each.start):
        result += (*lines[position : hunk.start], *hunk.lines)
        position = hunk.end
    return b"".join((*result, *lines[position:]))


def _hunks(old: Sequence[bytes], new: Sequence[bytes]) -> list[_Hunk]:
    return [
        _Hunk(each.old_start, each.old_end, tuple(new[each.new_start : each.new_end]))
        for each in hunks(old, new)
    ]
