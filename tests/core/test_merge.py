from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omeconf.core.merge import merge
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
