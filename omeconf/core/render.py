"""What the engine is given: bodies for its REST API, and the file that it starts with.

Relative paths and macros mean something else in a body, or in another folder, than in the managed
file (tried on the engine: a macro in a number becomes 0, a relative path starts at /), so both are
resolved first: macros with the engine's environment, paths against the folder of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from xml.sax.saxutils import escape, quoteattr

from omeconf.core.effective import EffectiveElement
from omeconf.core.mapping import Json, to_json, typed
from omeconf.core.snapshot import Snapshot
from omeconf.core.values import expand
from omeconf.errors import Refused

COMPLETE = ("providers", "publishers", "outputProfiles")
"""What an application's body must have, since the engine fills in its own defaults for it."""


def application_body(application: EffectiveElement, snapshot: Snapshot) -> dict[str, Json]:
    """An application as POST .../apps wants it. Raises Refused if a macro cannot be resolved."""
    body: dict[str, Json] = to_json(application, leaf=lambda node: _value(node, snapshot))
    return {**{key: {} for key in COMPLETE}, **body}


def virtual_host_body(host: EffectiveElement, snapshot: Snapshot) -> dict[str, Json]:
    """A virtual host as POST /v1/vhosts wants it, without its applications. Raises Refused."""
    body: dict[str, Json] = to_json(
        host, leaf=lambda node: _value(node, snapshot), but="Applications"
    )
    return body


def start_file(
    root: EffectiveElement, snapshot: Snapshot, instead: Mapping[str, str] | None = None
) -> bytes:
    """One file with all that a configuration says, includes and all, for an engine to start with.

    instead: XML that stands in the place of an element, by its path (``Server/Managers``), also
    where there is none. Macros stay: the engine resolves them with its own environment.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<!-- made by omeconf: edits are lost -->"]
    _write(root, snapshot, instead or {}, "", lines)
    return ("\n".join(lines) + "\n").encode()


def resolved(node: EffectiveElement, snapshot: Snapshot, text: str) -> str:
    """A value with a relative path made absolute, where the engine would resolve it."""
    if not node.item.resolved or not text or text.startswith("/"):
        return text
    file = node.document.file
    folder = str(PurePosixPath(file).parent) if file.startswith("/") else snapshot.folder
    return f"{folder.rstrip('/')}/{text}"


def _value(node: EffectiveElement, snapshot: Snapshot) -> Json:
    assert node.item.type is not None
    text = expand(node.element.value, snapshot.env)
    if text is None:
        raise Refused(
            f"{node.place_path} is {node.element.value}: what that is cannot be known without the "
            "engine's environment ([engine] env_file)",
            (),
        )
    return typed(resolved(node, snapshot, text), node.item.type)


def _write(
    node: EffectiveElement,
    snapshot: Snapshot,
    instead: Mapping[str, str],
    indent: str,
    lines: list[str],
) -> None:
    name = node.item.name
    if node.item.type is not None:
        text = escape(resolved(node, snapshot, node.element.value))
        lines.append(f"{indent}<{name}>{text}</{name}>")
        return
    attributes = "".join(
        f" {key}={quoteattr(value)}"
        for key, value in node.element.attributes.items()
        if key in node.item.attributes
    )
    lines.append(f"{indent}<{name}{attributes}>")
    for child_name, item in node.item.children.items():
        if item.path in instead:
            lines.append(f"{indent}\t{instead[item.path]}")
            continue
        for child in node.all(child_name):
            _write(child, snapshot, instead, indent + "\t", lines)
    lines.append(f"{indent}</{name}>")
