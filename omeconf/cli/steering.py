"""Commands that undo, keep and hold: rollback, confirm, retry, hold, resume."""

from __future__ import annotations

from pathlib import Path

import click

from omeconf.cli.asking import ask
from omeconf.cli.completing import JOB, REVISION
from omeconf.cli.options import JSON, SOCKET, YES, client, of_change
from omeconf.cli.output import as_json as print_json
from omeconf.cli.output import waiting
from omeconf.cli.writing import RELOADING, nothing_to_do, show_would, show_written
from omeconf.errors import NotFound


@click.command()
@click.argument("revision", type=REVISION)
@YES
@of_change
def rollback(
    revision: int, message: str, confirm_s: float | None, base: int | None, socket_path: Path, *,
    yes: bool, is_dry: bool, as_json: bool,
) -> None:  # fmt: skip
    """Take up the files of an old REVISION again.

    That makes a new revision; history only grows. Shows the diff and what restarts, and asks;
    --yes does not. What somebody else commits meanwhile is not undone unseen: exit status 4.
    """
    from omeconf.client import Wish

    daemon = client(socket_path)
    seen = base or daemon.status()["revision"]["head"]
    would = daemon.rollback(revision, Wish(base=seen, confirm_s=confirm_s, is_dry=True)).json
    if is_dry or not as_json:
        show_would(would, as_json=as_json)
    if is_dry:
        return
    if not would["diff"]:
        nothing_to_do(f"the files are those of revision {revision} already", as_json=as_json)
        return
    ask(f"Go back to revision {revision}?", yes=yes or as_json)
    with waiting(RELOADING):
        done = daemon.rollback(revision, Wish(message, base=seen, confirm_s=confirm_s))
    show_written(done, as_json=as_json, confirm_s=confirm_s)


@click.command()
@SOCKET
@JSON
def confirm(socket_path: Path, *, as_json: bool) -> None:
    """Keep what was changed with a deadline (--confirm SECONDS)."""
    found = client(socket_path).confirm()
    if as_json:
        print_json(found)
    else:
        click.echo(f"confirmed: everything since revision {found['since']} stays")


@click.command()
@click.argument("job", required=False, type=JOB)
@SOCKET
@JSON
def retry(job: str | None, socket_path: Path, *, as_json: bool) -> None:
    """Do again, now, what failed to reload, or waits.

    That is the newest reload, unless JOB names one.
    """
    daemon = client(socket_path)
    if job is None:
        newest = daemon.reloads()
        if not newest:
            raise NotFound("nothing was reloaded yet")
        job = str(newest[0]["id"])
    found = daemon.retry(job)
    first, last = found["revisions"]
    if as_json:
        print_json(found)
    else:
        click.echo(f"reload {found['id']} of revisions {first} to {last}: `omeconf events -f`")


@click.command()
@click.argument("reason", default="")
@SOCKET
@JSON
def hold(reason: str, socket_path: Path, *, as_json: bool) -> None:
    """Take no edits, by hand or else, until `omeconf resume`.

    A restart of the daemon does not end that. For the time in which many files are changed by
    hand: git pull, ansible.
    """
    found = client(socket_path).hold(reason)
    if as_json:
        print_json(found)
    else:
        click.echo(f"held: {found['held']}")


@click.command()
@SOCKET
@JSON
def resume(socket_path: Path, *, as_json: bool) -> None:
    """End `omeconf hold`, and look at the files.

    What lies on disk is taken up if it is right.
    """
    found = client(socket_path).resume()
    if as_json:
        print_json(found)
    else:
        click.echo(f"resumed: revision {found['revision']} is the newest")
