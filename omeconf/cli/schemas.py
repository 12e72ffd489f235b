"""The command schema: the XSD, its JSON Schema, or what one element is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from omeconf.cli.completing import ELEMENT
from omeconf.cli.options import JSON, of_release
from omeconf.cli.output import as_json as print_json
from omeconf.cli.output import show_paragraph, show_table

if TYPE_CHECKING:
    from omeconf.core.schema import Item, Schema

RESTARTS = {"application": "its application", "virtualHost": "its virtual host",
            "server": "the server", "none": "nothing"}  # fmt: skip
_OWNERS = {"application": "an application", "virtualHost": "a virtual host"}
_ANYTHING = ("anything", "192.0.2.1")
"""What is taken only where words are examples of more."""
_READS = {"presence": "empty, `<{name}/>`: being there means yes", "bool": "true or false"}


@click.command()
@click.argument("element", required=False, type=ELEMENT)
@of_release("--engine", "The release of the engine, 0.12 to 0.21; 0.16.8 is one, too.")
@JSON
def schema(element: str | None, release: str, *, as_json: bool) -> None:
    """Print the XSD, or what one ELEMENT is for.

    ELEMENT is a path or its end, in any letter case and as XML or JSON has it:
    Application/Publishers/LLHLS, publishers.llhls.segmentDuration. Without it the XSD is printed;
    with --json, a JSON Schema (2020-12) of the configuration as the API shows it.

    Exit status: 0 printed, 1 no such element, or several, 2 no such release.
    """
    from omeconf.core.describe import describe
    from omeconf.core.json_schema import json_schema
    from omeconf.store.disk import series_of, shipped_schema, shipped_xsd

    if element is None:
        if as_json:
            print_json(json_schema(shipped_schema(release)))
        else:
            click.echo(shipped_xsd(series_of(release)), nl=False)
        return
    item = _the_one(shipped_schema(release), element)
    if as_json:
        print_json(describe(item))
    else:
        _show(item, describe(item))


# -- which element ---------------------------------------------------------------------------------


def _the_one(known: Schema, text: str) -> Item:
    from omeconf.core.lookup import find, nearest

    found = find(known, text)
    if len(found) == 1:
        return found[0]
    if found:
        raise NoOneElement(f"{text} may be any of these; write more of the path:", _paths(found))
    elsewhere = list(_elsewhere(known, text))
    if elsewhere:
        raise NoOneElement(f"release {known.name} has no {text}:", elsewhere)
    near = nearest(known, text)
    if near:
        raise NoOneElement(f"there is no element {text}; did you mean one of these?", near)
    raise NoOneElement(f"there is no element {text}; `omeconf schema Server` shows the first", [])


class NoOneElement(click.ClickException):
    """What was asked for is no element, or more than one; ends with exit status 1."""

    def __init__(self, message: str, others: list[str]) -> None:
        super().__init__(message)
        self.others = others

    def show(self, file: Any = None) -> None:  # noqa: ARG002
        """Say so on stderr, with what is near."""
        from omeconf.cli.output import complain, note

        complain(self.message)
        for each in self.others:
            note(f"  {each}")


def _paths(items: list[Item]) -> list[str]:
    return [item.path for item in items]


def _elsewhere(known: Schema, text: str) -> Iterator[str]:
    """What other releases have under that name, a line each."""
    from omeconf.core.lookup import find, in_other_releases
    from omeconf.store.disk import shipped_schema

    found = in_other_releases(known, text)
    for each in found:
        since = f"since {each.since}" if each.since else ""
        until = f"until {each.until}" if each.until else ""
        use = f"; now {each.use}" if each.use else ""
        yield f"{each.path}: {' '.join(filter(None, (since, until)))}{use}"
    if not found:
        series = "0.21" if known.series == "0.12" else "0.12"
        since = "since a release after 0.12" if series == "0.21" else "until 0.12 or a little later"
        for item in find(shipped_schema(series), text):
            yield f"{item.path}: {f'since {item.since}' if item.since else since}"


# -- about one element -----------------------------------------------------------------------------


def _show(item: Item, known: dict[str, Any]) -> None:
    click.echo(click.style(known["path"], bold=True))
    if known["documentation"]:
        click.echo()
        show_paragraph(known["documentation"])
    click.echo()
    for name, text in _facts(item, known):
        show_paragraph(text, head=f"  {name:<11} ")
    children = [(child.name, _type(child), child.default or "", _first(child.documentation))
                for child in item.children.values()]  # fmt: skip
    if children:
        click.echo()
        show_table(("Element", "Type", "Default", "Meaning"), children)


def _facts(item: Item, known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from omeconf.core.lookup import json_path, owner

    yield "type", f"{_type(item)}{', any number of them' if item.is_list else ''}"
    if item.type is not None and item.type.documentation:
        yield "", item.type.documentation
    if item.default is not None:
        yield "default", item.default
    if json_path(item):
        where = _OWNERS.get(owner(item).scope if item.parent else "")
        yield "in JSON", f"{json_path(item)}{f', in {where}' if where else ''}"
    for name, kind in known["attributes"].items():
        yield "attribute", f"{name}: {_words(kind['words'], kind['kind'])}"
    if known["required"]:
        more = "" if known["enforced"] else ", where what is around it is written"
        yield "required", f"yes{more}"
    if known["since"]:
        yield "since", f"release {known['since']}"
    if known["deprecated"]:
        use = known["use"] or known["deprecated"]
        yield "deprecated", "nothing takes its place" if use == "nothing" else f"use {use}"
    yield "restarts", f"{RESTARTS[known['scope']]}, when it changes"
    if known["secret"]:
        yield "secret", "yes: neither logs nor readers without the right see it"
    if known["unread"]:
        yield "unread", "the engine takes it, and does nothing with it"


def _type(item: Item) -> str:
    from omeconf.core.describe import describe

    known: dict[str, Any] = describe(item)
    if known["reads"] in _READS:
        return _READS[known["reads"]].format(name=item.name)
    if known["words"]:
        more = ["..."] if item.type and any(map(item.type.is_clean, _ANYTHING)) else []
        return _words([*known["words"], *more], known["kind"])
    least, most = known["least"], known["most"]
    bounds = [f"{word} {number}" for word, number in (("from", least), ("to", most))
              if number is not None]  # fmt: skip
    kind = {"object": "elements", "integer": "whole number", "string": "text"}.get(known["kind"])
    return " ".join([kind or known["kind"], *bounds])


def _words(words: list[str], kind: str) -> str:
    return " | ".join(words) if words else kind


def _first(documentation: str) -> str:
    """The first sentence."""
    return documentation.partition(". ")[0].rstrip(".")
