"""What is read from and written to etcd, as values, and their forms in JSON.

The forms are those of etcd's gateway (https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/): keys
and values in base64, 64-bit numbers as strings; a field that is zero or empty is left out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """One key as it is."""

    key: str
    value: bytes
    """Empty as well if only keys were asked for."""
    created: int
    """The revision at which the key came into being (create_revision)."""
    changed: int
    """The revision that put it last (mod_revision); of a deleted one, that deleted it."""
    lease: int = 0
    """The lease it ends with; 0: none."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a read gave."""

    items: tuple[Item, ...]
    revision: int
    """The revision of the whole store that it is of."""
    cluster: int
    """Which cluster answered; another one has other revisions."""
    is_whole: bool
    """Whether there is no more than was asked for."""


@dataclass(frozen=True, slots=True)
class Event:
    """A key was put or deleted."""

    item: Item
    is_deleted: bool
    """Then the item has no value, and its created is 0."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a watch gave at once."""

    revision: int
    """All events up to here have been given: a watch may go on at the one behind it."""
    events: tuple[Event, ...]
    """In the order of their revisions; none: nothing has happened for a while."""


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition of a transaction."""

    form: tuple[tuple[str, str], ...]
    """Its members in JSON."""

    @classmethod
    def absent(cls, key: str) -> Compare:
        """There is no such key."""
        return cls(_form(key, target="CREATE", create_revision="0"))

    @classmethod
    def unchanged(cls, key: str, changed: int) -> Compare:
        """A revision put the key last; 0: there is no such key."""
        return cls(_form(key, target="MOD", mod_revision=str(changed)))

    @classmethod
    def value(cls, key: str, value: bytes) -> Compare:
        """The key has a value; one that does not exist has none, not even an empty one."""
        return cls(_form(key, target="VALUE", value=to_base64(value)))

    @classmethod
    def none_newer(cls, prefix: str, changed: int) -> Compare:
        """No key below prefix was put after a revision; deleted ones do not count."""
        more = {"result": "LESS", "target": "MOD", "mod_revision": str(changed + 1)}
        return cls(tuple({**below(prefix), **more}.items()))


@dataclass(frozen=True, slots=True)
class Put:
    """Give a key a value; lease: that it ends with, 0: none."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Keep:
    """Change the lease of a key (0: none), and leave its value; there must be such a key."""

    key: str
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key, if there is one."""

    key: str


@dataclass(frozen=True, slots=True)
class DeleteAll:
    """Delete all keys below a prefix."""

    prefix: str


@dataclass(frozen=True, slots=True)
class DeleteRange:
    """Delete all keys from start on that come before end."""

    start: str
    end: str


Operation = Put | Keep | Delete | DeleteAll | DeleteRange


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a transaction."""

    is_done: bool
    """Whether all conditions held, so that all operations were carried out."""
    revision: int
    """Of the whole store after it; with is_done, that of what was put, if anything was."""
    found: tuple[Item, ...]
    """Not is_done: the keys that were asked for, those that exist."""


def operation_form(operation: Operation) -> dict[str, Any]:
    """An operation in JSON."""
    match operation:
        case Put(key, value, lease):
            return {"request_put": {**one(key), "value": to_base64(value), "lease": str(lease)}}
        case Keep(key, lease):
            return {"request_put": {**one(key), "lease": str(lease), "ignore_value": True}}
        case Delete(key):
            return {"request_delete_range": one(key)}
        case DeleteAll(prefix):
            return {"request_delete_range": below(prefix)}
        case DeleteRange(start, end):
            return {"request_delete_range": between(start.encode(), end.encode())}


def one(key: str) -> dict[str, str]:
    """A key, as members of a request."""
    return {"key": to_base64(key.encode())}


def below(prefix: str) -> dict[str, str]:
    """All keys that begin with prefix, as members of a request."""
    return between(prefix.encode(), end_of(prefix))


def between(start: bytes, end: bytes) -> dict[str, str]:
    """All keys from start on that come before end, as members of a request."""
    return {"key": to_base64(start or b"\0"), "range_end": to_base64(end)}


def end_of(prefix: str) -> bytes:
    """The first key behind all that begin with prefix; a zero byte stands for the end of all."""
    rest = prefix.encode().rstrip(b"\xff")
    return rest[:-1] + bytes([rest[-1] + 1]) if rest else b"\0"


def to_base64(data: bytes) -> str:
    """Bytes as etcd wants them."""
    return base64.b64encode(data).decode()


def from_base64(of: Mapping[str, Any], name: str) -> bytes:
    """A member that holds bytes; empty if it is left out. Raises ValueError."""
    return base64.b64decode(text(of, name), validate=True)


def number(of: Mapping[str, Any], name: str) -> int:
    """A member that is a number; 0 if it is left out. Raises ValueError or TypeError."""
    return int(of.get(name) or 0)


def text(of: Mapping[str, Any], name: str) -> str:
    """A member that is a text; empty if it is left out."""
    return str(of.get(name) or "")


def inner(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A member that is an object; an empty one if it is left out. Raises TypeError."""
    found = of.get(name) or {}
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no object")
    return found


def several(of: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A member that is a list of objects; an empty one if it is left out. Raises TypeError."""
    found = of.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise TypeError(f"{name} is no list of objects")
    return found


def item(form: Mapping[str, Any]) -> Item:
    """A key as etcd tells it. Raises ValueError or TypeError."""
    return Item(
        key=from_base64(form, "key").decode(),
        value=from_base64(form, "value"),
        created=number(form, "create_revision"),
        changed=number(form, "mod_revision"),
        lease=number(form, "lease"),
    )


def items(form: Mapping[str, Any]) -> tuple[Item, ...]:
    """The keys of an answer to a read. Raises ValueError or TypeError."""
    return tuple(item(each) for each in several(form, "kvs"))


def batch(result: Mapping[str, Any]) -> Batch:
    """One message of a watch. Raises ValueError or TypeError.

    The revision of its header is not that of the last event: the events of one revision come in
    several messages (fragments) if they are large, and while a watch catches up on old events, the
    header has the newest revision of all.
    """
    events = tuple(
        Event(item(inner(each, "kv")), text(each, "type") == "DELETE")
        for each in several(result, "events")
    )
    if not events:
        return Batch(number(inner(result, "header"), "revision"), ())
    last = events[-1].item.changed
    return Batch(last - 1 if result.get("fragment") else last, events)


def _form(key: str, **more: str) -> tuple[tuple[str, str], ...]:
    return tuple({**one(key), "result": "EQUAL", **more}.items())
