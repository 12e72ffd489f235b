"""The commands fleet status, rollout, pause, resume, abort, diff."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omeconf.cli.asking import ask
from omeconf.cli.completing import NODE
from omeconf.cli.options import JSON, SOCKET, YES, client
from omeconf.cli.output import as_json as print_json
from omeconf.cli.output import note, show_diff, show_plan, show_table
from omeconf.errors import Conflict, Unreachable

if TYPE_CHECKING:
    from omeconf.client import Client

LOOK_EVERY_S = 0.3
"""How often --wait looks."""
FAILED = ("reverted", "refused")
"""Phases in which a rollout ends that is not confirmed."""
ENDED = ("confirmed", *FAILED)
WELL = {"ok": "green", "slow": "yellow"}
"""States in which a member goes with its group, and their colours; slow: etcd answers so."""
PAST = ("accepts", "reverted")
"""What a member has said that is of no interest once its rollout has ended."""
TAKEN_BACK = 5
"""The exit status of --wait then; see cli/base.py."""
WIDE = ("STATE",)
_COLOURS = {"confirmed": "green", "reverting": "yellow", "reverted": "red", "refused": "red"}


@click.group()
def fleet() -> None:
    """See and steer the group that this daemon is a member of."""


# -- looking ---------------------------------------------------------------------------------------


@fleet.command()
@SOCKET
@JSON
def status(socket_path: Path, *, as_json: bool) -> None:
    """The group, its members, and the newest rollout.

    DISK, RUNNING and HEALTHY are revisions: the one that a member has on disk (* it may still be
    taken back), what its engine runs, and what was last known to be well there. STATE is what is
    wrong there, and what it said in the newest rollout; one that was unable may have caught up
    since, as DISK shows.

    Exit status: 0 well, 1 this member does not go with the group, another is away or has a trouble,
    or the newest rollout has failed.
    """
    found = client(socket_path).fleet()
    if as_json:
        print_json(found)
    else:
        for name, text in _heads(found):
            click.echo(f"{name:<10} {text}")
        click.echo()
        show_table(
            ("NODE", "", "ENGINE", "DISK", "RUNNING", "HEALTHY", "STATE"),
            [_row(each, found["rollout"], found["confirmed"]) for each in found["members"]],
            wide=WIDE,
        )
    sys.exit(not _is_well(found))


def _is_well(found: Mapping[str, Any]) -> bool:
    rollout, members = found["rollout"], found["members"]
    return (
        found["state"] in WELL
        and (rollout is None or rollout["phase"] not in FAILED)
        and all(each["present"] and not _troubles(each) for each in members)
    )


def _heads(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What stands above the table."""
    is_well, trouble = found["state"] in WELL, found["trouble"]
    why = f": {trouble}" if trouble and not is_well else ""
    state = click.style(f"{found['state']}{why}", fg=WELL.get(found["state"], "red"))
    yield "group", f"{click.style(found['group'], bold=True)}, this member is {found['node']}"
    yield "etcd", f"{found['endpoint']} {state}"
    yield "driver", found["driver"] or click.style("none", fg="red")
    is_under_way = found["rollout"] and found["rollout"]["phase"] not in ENDED
    is_behind = found["head"] != found["confirmed"] and not is_under_way
    behind = ", not rolled out yet" if is_behind else ""
    if is_behind and not found["paused"] and found["rollouts"] == "manual":
        behind += ": `omeconf fleet rollout`"
    yield (
        "revision",
        (f"newest {found['head'] or 'none'}, confirmed {found['confirmed'] or 'none'}{behind}"),
    )
    rollout, paused = found["rollout"], found["paused"]
    if rollout:
        text = click.style(progress_of(rollout), fg=_COLOURS.get(rollout["phase"]))
        yield (
            "rollout",
            f"{rollout['id']}, revision {rollout['base']} to {rollout['target']}: {text}",
        )
        for node, why in rollout["skipped"].items():
            yield "", f"skipped {node}: {why}"
        if rollout["settled"]:
            yield "", f"its revisions: {rollout['settled']}"
    if paused:
        yield "paused", click.style(_pause(paused), fg="yellow")
    if trouble and is_well:
        yield "here", click.style(trouble, fg="red")
    if found["goesBackInSeconds"] is not None:
        yield "here", f"goes back in {found['goesBackInSeconds']:.0f} s unless somebody drives"


def _pause(paused: Mapping[str, Any]) -> str:
    """Who has rollouts wait, why, and how that ends."""
    why = f": {paused['reason']}" if paused["reason"] else ""
    return f"by {paused['by']}{why} (`omeconf fleet resume` ends that)"


def _row(
    member: Mapping[str, Any], rollout: Mapping[str, Any] | None, confirmed: int | None
) -> tuple[str, ...]:
    there = "present" if member["present"] else click.style("away", fg="red")
    disk = str(member.get("disk") or "-")
    if member.get("confirmed") is False:
        disk += "*"
    said, skipped = member["says"], member["skipped"]
    if said and rollout and rollout["phase"] in ENDED and said["says"] in PAST:
        said = None
    has_ended = rollout is not None and rollout["phase"] in ENDED
    if has_ended and member["present"] and member.get("disk") == confirmed and said and (
        said["says"] == "unable"
    ):  # fmt: skip
        said = skipped = None  # it has caught up
    troubles = _troubles(member)
    parts = [click.style(each, fg="red") for each in troubles]
    if said and said["reason"] in troubles:
        said = None
    if said:
        why = f": {said['reason']}" if said["reason"] else ""
        parts.append(f"{said['says']}{why}")
    if skipped and skipped not in (*troubles, said["reason"] if said else None):
        parts.append(f"skipped: {skipped}")
    return (
        click.style(member["node"], bold=True), there, str(member.get("engine", "-")), disk,
        str(member.get("running") or "-"), str(member.get("healthy") or "-"), "; ".join(parts),
    )  # fmt: skip


def _troubles(member: Mapping[str, Any]) -> list[str]:
    return [text for text in (member.get("drift"), member.get("trouble")) if text]


def progress_of(rollout: Mapping[str, Any]) -> str:
    """Where a rollout stands: ``applying, batch 2 of 3, 1 of 3 healthy``; why it failed."""
    parts = [rollout["phase"]]
    if rollout["phase"] == "applying":
        parts.append(f"batch {rollout['step'] + 1} of {len(rollout['batches'])}")
    if rollout["phase"] in ("applying", "confirmed") and "healthy" in rollout:
        parts.append(f"{len(rollout['healthy'])} of {rollout['members']} healthy")
    why = f": {rollout['reason']}" if rollout["reason"] else ""
    return ", ".join(parts) + why


@fleet.command()
@click.argument("node", required=False, type=NODE)
@SOCKET
@JSON
def diff(node: str | None, socket_path: Path, *, as_json: bool) -> None:
    """What members lack of the newest revision, and what restarts.

    Of all members, or of NODE: what is on disk there beside the newest revision. Of this member
    also what was edited by hand, and is no revision.
    """
    found = client(socket_path).fleet_diff(node)
    if as_json:
        print_json(found)
        return
    head = found["head"]
    members = sorted(found["members"], key=lambda each: each["disk"] or 0)
    for number, group in groupby(members, key=lambda each: each["disk"]):
        same = list(group)
        names = ", ".join(_named(each) for each in same)
        if number == head:
            click.echo(f"{names}: revision {head}, the newest")
        else:
            click.echo(f"{names}: revision {number or 'none'}, the newest is {head}")
        first = same[0]
        if first["unknown"]:
            click.echo(f"  {first['unknown']}")
        elif number != head:
            show_plan(first["plan"], err=False)
            show_diff(first["diff"])
    for each in members:
        drift = each.get("drift")
        if drift:
            broken = "" if drift["good"] else ", and has errors or cannot be read"
            click.echo(f"{each['node']}: edited by hand on revision {drift['revision']}{broken}")
            show_diff(drift["diff"] or drift["unknown"] or "")


def _named(member: Mapping[str, Any]) -> str:
    name = click.style(member["node"], bold=True)
    return name if member["present"] else f"{name} (away)"


# -- steering --------------------------------------------------------------------------------------


@fleet.command()
@click.option("--wait", is_flag=True, help="Wait until it has ended; tell how it goes on.")
@SOCKET
@JSON
def rollout(socket_path: Path, *, wait: bool, as_json: bool) -> None:
    """Roll out the newest revision, also one that failed before.

    That is for what failed, and for groups in which nothing is rolled out by itself
    (`[fleet] rollout`).

    Exit status: 4 there is nothing to roll out, or one is under way; of --wait also 0 all members
    run it, 5 it was refused or reverted.
    """
    daemon = client(socket_path)
    found = daemon.fleet_rollout()
    if wait:
        found = _ended(daemon, found)
    if as_json:
        print_json(found)
    else:
        more = "" if wait else " (`omeconf fleet status`)"
        click.echo(f"{_line(found)}{more}")
    sys.exit(TAKEN_BACK if found["phase"] in FAILED else 0)


def _ended(daemon: Client, begun: dict[str, Any]) -> dict[str, Any]:
    """A rollout when it has ended; until then a line on stderr for each change."""
    told = ""

    def tell(text: str) -> None:
        nonlocal told
        if text != told:
            note(text)
        told = text

    tell(_line(begun))
    last: dict[str, Any] = begun
    while True:
        try:
            found = daemon.fleet()
        except Unreachable:
            tell("the daemon is away; waiting for it")
            time.sleep(LOOK_EVERY_S)
            continue
        now = found["rollout"]
        if now and now["id"] > begun["id"]:
            return _after(daemon, last, now)
        if now and now["id"] == begun["id"]:
            last = now
            if last["phase"] in ENDED:
                return last
        paused = f", paused by {found['paused']['by']}" if found["paused"] else ""
        away = f" ({found['trouble'] or 'etcd is away'})" if found["state"] == "away" else ""
        tell(f"{_line(last)}{paused}{away}")
        time.sleep(LOOK_EVERY_S)


def _after(daemon: Client, last: dict[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """How a rollout ended, of which only the next one is seen."""
    for _, kind, data in daemon.events(0, once=True):
        if kind == "rollout" and data["id"] == last["id"] and data["phase"] in ENDED:
            return {**last, **{key: data[key] for key in data if key in last}}
    if newer["id"] > last["id"] + 1:
        raise Conflict(f"rollout {newer['id']} is under way: see `omeconf log`")
    # the next one begins at what was confirmed last
    phase = "confirmed" if newer["base"] >= last["target"] else "reverted"
    return {**last, "phase": phase}


def _line(found: Mapping[str, Any]) -> str:
    return f"rollout {found['id']} to revision {found['target']}: {progress_of(found)}"


@fleet.command()
@click.argument("reason", default="")
@SOCKET
@JSON
def pause(reason: str, socket_path: Path, *, as_json: bool) -> None:
    """Have no rollout go on, or begin, until `omeconf fleet resume`.

    What members run unconfirmed they go on running. Commits are taken, and wait.
    """
    found = client(socket_path).fleet_pause(reason)
    if as_json:
        print_json(found)
    else:
        click.echo(f"paused {_pause(found['paused'])}")


@fleet.command()
@SOCKET
@JSON
def resume(socket_path: Path, *, as_json: bool) -> None:
    """End `omeconf fleet pause`: rollouts go on."""
    found = client(socket_path).fleet_resume()
    if as_json:
        print_json(found)
    else:
        click.echo("resumed: rollouts go on")


@fleet.command()
@YES
@SOCKET
@JSON
def abort(socket_path: Path, *, yes: bool, as_json: bool) -> None:
    """End the rollout that is under way; shows it, and asks.

    Members that have applied it go back to what they ran.
    """
    daemon = client(socket_path)
    found = daemon.fleet()["rollout"]
    if not yes and not as_json and found and found["phase"] not in ENDED:
        note(_line(found))
        ask("End it, and have all members go back?", yes=False, look="`omeconf fleet status`")
    aborted = daemon.fleet_abort()
    if as_json:
        print_json(aborted)
    else:
        click.echo(_line(aborted))


@fleet.command()
@click.argument("node", type=NODE)
@SOCKET
@JSON
def forget(node: str, socket_path: Path, *, as_json: bool) -> None:
    """Have NODE, which will not come back, on no list any more.

    It has to be away. Should it come back all the same, it is a member again.
    """
    found = client(socket_path).fleet_forget(node)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{node} is on no list any more")
