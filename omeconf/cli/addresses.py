"""How people write what they mean: elements, applications, assignments.

An element: ``Bind/Providers/RTMP/Port``, ``/Server/Bind``, ``VirtualHosts/VirtualHost[default]``;
in brackets is the Name of a list item, or its place from 1 (of one whose Name is a number:
``[Name="1"]``). A member of an application: that, or as its JSON has it,
``publishers.llhls.segmentDuration``. An application: ``default/live``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import click

from omeconf.core.path import Path, Step, application

_QUOTES = r"(?:Name=)?(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)')"
_KEY = r"(?:Name=)?(?:\"(?:[^\"\\]|\\.)*\"|'[^']*')|[^\]]*"
"""What may stand in brackets: in quotes anything, else what has no bracket."""
_QUOTED = re.compile(_QUOTES)
_STEP = re.compile(rf"([A-Za-z0-9_]+)(?:\[({_KEY})\])?(?:/|$)")
_MEMBER = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
_ASSIGNED = re.compile(rf"((?:[^=\[]|\[(?:{_KEY})\])+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What shall be there: the element, and its value as JSON."""

    where: str
    """As it was written."""
    value: Any


def element(text: str) -> Path:
    """An element from Server down. Raises UsageError."""
    found = steps(text.removeprefix("/"))
    return Path(found if found[:1] == (Step("Server"),) else (Step("Server"), *found))


def steps(text: str) -> tuple[Step, ...]:
    """The steps of a path, wherever it begins. Raises UsageError."""
    found: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise click.UsageError(
                f"cannot read {text!r} at {text[position:]!r}: a path is like "
                "Bind/Providers/RTMP/Port or VirtualHosts/VirtualHost[default]"
            )
        found.append(_step(match[1], match[2]))
        position = match.end()
    if not found:
        raise click.UsageError("a path is like Bind/Providers/RTMP/Port")
    return tuple(found)


def _step(name: str, key: str | None) -> Step:
    if key is None:
        return Step(name)
    if key.isascii() and key.isdigit():
        return Step(name, place=int(key))
    quoted = _QUOTED.fullmatch(key)
    if quoted is None:
        return Step(name, key.removeprefix("Name="))
    double, single = quoted.groups()
    return Step(name, single if double is None else re.sub(r"\\(.)", r"\1", double))


def host_and_application(text: str) -> tuple[str, str]:
    """The names in ``default/live``. Raises UsageError."""
    host, slash, name = text.partition("/")
    if not (host and slash and name):
        raise click.UsageError(f"{text!r} is no application: write HOST/APP, as default/live")
    return host, name


def application_path(text: str) -> Path:
    """Where an application is. Raises UsageError."""
    return application(*host_and_application(text))


def assignment(text: str) -> Assignment:
    """``WHERE=VALUE``. Raises UsageError."""
    match = _ASSIGNED.fullmatch(text)
    if match is None:
        raise click.UsageError(f"{text!r} sets nothing: write PATH=VALUE")
    return Assignment(match[1].strip(), value(match[2]))


def value(text: str) -> Any:
    """A value: JSON if it is an object, an array, a quoted string or null; else the text.

    (Numbers and booleans stay text, so that ``1.0`` is written as ``1.0``.)
    """
    if text == "null" or text[:1] in ("{", "[", '"'):
        try:
            return json.loads(text)
        except ValueError:
            if text[:1] != '"':
                raise click.UsageError(f"{text!r} is no JSON") from None
    return text


def edit(above: Path, where: str, wanted: Any) -> dict[str, Any]:
    """The edit that sets an element below another; None removes it. Raises UsageError."""
    if "." in where or where[:1].islower():
        return merge(above, where, wanted)
    path = Path((*above.steps, *steps(where)))
    if wanted is None:
        return {"verb": "delete", "path": str(path)}
    return {"verb": "set", "path": str(path), "value": wanted}


def merge(above: Path, member: str, wanted: Any) -> dict[str, Any]:
    """The edit that sets a member of an object, as JSON names it. Raises UsageError."""
    if not _MEMBER.fullmatch(member):
        raise click.UsageError(
            f"{member!r} is no member: write it as JSON does, publishers.llhls.segmentDuration, "
            "or as the file does, OutputProfiles/OutputProfile[p1]/Encodes/Video[v]/Bitrate"
        )
    patch = wanted
    for name in reversed(member.split(".")):
        patch = {name: patch}
    return {"verb": "merge", "path": str(above), "value": patch}
