"""A configuration whose application has every element there is, one line each, and all right."""

from __future__ import annotations

import re

from omeconf.core.schema import Item
from tests.support import MINIMAL, checked, schema
from tests.support.daemon import TOKEN

SAMPLES = ("4", "1.5", "500k", "en", "4000/udp", "http://x.example.com/", "TXXX")
ROUNDS = 5


def full() -> str:
    """Server.xml for a daemon; @PORT@ is its port.

    What is deprecated is left out, and what is wrong with any value, or in this surrounding.
    """
    head, _, rest = MINIMAL.partition("\t\t\t\t<Application>\n")
    application = _written(schema().application, 4)
    text = head + application + rest.partition("</Application>\n")[2]
    text = text.replace(
        "<Bind>", "<Bind><Managers><API><Port>@PORT@</Port></API></Managers>"
    ).replace(
        "\t<VirtualHosts>",
        "\t<Managers><Host><Names><Name>*</Name></Names></Host><API>"
        f"<AccessToken>{TOKEN}</AccessToken></API></Managers>\n\t<VirtualHosts>",
    )
    for _ in range(ROUNDS):
        found = checked(text.replace("@PORT@", "8081")).violations
        wrong = {each.line for each in found if each.severity != "advice"}
        if not wrong:
            return text
        lines = enumerate(text.splitlines(keepends=True), 1)
        text = "".join(line for at, line in lines if at not in wrong or not _is_element(line))
    raise AssertionError(f"still wrong: {found}")


def _written(item: Item, depth: int) -> str:
    tabs = "\t" * depth
    if item.deprecated:
        return ""
    if item.type is None:
        inside = "".join(_written(child, depth + 1) for child in item.children.values())
        return f"{tabs}<{item.name}>\n{inside}{tabs}</{item.name}>\n"
    value = _sample(item)
    return f"{tabs}<{item.name}>{value}</{item.name}>\n" if value else f"{tabs}<{item.name}/>\n"


def _sample(item: Item) -> str:
    """A value that the engine takes as it is written; "" for none."""
    assert item.type is not None
    least, _ = item.type.bounds
    tried = [*item.type.words, item.default or "", "" if least is None else str(least)]
    tried += [item.name.lower(), *SAMPLES]
    return next((text for text in tried if text and item.type.is_clean(text)), "")


def _is_element(line: str) -> bool:
    """Whether a line is one element with a value."""
    return re.fullmatch(r"\t*<(\w+)(/>|>[^<]*</\1>)\n", line) is not None
