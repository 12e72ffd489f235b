"""What a shell is offered: revisions, applications, members, and elements of the XSD.

What the daemon knows is offered if it answers soon.
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


def revisions(ctx: click.Context, begun: str) -> Offers:
    """The newest revisions, with what they were made for."""
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


def states(ctx: click.Context, begun: str) -> Offers:
    """Where a diff can begin and end; a file, if no state begins so."""
    found = [CompletionItem(name, help=what) for name, what in STATES.items()
             if name.startswith(begun)]  # fmt: skip
    found += revisions(ctx, begun) if not begun or begun.isdecimal() else ()
    yield from found or [CompletionItem(begun, type="file")]


def jobs(ctx: click.Context, begun: str) -> Offers:
    """Reloads, with what came of them."""
    for each in _asked(ctx, lambda daemon: daemon.reloads()) or ():
        if each["id"].startswith(begun):
            first, last = each["revisions"]
            yield CompletionItem(each["id"], help=f"{each['state']}, revisions {first} to {last}")


def config(ctx: click.Context) -> dict[str, Any]:
    """The configuration as it is now; empty if nobody says."""
    found = _asked(ctx, lambda daemon: daemon.config().json)
    return found if isinstance(found, dict) else {}


def hosts(ctx: click.Context, begun: str) -> Offers:
    """Virtual hosts, by their names."""
    for host in config(ctx).get("virtualHosts") or ():
        if host and str(host.get("name", "")).startswith(begun):
            yield CompletionItem(str(host["name"]))


def applications(ctx: click.Context, begun: str) -> Offers:
    """Applications as ``host/app``, with their types."""
    for host in config(ctx).get("virtualHosts") or ():
        for application in (host or {}).get("applications") or ():
            name = f"{host.get('name', '')}/{(application or {}).get('name', '')}"
            if name.startswith(begun):
                yield CompletionItem(name, help=str(application.get("type", "")))


def new_application(ctx: click.Context, begun: str) -> Offers:
    """Where an application may come to be: ``host/``."""
    for host in hosts(ctx, ""):
        if f"{host.value}/".startswith(begun):
            yield CompletionItem(f"{host.value}/", type="part")


def nodes(ctx: click.Context, begun: str) -> Offers:
    """The members of the group, with the revision that each has."""
    found = _asked(ctx, lambda daemon: daemon.fleet())
    for each in found["members"] if found else ():
        if each["node"].startswith(begun):
            there = "" if each["present"] else "away, "
            yield CompletionItem(each["node"], help=f"{there}revision {each.get('disk') or 'none'}")


# -- what the XSD knows ----------------------------------------------------------------------------


def release(ctx: click.Context) -> str:
    """The release that the line names, or the newest."""
    return str(ctx.params.get("release") or "0.21")


def elements(ctx: click.Context, begun: str) -> Offers:
    """Names that begin so; behind a `/` or `.`, the children of all that is meant by the rest."""
    from omeconf.core.lookup import find
    from omeconf.store.disk import shipped_schema

    schema = shipped_schema(release(ctx))
    head, mark, last = re.fullmatch(r"(?:(.*)([/.]))?([^/.]*)", begun, re.DOTALL).groups()  # type: ignore[union-attr]
    above = find(schema, head) if head else []
    found: list[Item] = (
        [child for item in above for child in item.children.values()]
        if head
        else [schema.root] if mark else list(schema.items.values())
    )  # fmt: skip
    yield from named(found, f"{head or ''}{mark or ''}", last, is_json=mark == ".")


def named(items: Sequence[Item], head: str, last: str, *, is_json: bool) -> Offers:
    """Those whose name begins so, each name once; an object can go on, so it comes twice."""
    mark = "." if is_json else "/"
    shown: set[str] = set()
    for item in items:
        name = item.json if is_json else item.name
        if name in shown or not name.lower().startswith(last.lower()):
            continue
        shown.add(name)
        yield CompletionItem(f"{head}{name}", help=meaning(item))
        if item.children:
            yield CompletionItem(f"{head}{name}{mark}", type="part")


def meaning(item: Item) -> str:
    """What it is for: the first sentence."""
    return item.documentation.partition(". ")[0].rstrip(".")
