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


def _of_an_application(ctx: click.Context, begun: str) -> Offers:
    """``publishers.llhls.segmentDuration=4``, from an application down."""
    from omeconf.store.disk import shipped_schema

    item = shipped_schema(_release(ctx)).application
    given = re.fullmatch(_KEY_VALUE, begun, re.DOTALL)
    if given:
        yield from _values(_down(item, given[1].split(".")), f"{given[1]}=", given[2])
        return
    head, _, last = begun.rpartition(".")
    above = _down(item, head.split(".")) if head else item
    for child in above.children.values() if above else ():
        if child.json.lower().startswith(last.lower()):
            is_deep = child.children and child.flat_child is None and not child.is_list
            yield CompletionItem(
                f"{head}.{child.json}{'.' if is_deep else '='}".lstrip("."), type="part"
            )


def _down(item: Item, keys: Sequence[str]) -> Item | None:
    at: Item | None = item
    for key in keys:
        at = at.by_json(key) if at is not None else None
    return at


def _values(item: Item | None, head: str, begun: str) -> Offers:
    """The words to choose from, and what it is when nothing is written."""
    if item is None or item.type is None:
        return
    default = item.default
    if default and default.startswith(begun) and default not in item.type.words:
        yield CompletionItem(f"{head}{default}", help="the default")
    for word in item.type.words:
        if word and word.lower().startswith(begun.lower()):
            help_text = "the default" if word == default else None
            yield CompletionItem(f"{head}{word}", help=help_text)


def _of_the_configuration(ctx: click.Context, begun: str) -> Offers:
    """``Bind/Providers/RTMP/Port=1936``, from Server down."""
    given = re.fullmatch(_KEY_VALUE, begun, re.DOTALL)
    if given:
        item, _ = _reached(ctx, _cut(given[1]))
        yield from _values(item, f"{given[1]}=", given[2])
        return
    yield from _live(ctx, begun, end="=")


def _places(ctx: click.Context, begun: str) -> Offers:
    """An element of the configuration as it is: items of lists by their names."""
    yield from _live(ctx, begun, end="")


def _live(ctx: click.Context, begun: str, *, end: str) -> Offers:
    *heads, last = _cut(begun)
    head = begun.removesuffix(last)
    item, value = _reached(ctx, heads)
    for child in item.children.values() if item else ():
        names = [child.name]
        if child.is_list and child.type is None:
            names = [_listed(child, n, each) for n, each in enumerate(_list(child, value), 1)]
        for name in names:
            if not name.lower().startswith(last.lower()):
                continue
            if child.children:
                if not end:
                    yield CompletionItem(f"{head}{name}", help=_meaning(child))
                yield CompletionItem(f"{head}{name}/", type="part")
            else:
                yield CompletionItem(f"{head}{name}{end}", type="part" if end else "plain")


def _listed(item: Item, place: int, value: Any) -> str:
    """One item of a list, as a path has it."""
    from omeconf.core.path import Step

    name = value.get("name") if isinstance(value, dict) and item.key else None
    return str(
        Step(item.name, None if name is None else str(name), place if name is None else None)
    )


def _list(item: Item, above: Any) -> list[Any]:
    """The items of a list, below the value of what is around it, which may be the list itself."""
    found = above.get(item.json) if isinstance(above, dict) else above
    return found if isinstance(found, list) else []


def _cut(text: str) -> list[str]:
    """Step by step, also where a key is not closed yet; a `/` in a key cuts nothing."""
    return re.findall(
        r"(?:^|(?<=/))((?:[^/\[]|\[(?:\"(?:[^\"\\]|\\.)*\"?|[^\]\"])*\]?)*)(?:/|$)", text
    )


def _reached(ctx: click.Context, steps: Sequence[str]) -> tuple[Item | None, Any]:
    """The element that some steps lead to from Server, and its value as it is now."""
    from omeconf.store.disk import shipped_schema

    item: Item = shipped_schema(_release(ctx)).root
    value: Any = _config(ctx)
    for step in steps:
        if not step or (item.parent is None and step == item.name):
            continue
        match = re.fullmatch(_STEP, step)
        child = item.children.get(match[1]) if match else None
        if match is None or child is None:
            return None, None
        if child.is_list:
            value = _chosen(child, _list(child, value), match[2] or "1")
        else:
            value = value.get(child.json) if isinstance(value, dict) else None
        item = child
    return item, value


def _chosen(item: Item, values: Sequence[Any], key: str) -> Any:
    """The item of a list with that name, or at that place."""
    for place, value in enumerate(values, 1):
        name = value.get("name") if isinstance(value, dict) and item.key else None
        if key in (str(name), str(place)):
            return value
    return None


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
ELEMENT = Completed("text", _elements)
"""An element of the XSD: a path or its end, in XML or JSON names."""
PLACE = Completed("text", _places)
"""An element of the configuration as it is now: ``Bind/Providers/RTMP``."""
KEY_VALUE = Completed("text", _of_an_application)
"""A value in an application: ``publishers.llhls.segmentDuration=4``."""
PATH_VALUE = Completed("text", _of_the_configuration)
"""A value anywhere: ``Bind/Providers/RTMP/Port=1936``."""
RELEASE = Completed(
    "text",
    lambda _, begun: (CompletionItem(each) for each in RELEASES if each.startswith(begun)),
)
"""A release of the engine."""
