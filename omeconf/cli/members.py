"""What a shell is offered for ``WHERE=VALUE``: members of an application, paths, and values.

Items of lists, and what a value is now, are known if the daemon answers soon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from omeconf.cli.offers import applications, config, meaning, named, release

if TYPE_CHECKING:
    from omeconf.core.schema import Item

    Offers = Iterator[CompletionItem[str]]

_KEY_VALUE = r"((?:[^=\[]|\[(?:\"(?:[^\"\\]|\\.)*\"|[^\]\"])*\])*)=(.*)"
"""Patterns are compiled where they are used: every command imports this module."""
_STEP = r"([A-Za-z0-9_]+)(?:\[(?:Name=)?\"?((?:[^\"\\\]]|\\.)*)\"?\])?"

Root = tuple["Item | None", Any]
"""Where keys or a path begin, or lead to: the element, and its value as it is now."""


def of_an_application(end: str) -> Callable[[click.Context, str], Offers]:
    """``publishers.llhls.segmentDuration=4`` or ``Publishers/LLHLS``, from an application down."""

    def offers(ctx: click.Context, begun: str) -> Offers:
        if begun[:1].isupper():
            yield from _by_path(_application(ctx), begun, end)
        else:
            yield from _by_json(_application(ctx), begun, end)

    return offers


def of_the_configuration(end: str) -> Callable[[click.Context, str], Offers]:
    """``Bind/Providers/RTMP/Port=1936``, from Server down; items of lists by their names."""
    return lambda ctx, begun: _by_path(_server(ctx), begun, end)


def of_an_editor(ctx: click.Context, begun: str) -> Offers:
    """An application, or an element of the configuration as it is now."""
    yield from applications(ctx, begun)
    yield from _by_path(_server(ctx), begun, "")


def _server(ctx: click.Context) -> Root:
    from omeconf.store.disk import shipped_schema

    return shipped_schema(release(ctx)).root, config(ctx)


def _application(ctx: click.Context) -> Root:
    """The one that stands before on the line, if it is there already."""
    from omeconf.store.disk import shipped_schema

    host, _, name = str(ctx.params.get("application") or "").partition("/")
    found = _chosen(config(ctx).get("virtualHosts") or (), host) if host else None
    value = _chosen((found or {}).get("applications") or (), name)
    return shipped_schema(release(ctx)).application, value


def _by_json(root: Root, begun: str, end: str) -> Offers:
    given = re.fullmatch(_KEY_VALUE, begun, re.DOTALL)
    if given and end:
        yield from _values(_down(root, given[1].split(".")), f"{given[1]}=", given[2])
        return
    head, dot, last = begun.rpartition(".")
    item, _ = _down(root, head.split(".")) if head else root
    for child in item.children.values() if item else ():
        if child.json.lower().startswith(last.lower()):
            is_deep = bool(child.children) and child.flat_child is None and not child.is_list
            yield from _named_or_on(f"{head}{dot}{child.json}", "." if is_deep else "", end, child)


def _down(root: Root, keys: Sequence[str]) -> Root:
    item, value = root
    for key in keys:
        item = item.by_json(key) if item is not None else None
        value = value.get(key) if isinstance(value, dict) else None
    return item, value


def _by_path(root: Root, begun: str, end: str) -> Offers:
    given = re.fullmatch(_KEY_VALUE, begun, re.DOTALL)
    if given and end:
        yield from _values(_reached(root, _cut(given[1])), f"{given[1]}=", given[2])
        return
    *heads, last = _cut(begun)
    head = begun.removesuffix(last)
    item, value = _reached(root, heads)
    if head == "/" and item is not None:
        yield from named([item], head, last, is_json=False)
    for child in item.children.values() if item else ():
        for name in _names(child, value):
            if name.lower().startswith(last.lower()):
                yield from _named_or_on(f"{head}{name}", "/" if child.children else "", end, child)


def _named_or_on(text: str, mark: str, end: str, item: Item) -> Offers:
    """An element as it is, where it may be; and what it goes on with: below it, or to a value."""
    if not end:
        yield CompletionItem(text, help=meaning(item))
    if mark or end:
        yield CompletionItem(f"{text}{mark or end}", type="part")


def _names(item: Item, above: Any) -> list[str]:
    """How it is named in a path: once, or once for each item of a list of objects."""
    if not item.is_list or item.type is not None:
        return [item.name]
    found = above.get(item.json) if isinstance(above, dict) else above
    values = found if isinstance(found, list) else []
    return [f"{item.name}[{_key(value, place)}]" for place, value in enumerate(values, 1)]


def _key(value: Any, place: int) -> str:
    """What stands in the brackets: the Name, in quotes where it must be, or else the place."""
    name = value.get("name") if isinstance(value, dict) else None
    if name is None:
        return str(place)
    text = str(name)
    if text and not text.isdigit() and not set(text) & set("[]\"'\\/="):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'Name="{escaped}"'


def _cut(text: str) -> list[str]:
    """Step by step, also where a key is not closed yet; a `/` in a key cuts nothing."""
    key = r"\[(?:\"(?:[^\"\\]|\\.)*\"?|[^\]\"])*\]?"
    return re.findall(rf"(?:^|(?<=/))((?:[^/\[]|{key})*)(?:/|$)", text)


def _reached(root: Root, steps: Sequence[str]) -> Root:
    """What some steps lead to."""
    item, value = root
    for step in steps:
        match = re.fullmatch(_STEP, step)
        if not step or (item and item.parent is None and step == item.name):
            continue
        child = item.children.get(match[1]) if match and item else None
        if match is None or child is None:
            return None, None
        if isinstance(value, dict):
            value = value.get(child.json)
        if child.is_list and child.type is None:
            value = _chosen(value if isinstance(value, list) else (), match[2] or "1")
        item = child
    return item, value


def _chosen(values: Sequence[Any], key: str) -> Any:
    """The item of a list with that Name, or at that place."""
    for place, value in enumerate(values, 1):
        name = value.get("name") if isinstance(value, dict) else None
        if key == str(name) or (name is None and key == str(place)):
            return value
    return None


def _values(reached: Root, head: str, begun: str) -> Offers:
    """What it is now, what it is when nothing is written, and the words to choose from."""
    item, now = reached
    if item is None or item.type is None:
        return
    current = "" if item.is_secret else _written(now)
    known = {item.default or "": "the default", current: "as it is now"}
    for word in dict.fromkeys((current, item.default or "", *item.type.words)):
        if word and word.lower().startswith(begun.lower()):
            yield CompletionItem(f"{head}{word}", help=known.get(word))


def _written(value: Any) -> str:
    """A scalar as text; what is none: nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or isinstance(value, dict | list) else str(value)
