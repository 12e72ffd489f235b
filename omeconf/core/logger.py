"""Logger.xml, which the engine reads before Server.xml: an error in it ends the start too.

The engine wants ``<Logger version="2">`` with at least one ``<Tag name="regex" level="..."/>``;
everything behind the first Tag is read as one. Without the file it only warns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from omeconf.core.document import Document
from omeconf.core.snapshot import LOGGER_FILE
from omeconf.core.structure import at
from omeconf.core.values import to_int
from omeconf.core.violation import Severity, Violation
from omeconf.errors import NotWellFormed

FILE = LOGGER_FILE
LEVELS = ("trace", "debug", "info", "warn", "error", "critical")


def check_logger(data: bytes) -> Iterator[Violation]:
    """What is wrong with a Logger.xml."""
    try:
        document = Document(data, file=FILE)
    except NotWellFormed as error:
        yield Violation(
            Severity.ERROR,
            "not-well-formed",
            FILE,
            error.line,
            error.column,
            "/",
            error.reason,
            "",
            f"Could not load config... reason: {error.reason}",
        )
        return
    root = document.root
    if root.name != "Logger":
        yield _error(document, 0, "wrong-root", f"the root element is <{root.name}>, not <Logger>")
        return
    version = root.attributes.get("version", "")
    if to_int(version) != 2:
        shown = f'version="{version}"' if version else "no version"
        yield _error(
            document, 0, "invalid-value", f"<Logger> has {shown}", 'write <Logger version="2">'
        )
    names = [child.name for child in root.children]
    if "Tag" not in names:
        yield _error(
            document,
            0,
            "missing-element",
            "<Logger> needs a <Tag>",
            'add <Tag name=".*" level="info" />',
        )
        return
    for place, child in enumerate(root.children[names.index("Tag") :], names.index("Tag") + 1):
        level = child.attributes.get("level", "")
        if level.lower() not in LEVELS:
            shown = f'"{level}"' if level else "missing"
            yield _error(
                document,
                place,
                "invalid-value",
                f"the level of this tag is {shown}",
                f"it must be one of {', '.join(LEVELS)}",
            )
        try:
            re.compile(child.attributes.get("name", ""))
        except re.error as error:
            name = child.attributes.get("name", "")
            yield _error(
                document,
                place,
                "invalid-value",
                f'"{name}" is not a regular expression: {error.msg}',
                'the name of a tag is one, such as "Publisher.*"',
            )


def _error(document: Document, place: int, code: str, message: str, hint: str = "") -> Violation:
    """An error at the root (place 0), or at its child of that place."""
    root = document.root
    element = root.children[place - 1] if place else root
    path = f"/Logger/{element.name}[{place}]" if place else "/Logger"
    return at(document, element, path, Severity.ERROR, code, message, hint=hint, says=message)
