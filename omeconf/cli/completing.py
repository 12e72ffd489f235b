"""Types of arguments that the shell can complete: revisions, applications, elements, values.

An argument takes one with ``type=REVISION``. They take every text (a revision: every number); what
is right is for the daemon to say. With the daemon away, what it would know is not offered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from omeconf.errors import OmeconfError

if TYPE_CHECKING:
    from omeconf.client import Client
    from omeconf.core.schema import Item

    Offers = Iterator[CompletionItem[str]]
    _Text = click.ParamType[str]
else:  # older releases of click have no types of such types
    _Text = click.ParamType

T = TypeVar("T")
ANSWER_S = 1.0
"""How long a shell waits for the daemon."""
MOST_REVISIONS = 50
STATES = {
    "disk": "the files as they lie there",
    "head": "the newest revision",
    "running": "what the engine runs",
    "healthy": "the last one known to be well",
}
RELEASES = tuple(f"0.{minor}" for minor in range(21, 11, -1))
_KEY_VALUE = r"((?:[^=\[]|\[(?:\"(?:[^\"\\]|\\.)*\"|[^\]\"])*\])*)=(.*)"
"""Patterns are compiled where they are used: every command imports this."""
_STEP = r"([A-Za-z0-9_]+)(?:\[(?:Name=)?\"?((?:[^\"\\\]]|\\.)*)\"?\])?"


class Completed(_Text):
    """A text; offers gives what the shell may put in its place."""

    def __init__(self, name: str, offers: Callable[[click.Context, str], Offers]) -> None:
        self.name = name
        self.offers = offers

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """What begins so."""
        del param
        return list(self.offers(ctx, incomplete))


class Revision(click.IntRange):
    """The number of a revision; the newest are offered, with what they were made for."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """What begins so."""
        del param
        return list(_revisions(ctx, incomplete))


# -- what the daemon knows -------------------------------------------------------------------------


def _asked(ctx: click.Context, ask: Callable[[Client], T]) -> T | None:
    """What the daemon answers; None if it does not do so soon."""
    from omeconf.cli.options import default_socket
    from omeconf.client import Client

    path = ctx.params.get("socket_path") or default_socket()
    try:
        return ask(Client(path, timeout_s=ANSWER_S))
    except OmeconfError:
        return None


def _revisions(ctx: click.Context, begun: str) -> Offers:
    found = _asked(ctx, lambda daemon: daemon.revisions(MOST_REVISIONS, changes=True))
    for each in found or ():
        number = str(each["number"])
        if number.startswith(begun):
            yield CompletionItem(number, help=_about(each))


def _about(revision: dict[str, Any]) -> str:
    """Who made a revision, how, when, what for, and what it changed."""
    changed = ", ".join(change["path"].rpartition("/")[2] for change in revision["changes"] or ())
    by = " ".join(filter(None, (revision["time"][:16], revision["origin"], revision["author"])))
    return ": ".join(filter(None, (by, revision["message"], changed)))


def _states(ctx: click.Context, begun: str) -> Offers:
    found = [CompletionItem(name, help=what) for name, what in STATES.items()
             if name.startswith(begun)]  # fmt: skip
    found += _revisions(ctx, begun) if not begun or begun.isdecimal() else ()
    yield from found or [CompletionItem(begun, type="file")]


def _jobs(ctx: click.Context, begun: str) -> Offers:
    for each in _asked(ctx, lambda daemon: daemon.reloads()) or ():
        if each["id"].startswith(begun):
            first, last = each["revisions"]
            yield CompletionItem(each["id"], help=f"{each['state']}, revisions {first} to {last}")


def _config(ctx: click.Context) -> dict[str, Any]:
    found = _asked(ctx, lambda daemon: daemon.config().json)
    return found if isinstance(found, dict) else {}


def _hosts(ctx: click.Context, begun: str) -> Offers:
    for host in _config(ctx).get("virtualHosts") or ():
        if host and str(host.get("name", "")).startswith(begun):
            yield CompletionItem(str(host["name"]))


def _applications(ctx: click.Context, begun: str) -> Offers:
    for host in _config(ctx).get("virtualHosts") or ():
        for application in (host or {}).get("applications") or ():
            name = f"{host.get('name', '')}/{(application or {}).get('name', '')}"
            if name.startswith(begun):
                yield CompletionItem(name, help=str(application.get("type", "")))


def _new_application(ctx: click.Context, begun: str) -> Offers:
    for host in _hosts(ctx, ""):
        if f"{host.value}/".startswith(begun):
            yield CompletionItem(f"{host.value}/", type="part")


# -- what the XSD knows ----------------------------------------------------------------------------


def _release(ctx: click.Context) -> str:
    return str(ctx.params.get("release") or "0.21")


def _elements(ctx: click.Context, begun: str) -> Offers:
    """Names that begin so; behind a `/` or `.`, the children of all that is meant by the rest."""
    from omeconf.core.lookup import find
    from omeconf.store.disk import shipped_schema

    schema = shipped_schema(_release(ctx))
    head, mark, last = re.fullmatch(r"(?:(.*)([/.]))?([^/.]*)", begun, re.DOTALL).groups()  # type: ignore[union-attr]
    above = find(schema, head) if head else []
    found: list[Item] = (
        [child for item in above for child in item.children.values()]
        if head
        else [schema.root] if mark else list(schema.items.values())
    )  # fmt: skip
    yield from _named(found, f"{head or ''}{mark or ''}", last, is_json=mark == ".")


def _named(items: Sequence[Item], head: str, last: str, *, is_json: bool) -> Offers:
    """Those whose name begins so, each name once; an object can go on, so it comes twice."""
    mark = "." if is_json else "/"
    shown: set[str] = set()
    for item in items:
        name = item.json if is_json else item.name
        if name in shown or not name.lower().startswith(last.lower()):
            continue
        shown.add(name)
        yield CompletionItem(f"{head}{name}", help=_meaning(item))
        if item.children:
            yield CompletionItem(f"{head}{name}{mark}", type="part")


def _meaning(item: Item) -> str:
    return item.documentation.partition(". ")[0].rstrip(".")


# -- keys and values -------------------------------------------------------------------------------

Root = tuple["Item | None", Any]
"""Where keys or a path begin, or lead to: the element, and its value as it is now."""


def _of_an_application(end: str) -> Callable[[click.Context, str], Offers]:
    """``publishers.llhls.segmentDuration=4`` or ``Publishers/LLHLS``, from an application down."""

    def offers(ctx: click.Context, begun: str) -> Offers:
        if begun[:1].isupper():
            yield from _by_path(_application(ctx), begun, end)
        else:
            yield from _by_json(_application(ctx), begun, end)

    return offers


def _of_the_configuration(end: str) -> Callable[[click.Context, str], Offers]:
    """``Bind/Providers/RTMP/Port=1936``, from Server down; items of lists by their names."""
    return lambda ctx, begun: _by_path(_server(ctx), begun, end)


def _server(ctx: click.Context) -> Root:
    from omeconf.store.disk import shipped_schema

    return shipped_schema(_release(ctx)).root, _config(ctx)


def _application(ctx: click.Context) -> Root:
    """The one that stands before on the line, if it is there already."""
    from omeconf.store.disk import shipped_schema

    host, _, name = str(ctx.params.get("application") or "").partition("/")
    found = _chosen(_config(ctx).get("virtualHosts") or (), host) if host else None
    value = _chosen((found or {}).get("applications") or (), name)
    return shipped_schema(_release(ctx)).application, value


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
        yield from _named([item], head, last, is_json=False)
    for child in item.children.values() if item else ():
        for name in _names(child, value):
            if name.lower().startswith(last.lower()):
                yield from _named_or_on(f"{head}{name}", "/" if child.children else "", end, child)


def _named_or_on(text: str, mark: str, end: str, item: Item) -> Offers:
    """An element as it is, where it may be; and what it goes on with: below it, or to a value."""
    if not end:
        yield CompletionItem(text, help=_meaning(item))
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


REVISION = Revision(min=1)
"""The number of a revision."""
STATE_OR_FILE = Completed("text", _states)
"""disk, head, running, healthy, the number of a revision, or a file."""
JOB = Completed("text", _jobs)
"""A reload."""
VHOST = Completed("text", _hosts)
"""A virtual host, by its name."""
APP = Completed("text", _applications)
"""An application: ``default/live``."""
NEW_APP = Completed("text", _new_application)
"""An application to come: its virtual host, and any name."""
ELEMENT = Completed("text", _elements)
"""An element of the XSD: a path or its end, in XML or JSON names."""
PATH = Completed("text", _of_the_configuration(""))
"""An element of the configuration as it is now: ``Bind/Providers/RTMP``."""
PATH_VALUE = Completed("text", _of_the_configuration("="))
"""A value anywhere: ``Bind/Providers/RTMP/Port=1936``."""
KEY = Completed("text", _of_an_application(""))
"""A member of the application before it: ``publishers.llhls``."""
KEY_VALUE = Completed("text", _of_an_application("="))
"""A value in the application before it: ``publishers.llhls.segmentDuration=4``."""
RELEASE = Completed(
    "text",
    lambda _, begun: (CompletionItem(each) for each in RELEASES if each.startswith(begun)),
)
"""A release of the engine."""
