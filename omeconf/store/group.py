"""A group's revisions in etcd: one transaction makes one, whoever is asked and whoever dies.

Below ``/omeconf/GROUP/``:

- ``state/`` is what every member watches: ``id`` of the group, ``head`` and ``stable`` revision,
  the ``rollout``, who drives, who is there and what each says. All small.
- ``revisions/N`` is a revision with what it changed, compressed; every hundredth has all files.
- ``parts/IDENTITY/I`` is the rest of one that is too large for one value. Parts are written first,
  and belong to a lease until the revision does, so that what a crash leaves goes by itself.

etcd takes 1.5 MB in one request and 128 operations in one transaction unless it is told otherwise
(``--max-request-bytes``, ``--max-txn-ops``).
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from omeconf.core.revision import Origin, Revision
from omeconf.errors import GroupAway, Unwritable
from omeconf.store.etcd import Compare, DeleteAll, DeleteRange, Etcd, Item, Keep, Put
from omeconf.store.history import COPY_EVERY, Record

log = logging.getLogger(__name__)

PART_BYTES = 400_000
"""Bytes of one value: with what JSON makes of them, far below what etcd takes."""
MOST_PARTS = 100
"""Of one revision: a transaction has to name them all."""
PART_LEASE_S = 120
"""How long parts may wait for their revision."""
PAGE = 100
"""Revisions that are read at once."""
PATIENCE_S = 6.0
"""How long it is tried to find out whether a revision was made."""

_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which revision is the newest, or the one confirmed last."""

    number: int
    identity: str

    def encode(self) -> bytes:
        """For the record."""
        return json.dumps({"number": self.number, "identity": self.identity}).encode()

    @classmethod
    def parse(cls, data: bytes) -> Pointer:
        """From the record."""
        found = json.loads(data)
        return cls(int(found["number"]), str(found["identity"]))

    @classmethod
    def to(cls, revision: Revision) -> Pointer:
        """The pointer to a revision."""
        return cls(revision.number, revision.identity)


class Group:
    """The revisions of one group. May be used from several threads.

    What it does raises GroupAway, GroupFull or GroupRefused (all Unwritable) if etcd cannot.
    """

    def __init__(self, etcd: Etcd, name: str) -> None:
        self.etcd = etcd
        self.name = name
        self.root = f"/omeconf/{name}/"
        self.state = f"{self.root}state/"

    def key(self, *names: str) -> str:
        """The key of something that all members watch."""
        return self.state + "/".join(names)

    # -- reading ---------------------------------------------------------------------------

    def head(self) -> Pointer | None:
        """The newest revision; None if there is no group yet."""
        found = self.etcd.get(self.key("head"))
        return Pointer.parse(found.value) if found else None

    def identity(self, number: int) -> str:
        """What tells a revision from others of its number; "" if it is not there."""
        found = self.etcd.get(self._revision(number))
        return _parse(found.value)[0].identity if found else ""

    def oldest(self) -> int:
        """The oldest revision that is there, which stands for itself; 0 if there is none."""
        found = self.etcd.read(f"{self.root}revisions/", limit=1, keys_only=True)
        return _number(found.items[0].key) if found.items else 0

    def since(self, number: int) -> Iterator[Record]:
        """All revisions after one, oldest first.

        Where those between are gone, it begins with the oldest that stands for itself. Raises
        Unwritable if one is damaged.
        """
        start = number + 1
        while True:
            page = self.etcd.read(f"{self.root}revisions/", start=self._revision(start), limit=PAGE)
            for item in page.items:
                record = self._record(item)
                yield record
                start = record.revision.number + 1
            if not page.items or page.is_whole:
                return

    def _record(self, item: Item) -> Record:
        try:
            revision, header, data = _parse(item.value)
            blob = b"".join([data, *self._parts(revision.identity, int(header["parts"]))])
            raw = memoryview(zlib.decompress(blob))
            changes, copy, at = [], {}, 0
            for name, kind, size in header["changes"]:
                changes.append((str(name), str(kind), bytes(raw[at : at + size])))
                at += size
            for name, size in header["copy"] or ():
                copy[str(name)] = bytes(raw[at : at + size])
                at += size
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise Unwritable(f"{item.key} in etcd is damaged: {error}") from error
        return Record(revision, tuple(changes), copy if header["copy"] is not None else None)

    def _parts(self, identity: str, count: int) -> Iterator[bytes]:
        for number in range(count):
            found = self.etcd.get(self._part(identity, number))
            if found is None:
                raise ValueError(f"part {number} is missing")
            yield found.value

    # -- writing ---------------------------------------------------------------------------

    def found(self, record: Record, group_id: str, stable: Pointer) -> bool:
        """Begin a group with a revision that stands for itself; not if there is a group."""
        return self._put(
            record,
            [Compare.absent(self.key("head"))],
            [
                Put(self.key("id"), group_id.encode()),
                Put(self.key("head"), Pointer.to(record.revision).encode()),
                Put(self.key("stable"), stable.encode()),
            ],
        )

    def raise_stable(self, known: Pointer, stable: Pointer) -> bool:
        """Have a newer revision on record as confirmed; False if that was done meanwhile."""
        key = self.key("stable")
        compare = Compare.value(key, known.encode())
        return self.etcd.transact([compare], [Put(key, stable.encode())]).is_done

    def commit(self, record: Record, base: Pointer) -> bool:
        """Make a revision on top of a base; False if that is not the newest any more.

        When etcd does not say what came of it, that is found out. Raises GroupAway(is_unknown) if
        it cannot be, since it does not answer any more.
        """
        return self._put(
            record,
            [Compare.value(self.key("head"), base.encode())],
            [Put(self.key("head"), Pointer.to(record.revision).encode())],
        )

    def _put(self, record: Record, compares: Sequence[Compare], more: Sequence[Put]) -> bool:
        revision = record.revision
        value, parts = _encode(record)
        keys = [self._part(revision.identity, number) for number in range(len(parts))]
        lease = 0
        if parts:
            lease = self.etcd.grant(PART_LEASE_S)
            for key, part in zip(keys, parts, strict=True):
                self.etcd.put(key, part, lease)
        put = Put(self._revision(revision.number), value)
        operations: list[Put | Keep] = [put, *more, *(Keep(key) for key in keys)]
        try:
            return self._transact(record, compares, operations)
        finally:
            if lease:
                with suppress(Unwritable):  # then it ends by itself
                    self.etcd.revoke(lease)

    def _transact(
        self, record: Record, compares: Sequence[Compare], operations: Sequence[Put | Keep]
    ) -> bool:
        revision = record.revision
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self.etcd.transact(compares, operations).is_done:
                    return True
                return self.identity(revision.number) == revision.identity
            except GroupAway as error:
                # the same again: if it was carried out, it is not carried out twice
                if time.monotonic() > deadline or not error.is_unknown:
                    raise

    def prune(self, first_kept: int) -> int:
        """Forget revisions that are not needed to make any from first_kept on; how many went."""
        kept = 0
        numbers: list[int] = []
        for number in self._numbers():
            if number > first_kept:
                break
            numbers.append(number)
            if number % COPY_EVERY == 0:
                kept = number
        gone = [number for number in numbers if number < kept]
        for number in gone:
            found = self.etcd.get(self._revision(number))
            if found is not None and (revision := _parse(found.value))[1]["parts"]:
                self.etcd.transact((), [DeleteAll(f"{self.root}parts/{revision[0].identity}/")])
        if gone:
            start, end = self._revision(gone[0]), self._revision(kept)
            self.etcd.transact((), [DeleteRange(start, end)])
        return len(gone)

    def _numbers(self) -> Iterator[int]:
        start = self._revision(0)
        while True:
            page = self.etcd.read(f"{self.root}revisions/", start=start, limit=1000, keys_only=True)
            for item in page.items:
                yield _number(item.key)
                start = self._revision(_number(item.key) + 1)
            if not page.items or page.is_whole:
                return

    def _revision(self, number: int) -> str:
        return f"{self.root}revisions/{number:012d}"

    def _part(self, identity: str, number: int) -> str:
        return f"{self.root}parts/{identity}/{number:04d}"


def _number(key: str) -> int:
    return int(key.rpartition("/")[2])


def _encode(record: Record) -> tuple[bytes, list[bytes]]:
    """The value of a revision, and what does not fit into it. Raises Unwritable if it is huge."""
    revision, copy = record.revision, record.copy
    raw = [data for _, _, data in record.changes] + list((copy or {}).values())
    blob = zlib.compress(b"".join(raw), _LEVEL)
    first, rest = blob[:PART_BYTES], blob[PART_BYTES:]
    parts = [rest[at : at + PART_BYTES] for at in range(0, len(rest), PART_BYTES)]
    if len(parts) > MOST_PARTS:
        most = (MOST_PARTS + 1) * PART_BYTES
        raise Unwritable(f"{len(blob)} bytes, compressed, are too many for a group: {most} at most")
    header = {
        **_as_json(revision),
        "changes": [[name, kind, len(data)] for name, kind, data in record.changes],
        "copy": None if copy is None else [[name, len(data)] for name, data in copy.items()],
        "parts": len(parts),
    }
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + first, parts


def _as_json(revision: Revision) -> dict[str, Any]:
    return {
        "number": revision.number,
        "parent": revision.parent,
        "author": revision.author,
        "time": revision.time,
        "message": revision.message,
        "origin": revision.origin.value,
        "digest": revision.digest,
        "reverts": list(revision.reverts),
    }


def _parse(value: bytes) -> tuple[Revision, dict[str, Any], bytes]:
    """A revision, all that its header says, and the beginning of its data. Raises ValueError."""
    line, _, data = value.partition(b"\n")
    header = json.loads(line)
    revision = Revision(
        int(header["number"]),
        int(header["parent"]),
        str(header["author"]),
        float(header["time"]),
        str(header["message"]),
        Origin(header["origin"]),
        str(header["digest"]),
        "",
        tuple(map(int, header["reverts"])),
    )
    return revision, header, data
