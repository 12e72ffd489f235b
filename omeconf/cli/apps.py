"""The commands app list, get, add, set, remove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from omeconf.cli.addresses import (
    application_path,
    assignment,
    edit,
    host_and_application,
)
from omeconf.cli.asking import ask
from omeconf.cli.completing import APP, KEY, KEY_VALUE, NEW_APP, VHOST
from omeconf.cli.options import JSON, SOCKET, YES, client, of_change
from omeconf.cli.output import as_json as print_json
from omeconf.cli.output import show_table, show_xml
from omeconf.cli.writing import change, show_would
from omeconf.core.path import Path as ElementPath
from omeconf.errors import NotFound

PARTS = ("providers", "publishers")
WIDE = ("PROVIDERS", "PUBLISHERS", "PROFILES")


@click.group()
def app() -> None:
    """List, show, add, change and remove applications."""


@app.command("list")
@click.argument("host", required=False, type=VHOST)
@SOCKET
@JSON
def list_(host: str | None, socket_path: Path, *, as_json: bool) -> None:
    """All applications, or those of a virtual HOST."""
    config = client(socket_path).config().json
    found = list(_applications(config, host))
    if host is not None and not any(each["name"] == host for each in _hosts(config)):
        known = ", ".join(each["name"] for each in _hosts(config))
        raise NotFound(f"there is no virtual host {host}; there are {known}")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            click.style(f"{each['virtualHost']}/{each['name']}", bold=True),
            each["type"],
            *(" ".join(each[part]) for part in PARTS),
            " ".join(each["outputProfiles"]),
        )
        for each in found
    ]
    show_table(("APP", "TYPE", "PROVIDERS", "PUBLISHERS", "PROFILES"), rows, wide=WIDE)


@app.command()
@click.argument("application", type=APP)
@click.argument("member", required=False, type=KEY)
@click.option("--as", "form", type=click.Choice(["json", "xml"]), default="json", show_default=True,
              help="As the API has it, or as it is written.")  # fmt: skip
@SOCKET
def get(application: str, member: str | None, socket_path: Path, form: str) -> None:
    """Print an APPLICATION (default/live), or one MEMBER of it.

    What is written, without defaults; as XML with all its comments. A member is named as in the
    JSON: publishers.llhls.segmentDuration.
    """
    daemon = client(socket_path)
    if form == "xml":
        if member is not None:
            raise click.UsageError("a member is of the JSON: leave --as xml out")
        show_xml(daemon.document(path=str(application_path(application))).body)
        return
    host, name = host_and_application(application)
    found = daemon.engine_get("vhosts", host, "apps", name).json["response"]
    for part in member.split(".") if member else ():
        if not isinstance(found, dict) or part not in found:
            there = f"; there are {', '.join(found)}" if isinstance(found, dict) else ""
            raise NotFound(f"{application} has no {member}: no {part}{there}")
        found = found[part]
    if isinstance(found, str):
        click.echo(found)
    else:
        print_json(found)


@app.command("set")
@click.argument("application", type=APP)
@click.argument("assignments", nargs=-1, type=KEY_VALUE, metavar="MEMBER=VALUE...")
@click.option("--unset", "removed", multiple=True, type=KEY, metavar="MEMBER", help="Remove it.")
@of_change
def set_(
    application: str, assignments: Sequence[str], removed: Sequence[str], message: str,
    confirm_s: float | None, base: int | None, socket_path: Path, *, is_dry: bool, as_json: bool,
) -> None:  # fmt: skip
    """Change members of an APPLICATION.

    publishers.llhls.segmentDuration=4: a member is named as in the JSON, or as in the file,
    OutputProfiles/OutputProfile[p1]/Name=p2. Several make one revision; every other byte stays.
    """
    from omeconf.client import Wish

    above = application_path(application)
    edits = [*_sets(above, assignments), *(edit(above, each, None) for each in removed)]
    if not edits:
        raise click.UsageError("nothing to change: give MEMBER=VALUE, or --unset MEMBER")
    wish = Wish(message, base=base, confirm_s=confirm_s, is_dry=is_dry)
    daemon = client(socket_path)
    change(lambda: daemon.commit({"edits": edits}, wish), wish, as_json=as_json)


@app.command()
@click.argument("application", type=NEW_APP)
@click.argument("assignments", nargs=-1, type=KEY_VALUE, metavar="[MEMBER=VALUE...]")
@click.option(
    "--from", "source", type=APP, metavar="APP", help="Begin with a copy, comments and all."
)
@of_change
def add(
    application: str, assignments: Sequence[str], source: str | None, message: str,
    confirm_s: float | None, base: int | None, socket_path: Path, *, is_dry: bool, as_json: bool,
) -> None:  # fmt: skip
    """Add an APPLICATION, or a copy of one.

    default/fair, or default/fair --from default/live. Without --from it is a live one, with the
    providers and publishers that the engine itself gives to an application made over its API.
    """
    from omeconf.client import Wish

    wish = Wish(message, base=base, confirm_s=confirm_s, is_dry=is_dry)
    daemon = client(socket_path)
    host, name = host_and_application(application)
    above = application_path(application)
    if source is None:
        tried = replace(wish, is_dry=True)
        body = [{"name": name, "type": "live"}]
        (found,) = daemon.engine_write("POST", "vhosts", host, "apps", body=body, wish=tried).json
        value: Any = {key: each for key, each in found["response"].items() if key != "dynamic"}
    else:
        text = daemon.document(path=str(application_path(source))).body
        value = renamed(text, name).decode()
    made = {"verb": "create", "path": str(above), "value": value}
    edits = [made, *_sets(above, assignments)]
    change(lambda: daemon.commit({"edits": edits}, wish), wish, as_json=as_json)


@app.command()
@click.argument("application", type=APP)
@YES
@of_change
def remove(
    application: str, message: str, confirm_s: float | None, base: int | None, socket_path: Path,
    *, yes: bool, is_dry: bool, as_json: bool,
) -> None:  # fmt: skip
    """Remove an APPLICATION; shows what goes, and asks.

    The comments that belong to it go with it. If somebody changes it meanwhile it stays: exit
    status 4.
    """
    from omeconf.client import Wish

    daemon = client(socket_path)
    host, name = host_and_application(application)
    seen = daemon.engine_get("vhosts", host, "apps", name).headers["etag"]
    edits = {"edits": [{"verb": "delete", "path": str(application_path(application))}]}
    would = daemon.commit(edits, Wish(base=base, confirm_s=confirm_s, is_dry=True)).json
    if is_dry or not as_json:
        show_would(would, as_json=as_json)
    if is_dry:
        return
    ask(f"Remove {application}?", yes=yes or as_json)
    wish = Wish(message, base=base, etag=seen, confirm_s=confirm_s)
    change(
        lambda: daemon.engine_write("DELETE", "vhosts", host, "apps", name, wish=wish),
        wish,
        as_json=as_json,
    )


def renamed(text: bytes, name: str) -> bytes:
    """An application's XML with another name; every other byte stays."""
    from omeconf.core.document import Document

    document = Document(text, is_folded=False)
    of = next((each for each in document.root.children if each.name == "Name"), None)
    if of is None:
        raise NotFound("what is to be copied has no <Name> of its own")
    return document.splice(document.set_text(of, name)).data


def _sets(above: ElementPath, assignments: Sequence[str]) -> Iterator[dict[str, Any]]:
    for each in map(assignment, assignments):
        yield edit(above, each.where, each.value)


def _elements(found: dict[str, Any]) -> list[str]:
    """The members that are elements themselves: providers, publishers."""
    return [name for name, inside in found.items() if isinstance(inside, dict)]


def _hosts(config: dict[str, Any]) -> list[dict[str, Any]]:
    found = config.get("virtualHosts") or []
    return found if isinstance(found, list) else list(found.get("virtualHost", []))


def _applications(config: dict[str, Any], host: str | None) -> Iterator[dict[str, Any]]:
    for each in _hosts(config):
        if host is not None and each.get("name") != host:
            continue
        for found in each.get("applications") or []:
            profiles = (found.get("outputProfiles") or {}).get("outputProfile") or []
            yield {
                "virtualHost": each.get("name", ""),
                "name": found.get("name", ""),
                "type": found.get("type", ""),
                **{part: _elements(found.get(part) or {}) for part in PARTS},
                "outputProfiles": [profile.get("name", "") for profile in profiles],
            }
