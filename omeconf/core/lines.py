"""Where two versions of a file differ, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_MOST_WORK = 4_000_000
"""Lines of one times lines of the other that are compared with care (a second or so at worst);
beyond it, everything between the equal ends counts as one difference."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines old_start..old_end of one version became new_start..new_end of the other."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


def split(data: bytes) -> list[bytes]:
    """Lines with their line ends; only a line feed ends a line."""
    lines = data.split(b"\n")
    ended = [line + b"\n" for line in lines[:-1]]
    return ended + ([lines[-1]] if lines[-1] else [])


def hunks(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[Hunk]:
    """All differences, in order; equal lines at both ends are not compared again."""
    shorter = min(len(old), len(new))
    head = 0
    while head < shorter and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old_end, new_end = len(old) - tail, len(new) - tail
    if (old_end - head) * (new_end - head) > _MOST_WORK:
        yield Hunk(head, old_end, head, new_end)
        return
    matcher = SequenceMatcher(None, old[head:old_end], new[head:new_end], autojunk=False)
    for verb, i1, i2, j1, j2 in matcher.get_opcodes():
        if verb != "equal":
            yield Hunk(i1 + head, i2 + head, j1 + head, j2 + head)
