"""Three-way merge of one file: take back, or put on top, one change beside another.

Line by line, as diff3 does it: two changes that touch the same lines, or lines side by side, are
a conflict, and then nothing is merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

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
    lines = _lines(base)
    hunks = _hunks(lines, _lines(one))
    for hunk in _hunks(lines, _lines(other)):
        if hunk in hunks:
            continue
        for present in hunks:
            if hunk.start <= present.end and present.start <= hunk.end:
                raise Conflict(f"both changed line {max(hunk.start, present.start) + 1}")
        hunks.append(hunk)
    result: list[bytes] = []
    position = 0
    for hunk in sorted(hunks, key=lambda each: each.start):
        result += (*lines[position : hunk.start], *hunk.lines)
        position = hunk.end
    return b"".join((*result, *lines[position:]))


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def _hunks(old: Sequence[bytes], new: Sequence[bytes]) -> list[_Hunk]:
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    matcher = SequenceMatcher(None, middle_old, middle_new, autojunk=False)
    return [
        _Hunk(i1 + head, i2 + head, tuple(middle_new[j1:j2]))
        for verb, i1, i2, j1, j2 in matcher.get_opcodes()
        if verb != "equal"
    ]
