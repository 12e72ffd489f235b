from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omeconf.core.merge import marked, marks, merge
from omeconf.errors import Conflict

BASE = b"a\nb\nc\nd\ne\n"


def test_changes_apart() -> None:
    """Two changes of different lines are both made."""
    assert merge(BASE, b"A\nb\nc\nd\ne\n", b"a\nb\nc\nd\nE\n") == b"A\nb\nc\nd\nE\n"
    assert merge(BASE, b"a\nb\nc\nd\ne\nf\n", b"b\nc\nd\ne\n") == b"b\nc\nd\ne\nf\n"


def test_the_same_change() -> None:
    """What both did is done once."""
    both = b"a\nX\nc\nd\ne\n"
    assert merge(BASE, both, both) == both
    assert merge(BASE, b"a\nX\nc\nd\nE\n", both) == b"a\nX\nc\nd\nE\n"


def test_conflicts() -> None:
    """The same line, or lines side by side, are for a person to sort out."""
    with pytest.raises(Conflict, match="line 2"):
        merge(BASE, b"a\nX\nc\nd\ne\n", b"a\nY\nc\nd\ne\n")
    with pytest.raises(Conflict):
        merge(BASE, b"a\nX\nc\nd\ne\n", b"a\nb\nY\nd\ne\n")


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n"]), max_size=12).map(b"".join)


@given(LINES, LINES)
def test_one_side_only(base: bytes, changed: bytes) -> None:
    """Merged with nothing, a change is itself; taken back, nothing is left of it."""
    assert merge(base, changed, base) == changed
    assert merge(base, base, changed) == changed
    assert merge(changed, changed, base) == base


# -- with marks ------------------------------------------------------------------------------------

NAMES = ("yours", "before", "theirs")
SIDES = {b"<<<<<<< yours": {0}, b"||||||| before": {1}, b"=======": {2}}
"""Whose lines come behind a mark: those of one, base, other."""


def unmarked(text: bytes) -> list[bytes]:
    """What each of the three would be if all conflicts were decided for it."""
    found: list[list[bytes]] = [[], [], []]
    of = {0, 1, 2}
    for line in text.splitlines(keepends=True):
        mark = line.strip()
        if mark.startswith(b">>>>>>> theirs"):
            of = {0, 1, 2}
        elif mark in SIDES:
            of = SIDES[mark]
        else:
            for side in of:
                found[side].append(line)
    return [b"".join(lines) for lines in found]


def test_marks() -> None:
    """All three stand between marks, as git writes them; what is no conflict is merged."""
    text = marked(BASE, b"a\nX\nc\nd\nE\n", b"a\nY\nc\nd\ne\n", ("yours", "before", "theirs, 3"))
    assert text == (
        b"a\n<<<<<<< yours\nX\n||||||| before\nb\n=======\nY\n>>>>>>> theirs, 3\nc\nd\nE\n"
    )
    assert marks(text, BASE) == [2, 4, 6, 8]
    assert marks(text.replace(b"<<<<<<<", b"<"), BASE) == [4, 6, 8]


def test_what_only_looks_like_a_mark() -> None:
    """A line that was there before is none: comments are underlined with equals signs."""
    known = b"<!--\nTitle\n=======\n-->\n"
    assert marks(known + b"new\n", known) == []
    assert marks(known, b"") == [3]


def test_marks_in_a_file_with_crlf() -> None:
    """Marks end as the lines around them do, so that editors take the file for what it is."""
    text = marked(b"a\r\nb\r\n", b"a\r\nX\r\n", b"a\r\nY\r\n", NAMES)
    assert text.count(b"\n") == text.count(b"\r\n") == 8
    assert marks(text, b"a\r\nb\r\n") == [2, 4, 6, 8]


def test_marks_at_an_end_without_a_line_end() -> None:
    """Each mark stands on a line of its own, also behind a last line that has no end."""
    text = marked(b"a\nb", b"a\nX", b"a\nY", NAMES)
    assert marks(text, b"") == [2, 4, 6, 8]
    assert unmarked(text) == [b"a\nX\n", b"a\nb\n", b"a\nY\n"]


def test_the_same_lines_by_both() -> None:
    """Where both made the same of the same lines, nothing is left to decide."""
    assert merge(b"a\nb\n", b"X\nb\n", b"X\nb\nc\n") == b"X\nb\nc\n"
    assert marked(BASE, b"a\nX\nd\ne\n", b"a\nX\nd\ne\n", NAMES) == b"a\nX\nd\ne\n"


@given(LINES, LINES, LINES)
def test_marks_where_nothing_can_be_merged(base: bytes, one: bytes, other: bytes) -> None:
    """Without a conflict it is what merge gives, to the byte; with one there are marks."""
    text = marked(base, one, other, NAMES)
    try:
        merged = merge(base, one, other)
    except Conflict:
        assert marks(text, b"")
    else:
        assert (text, marks(text, b"")) == (merged, [])


LINE = st.sampled_from([b"", b"a\n", b"b\n", b"c\n"])
PLACES = st.lists(st.tuples(LINE, LINE, LINE), max_size=8)
"""What base, one and other have at some places, which are far from each other."""


def side(places: list[tuple[bytes, ...]], number: int) -> bytes:
    return b"".join(
        each[number] + b"-- %d\n-- %d, too\n" % (place, place) for place, each in enumerate(places)
    )


@given(PLACES)
def test_nothing_is_lost(places: list[tuple[bytes, ...]]) -> None:
    """Base, one and other can be had back from the marked text; what is no conflict is merged."""
    merged: list[tuple[bytes, ...]] = []
    for base, one, other in places:
        both = other if one == base else one
        is_conflict = base not in (one, other) and one != other
        merged.append((one, base, other) if is_conflict else (both, both, both))
    text = marked(side(places, 0), side(places, 1), side(places, 2), NAMES)
    assert unmarked(text) == [side(merged, number) for number in range(3)]
