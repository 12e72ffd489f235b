from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omeconf.core.patch import Piece, decode, difference, encode, forward, reverse

DATA = st.lists(st.sampled_from([b"a", b"b\n", b"\n", b"ccc\n", b"\xff"]), max_size=30).map(
    b"".join
)


@given(DATA, DATA)
@example(b"aa", b"a")
@example(b"", b"a")
def test_there_and_back(old: bytes, new: bytes) -> None:
    """A patch carried out gives the new bytes, and reversed the old; as bytes it is the same."""
    patch = difference(old, new)
    assert forward(old, patch) == new
    assert forward(new, reverse(patch)) == old
    assert tuple(decode(encode(patch))) == tuple(patch)


def test_it_is_small() -> None:
    """Two changes far apart are two pieces; equal bytes cost nothing, also in long files."""
    lines = [b"line %d\n" % n for n in range(1_500)]
    old = b"".join(lines)
    lines[5], lines[1_400] = b"lime 5\n", b"a\nb\n"
    new = b"".join(lines)
    assert difference(old, new)[0] == Piece(old.index(b"line 5\n") + 2, b"n", b"m")
    assert len(difference(old, new)) == 2
    old *= 200
    assert difference(old, old + b"x") == (Piece(len(old), b"", b"x"),)
    assert difference(b"x" + old, old) == (Piece(0, b"x", b""),)


def test_what_does_not_fit() -> None:
    """Another file, or damaged bytes, are refused."""
    patch = difference(b"one\ntwo\n", b"one\n2\n")
    with pytest.raises(ValueError, match="does not fit"):
        forward(b"one\nTWO\n", patch)
    for bad in (b"", b"junk", encode(patch)[:-3]):
        with pytest.raises(ValueError, match="damaged"):
            decode(bad)
