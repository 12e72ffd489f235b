"""Commands for any element, and for whole files: get, set, commit."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omeconf.cli.addresses import assignment, element
from omeconf.cli.completing import PATH, PATH_VALUE
from omeconf.cli.options import JSON, SOCKET, client, of_change
from omeconf.cli.output import as_json as print_json
from omeconf.cli.output import show_xml
from omeconf.cli.writing import change
from omeconf.errors import BadSettings, NotFound

if TYPE_CHECKING:
    from omeconf.client import Wish


@click.command()
@click.argument("path", required=False, type=PATH)
@SOCKET
@JSON
def get(path: str | None, socket_path: Path, *, as_json: bool) -> None:
    """Print the element at a PATH: Bind/Providers/RTMP/Port.

    A value as it is, an element with elements as XML; without PATH everything as JSON. What is
    written, without defaults.
    """
    from omeconf.core.document import Document

    daemon = client(socket_path)
    if path is None:
        print_json(daemon.config().json)
        return
    text = daemon.document(path=str(element(path))).body
    found = Document(text, is_folded=False).root
    if as_json:
        value = None if found.children else found.value
        print_json({"path": str(element(path)), "value": value, "xml": text.decode()})
    elif found.children:
        show_xml(text)
    else:
        click.echo(found.value)


@click.command("set")
@click.argument("assignments", nargs=-1, type=PATH_VALUE, metavar="PATH=VALUE...")
@click.option(
    "--unset", "removed", multiple=True, type=PATH, metavar="PATH", help="Remove an element."
)
@of_change
def set_(
    assignments: Sequence[str], removed: Sequence[str], message: str, confirm_s: float | None,
    base: int | None, socket_path: Path, *, is_dry: bool, as_json: bool,
) -> None:  # fmt: skip
    """Set elements by path: Bind/Providers/RTMP/Port=1936.

    Several make one revision. What is not there is created, with what is around it; every other
    byte stays. A list item goes by its Name or place: VirtualHosts/VirtualHost[default]. VALUE is
    text, or JSON for an element with elements: 'Bind/Providers/SRT={"port": 9999}'.
    """
    from omeconf.client import Wish

    edits = []
    for each in map(assignment, assignments):
        path = str(element(each.where))
        is_gone = each.value is None
        edits.append({"verb": "delete", "path": path} if is_gone else
                     {"verb": "set", "path": path, "value": each.value})  # fmt: skip
    edits += [{"verb": "delete", "path": str(element(each))} for each in removed]
    if not edits:
        raise click.UsageError("nothing to set: give PATH=VALUE, or --unset PATH")
    wish = Wish(message, base=base, confirm_s=confirm_s, is_dry=is_dry)
    daemon = client(socket_path)
    change(lambda: daemon.commit({"edits": edits}, wish), wish, as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@of_change
def commit(
    file: Path, message: str, confirm_s: float | None, base: int | None, socket_path: Path, *,
    is_dry: bool, as_json: bool,
) -> None:  # fmt: skip
    """Commit a FILE as one revision.

    - is standard input. An object is merged into the configuration (a JSON merge patch of what
    `omeconf get` prints); {"edits": [...]} are edits, an array is a JSON Patch. XML takes the
    place of Server.xml, and needs --base: the revision it was made from.
    """
    from omeconf.client import JSON as EDITS
    from omeconf.client import JSON_PATCH, MERGE_PATCH, Wish

    data = _read(file)
    wish = Wish(message, base=base, confirm_s=confirm_s, is_dry=is_dry)
    daemon = client(socket_path)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        if base is None:
            raise click.UsageError("a whole file needs --base REV: the revision it was made from")
        change(lambda: daemon.put(data, wish), wish, as_json=as_json)
        return
    body = _parsed(file, data)
    is_edits = isinstance(body, dict) and set(body) == {"edits"}
    kind = EDITS if is_edits else JSON_PATCH if isinstance(body, list) else MERGE_PATCH
    if kind == JSON_PATCH:
        wish = _holding_on(daemon.status(), body, wish)
    change(lambda: daemon.commit(data, wish, kind), wish, as_json=as_json)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}") from None


def _parsed(file: Path, data: bytes) -> Any:
    """JSON, to tell which kind it is; what is sent are the bytes, so that nothing is lost."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise BadSettings(f"{file} is neither JSON nor XML: {error}") from None


def _holding_on(status: dict[str, Any], body: list[Any], wish: Wish) -> Wish:
    """Indexes of a JSON Patch shift: without a test it is made on what is newest now."""
    from dataclasses import replace

    has_test = any(isinstance(each, dict) and each.get("op") == "test" for each in body)
    if has_test or wish.base is not None:
        return wish
    return replace(wish, base=status["revision"]["head"])
