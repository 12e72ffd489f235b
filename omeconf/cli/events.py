"""The command events: what happens, a line each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from omeconf.cli.fleet import progress_of
from omeconf.cli.history import change_of, names_of
from omeconf.cli.options import JSON, SOCKET, client


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until interrupted.")
@SOCKET
@JSON
def events(socket_path: Path, *, follow: bool, as_json: bool) -> None:
    """What has happened, and with --follow what happens.

    From the daemon's start on, as far as it is kept. While the daemon is restarted, --follow waits
    for it; a gap says that something may have been missed meanwhile (no revision is: see `omeconf
    log`). With --json each event is one line.
    """
    import json

    from omeconf.cli.following import follow as following

    for number, kind, data in following(client(socket_path), is_endless=follow):
        if as_json:
            click.echo(json.dumps({"id": number, "event": kind, **data}, ensure_ascii=False))
        else:
            click.echo(
                f"{data.get('time', '')[:19]:<19}Z  {kind:<11}  {_text(kind, data)}".rstrip()
            )


def _text(kind: str, data: dict[str, Any]) -> str:
    return TEXTS[kind](data) if kind in TEXTS else ""


def _revision(data: dict[str, Any]) -> str:
    revision, changes = data["revision"], data["changes"]
    others = len(changes) - 1 + data["changesMore"]
    more = f", and {others} more" if others > 0 else ""
    what = change_of(changes[0]) + more if changes else "nothing that the engine reads"
    message = f" ({revision['message']})" if revision["message"] else ""
    by = f" by {revision['author']}" if revision["author"] else ""
    return f"{revision['number']}, {revision['origin']}{by}{message}: {what}"


def _drift(data: dict[str, Any]) -> str:
    errors = [each for each in data["violations"] if each["severity"] == "error"]
    first = errors[0]
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return f"{first['file']}:{first['line']}: {first['message']}{more}"


def _reload(data: dict[str, Any]) -> str:
    first, last = data["revisions"]
    of = f"revision {first}" if first == last else f"revisions {first} to {last}"
    return f"{data['id']} of {of}, {data['state']}: {names_of(data['plan']) or 'nothing restarts'}"


def _confirm(data: dict[str, Any]) -> str:
    if data["state"] == "armed":
        return f"until {data['deadline']}, else back to revision {data['backTo']}"
    if data["state"] == "confirmed":
        return f"everything since revision {data['since']} stays"
    return f"nobody confirmed in time: back to revision {data['since']}"


def _engine(data: dict[str, Any]) -> str:
    if "drift" in data:
        return f"differs from what it was given: {'; '.join(data['drift'])}"
    return "answers" if data["reachable"] else "is away"


def _rollout(data: dict[str, Any]) -> str:
    paused = ", paused" if data["paused"] else ""
    settled = f"; {data['settled']}" if data["settled"] else ""
    return f"{data['id']} to revision {data['target']}: {progress_of(data)}{paused}{settled}"


def _fleet(data: dict[str, Any]) -> str:
    if data["state"] == "forked":
        return f"etcd had other revisions than this member: ours are kept in {data['kept']}"
    if data["state"] == "healed":
        numbers = ", ".join(map(str, data["revisions"]))
        return f"etcd had lost revisions, which it has again: {numbers or 'others gave them back'}"
    trouble = f" ({data['trouble']})" if data["trouble"] else ""
    there = ", ".join(data["present"]) or "nobody"
    driver = f"; {data['driver']} drives" if data["driver"] else "; nobody drives"
    return f"{data['state']}{trouble}: {there}{driver}{'; paused' if data['paused'] else ''}"


TEXTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "revision": _revision,
    "drift": _drift,
    "settled": lambda _: "the files on disk are right again",
    "reload": _reload,
    "confirm": _confirm,
    "held": lambda data: str(data["reason"]),
    "resumed": lambda _: "manual edits are taken up again",
    "engine": _engine,
    "certificate": lambda data: f"{data['virtualHost']}: {data['error'] or 'read again'}",
    "rollout": _rollout,
    "fleet": _fleet,
    "gap": lambda _: "what happened in between is not kept; `omeconf log` has every revision",
}
"""What a person is told of each kind."""
