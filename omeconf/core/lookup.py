"""Elements found by what people write: any tail of a path, in XML or JSON names, in any case.

``Application/Publishers/LLHLS``, ``publishers.llhls.segmentDuration`` and
``/Server/VirtualHosts/VirtualHost[1]/Name`` all name one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from omeconf.core.schema import Item, Schema

_WHICH = re.compile(r"\[(?:\"(?:[^\"\\]|\\.)*\"|[^\]\"])*\]")


@dataclass(frozen=True, slots=True)
class OtherRelease:
    """An element that a release does not know, and another does."""

    path: str
    since: str = ""
    """The first release with it; "" if that is not known."""
    until: str = ""
    """The last release with it; "" if it is still there."""
    use: str = ""
    """What to write instead; "" if nothing took its place."""


def steps(text: str) -> tuple[str, ...]:
    """What is written, step by step, in lower case; which item of a list it is does not matter."""
    return tuple(filter(None, re.split(r"[/.]", _WHICH.sub("", text).lower())))


def find(schema: Schema, text: str) -> list[Item]:
    """The elements whose path ends so; only that one, if the path is whole. "" finds none."""
    wanted = steps(text)
    found = [item for item in schema.items.values() if _ends(item, wanted)]
    return [item for item in found if item.path.count("/") + 1 == len(wanted)] or found


def in_other_releases(schema: Schema, text: str) -> list[OtherRelease]:
    """Where a release has no such element: what older ones had and newer ones have."""
    wanted = steps(text)
    for length in range(len(wanted), 0, -1):
        if length < len(wanted) and find(schema, "/".join(wanted[:length])):
            return []
        found = [each for each in _others(schema) if _is_tail(each.path, wanted[:length])]
        if found:
            return found
    return []


def nearest(schema: Schema, text: str, most: int = 5) -> list[str]:
    """Paths that are written much like it, the likeliest first."""
    wanted = steps(text)
    tails: dict[str, list[str]] = {}
    for item in schema.items.values():
        for names in _spellings(item):
            tail = "/".join(names[-len(wanted) :]).lower()
            tails.setdefault(tail, []).append(item.path)
    close = get_close_matches("/".join(wanted), tails, n=most, cutoff=0.7)
    return list(dict.fromkeys(path for tail in close for path in tails[tail]))[:most]


def json_path(item: Item) -> str:
    """Its JSON names from the application, virtual host or server that it belongs to, down."""
    if item.parent is None or item.opens_scope:
        return ""
    above = json_path(item.parent)
    if item.is_flat:
        return above
    return f"{above}.{item.json}" if above else item.json


def owner(item: Item) -> Item:
    """The application, virtual host or server that it belongs to: where its JSON path begins."""
    return item if item.parent is None or item.opens_scope else owner(item.parent)


def _others(schema: Schema) -> Iterator[OtherRelease]:
    for item in schema.items.values():
        for former in item.formers:
            if former.until and former.name not in item.children:
                path = f"{item.path}/{former.name}"
                yield OtherRelease(path, former.since, former.until, former.use)
        for name, since in item.newer.items():
            yield OtherRelease(f"{item.path}/{name}", since)


def _ends(item: Item, wanted: Sequence[str]) -> bool:
    """Whether an item's path ends with these steps; each may be its XML or its JSON name."""
    at: Item | None = item
    for step in reversed(wanted):
        if at is None or step not in (at.name.lower(), at.json.lower()):
            return False
        at = at.parent
    return bool(wanted)


def _is_tail(path: str, wanted: Sequence[str]) -> bool:
    return tuple(path.lower().split("/"))[-len(wanted) :] == tuple(wanted)


def _spellings(item: Item) -> tuple[list[str], list[str]]:
    """The names on its path, in XML and in JSON."""
    if item.parent is None:
        return [item.name], [item.json]
    names, keys = _spellings(item.parent)
    return [*names, item.name], [*keys, item.json]
