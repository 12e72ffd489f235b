"""What turned one file's bytes into another's: small, exact, and to be carried out both ways."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omeconf.core.lines import hunks, split

_LEVEL = 1
_HEAD = struct.Struct("<QII")
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes `old` at offset `start` became the bytes `new`."""

    start: int
    """Offset in the older file."""
    old: bytes
    new: bytes


Patch = Sequence[Piece]
"""Pieces in the order of the file; they do not overlap."""


def difference(old: bytes, new: bytes) -> Patch:
    """The patch from old to new; empty if they are equal."""
    if old == new:
        return ()
    head = _common_start(old, new)
    tail = _common_end(old, new, min(len(old), len(new)) - head)
    head = old.rfind(b"\n", 0, head) + 1  # whole lines, so that two edits are two pieces
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    old_lines, new_lines = split(before), split(after)
    pieces: list[Piece] = []
    offset, line = head, 0
    for hunk in hunks(old_lines, new_lines):
        offset += sum(map(len, old_lines[line : hunk.old_start]))
        gone = b"".join(old_lines[hunk.old_start : hunk.old_end])
        come = b"".join(new_lines[hunk.new_start : hunk.new_end])
        pieces.append(_trimmed(offset, gone, come))
        offset, line = offset + len(gone), hunk.old_end
    return tuple(pieces)


def window(old: bytes, new: bytes) -> tuple[int, int, int]:
    """Start and end, in old, of all that is not the same, and its end in new."""
    head = _common_start(old, new)
    tail = _common_end(old, new, min(len(old), len(new)) - head)
    return head, len(old) - tail, len(new) - tail


def extent(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> int:
    """How many bytes lie between the first and the last difference, in all files together."""
    total = 0
    for name in old.keys() | new.keys():
        one, other = old.get(name, b""), new.get(name, b"")
        if one != other:
            head = _common_start(one, other)
            tail = _common_end(one, other, min(len(one), len(other)) - head)
            total += len(one) + len(other) - 2 * (head + tail)
    return total


def forward(data: bytes, patch: Patch) -> bytes:
    """The newer file from the older. Raises ValueError if it is not the file patched."""
    parts: list[bytes | memoryview] = []
    view = memoryview(data)  # of large files nothing is copied twice
    position = 0
    for piece in patch:
        end = piece.start + len(piece.old)
        if data[piece.start : end] != piece.old:
            raise ValueError(f"the patch does not fit at offset {piece.start}")
        parts += (view[position : piece.start], piece.new)
        position = end
    return b"".join((*parts, view[position:]))


def reverse(patch: Patch) -> Patch:
    """The patch from the newer file to the older."""
    shift = 0
    pieces: list[Piece] = []
    for piece in patch:
        pieces.append(Piece(piece.start + shift, piece.new, piece.old))
        shift += len(piece.new) - len(piece.old)
    return tuple(pieces)


def encode(patch: Patch) -> bytes:
    """A patch as bytes, compressed."""
    parts = [
        _HEAD.pack(piece.start, len(piece.old), len(piece.new)) + piece.old + piece.new
        for piece in patch
    ]
    return zlib.compress(b"".join(parts), _LEVEL)


def decode(data: bytes) -> Patch:
    """A patch from its bytes. Raises ValueError if they are damaged."""
    try:
        plain = zlib.decompress(data)
        pieces: list[Piece] = []
        at = 0
        while at < len(plain):
            start, old, new = _HEAD.unpack_from(plain, at)
            at += _HEAD.size
            pieces.append(Piece(start, plain[at : at + old], plain[at + old : at + old + new]))
            at += old + new
    except (zlib.error, struct.error) as error:
        raise ValueError(f"a damaged patch: {error}") from error
    if at != len(plain):
        raise ValueError("a damaged patch: it is cut short")
    return tuple(pieces)


def _trimmed(start: int, old: bytes, new: bytes) -> Piece:
    head = _common_start(old, new)
    tail = _common_end(old, new, min(len(old), len(new)) - head)
    return Piece(start + head, old[head : len(old) - tail], new[head : len(new) - tail])


def _common_start(one: bytes, other: bytes) -> int:
    """How many bytes at the start are equal; large steps first, they cost next to nothing."""
    most, at = min(len(one), len(other)), 0
    while at + _CHUNK <= most and one[at : at + _CHUNK] == other[at : at + _CHUNK]:
        at += _CHUNK
    low, high = at, min(most, at + _CHUNK)
    while low < high:
        middle = (low + high + 1) // 2
        if one[at:middle] == other[at:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(one: bytes, other: bytes, most: int) -> int:
    """How many bytes at the end are equal, `most` at most."""
    at = 0
    while at + _CHUNK <= most and _slice(one, at, at + _CHUNK) == _slice(other, at, at + _CHUNK):
        at += _CHUNK
    low, high = at, min(most, at + _CHUNK)
    while low < high:
        middle = (low + high + 1) // 2
        if _slice(one, at, middle) == _slice(other, at, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _slice(data: bytes, near: int, far: int) -> bytes:
    """Bytes counted from the end."""
    return data[len(data) - far : len(data) - near]
