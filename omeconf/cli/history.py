"""Commands that only look: status, log, show, diff."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from omeconf.cli.completing import REVISION, STATE_OR_FILE
from omeconf.cli.offers import STATES
from omeconf.cli.options import JSON, SOCKET, client
from omeconf.cli.output import (
    as_json as print_json,
)
from omeconf.cli.output import (
    name_of,
    note,
    show_changes,
    show_diff,
    show_plan,
    show_table,
    show_violations,
)
from omeconf.errors import NotFound

_RELOADS = {"healthy": "green", "failed": "red", "reverted": "red", "waiting": "yellow"}
MOST_NAMES = 5
"""So much of a plan is named on one line."""
_TROUBLES = (
    ("missing", "{}"),
    ("unrecorded", "a manual edit cannot be recorded: {}"),
    ("held", "held: {}; `omeconf resume` ends that"),
    ("readOnly", "read only: {}"),
    ("history", "history: {}"),
)
"""Members of the status that should be null, and how they are shown."""


# -- status ----------------------------------------------------------------------------------------


@click.command()
@SOCKET
@JSON
def status(socket_path: Path, *, as_json: bool) -> None:
    """How things stand: revisions, drift, reloads, engine.

    Exit status: 0 well, 1 the files on disk have errors, a reload failed, or a restart is needed.
    """
    found = client(socket_path).status()
    if as_json:
        print_json(found)
    else:
        click.echo(found["serverXml"])
        for name, text in (*_numbers(found), *_reload(found), *_around(found)):
            click.echo(f"  {name:<17} {text}")
        _show_troubles(found)
    last = found["reload"]["last"]
    has_failed = last is not None and last["state"] == "failed"
    fleet = found["fleet"]
    is_off = fleet is not None and fleet["state"] not in ("ok", "slow")
    is_wrong = found["drift"] or found["missing"] or found["restartNeeded"] or has_failed or is_off
    sys.exit(bool(is_wrong))


def _numbers(found: dict[str, Any]) -> list[tuple[str, str]]:
    numbers = found["revision"]
    head, running = numbers["head"], numbers["running"]
    assumed = " (assumed)" if found["runningIsAssumed"] else ""
    is_behind = running is not None and running != head
    behind = click.style("  behind: see `omeconf diff`", fg="yellow") if is_behind else ""
    return [
        ("newest revision", str(head or "none yet")),
        ("on disk", _on_disk(found)),
        ("engine runs", f"{running or 'not known'}{assumed}{behind}"),
        ("last known well", str(numbers["healthy"] or "none yet")),
    ]


def _on_disk(found: dict[str, Any]) -> str:
    if found["held"] is not None:
        return "not looked at: held, see below"
    number = found["revision"]["disk"]
    if found["ownEdits"]:
        return f"{number}, and manual edits that stay on this member: `omeconf fleet diff`"
    return str(number or click.style("something else, see below", fg="red"))


def _reload(found: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, title in (("current", "reloading"), ("pending", "waits to reload")):
        job = found["reload"][name]
        if job:
            first, now = job["revisions"]
            what = names_of(job["plan"]) or f"revisions {first} to {now}"
            tried = f", tried {job['tries']} times" if job["tries"] else ""
            rows.append((title, f"reload {job['id']}: {what}{tried}"))
    last = found["reload"]["last"]
    if last and last["plan"]:
        state = click.style(last["state"], fg=_RELOADS.get(last["state"]))
        rows.append(("last reload", f"{state}: {names_of(last['plan'])} (reload {last['id']})"))
        if last["state"] in ("failed", "reverted") and last["calls"]:
            said = str(last["calls"][-1]["output"]).strip().splitlines()
            rows += [("  said", line) for line in said[-3:]]
    return rows


def _around(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The engine, and how manual edits are noticed."""
    rows = []
    engine, watching = found["engine"], found["watching"]
    if engine and engine["url"]:
        reached = {True: "answers", False: click.style("is away", fg="red"), None: "not asked yet"}
        rows.append(("engine", f"{engine['url']} {reached[engine['reachable']]}"))
        rows += [("  differs", each) for each in engine["drift"]]
    if watching:
        every = f"a look every {watching['lookEverySeconds']:g} s"
        text = f"{', '.join(watching['folders'])}, {every}" if watching["folders"] else every
        trouble = f"; cannot watch {watching['trouble']}" if watching["trouble"] else ""
        rows.append(("watching", text + click.style(trouble, fg="yellow")))
    if found["fleet"]:
        rows.append(("group", _group(found["fleet"])))
    return rows


_PAUSED = "paused: `omeconf fleet resume`"
_WAITS = {
    ("auto", True): _PAUSED,
    ("manual", True): _PAUSED,
    ("manual", False): "`omeconf fleet rollout` rolls it out",
}


def _group(found: dict[str, Any]) -> str:
    """The group on one line; `omeconf fleet status` has all of it."""
    is_well, is_behind = found["state"] in ("ok", "slow"), found["head"] != found["confirmed"]
    is_waiting = found["paused"] or (is_behind and found["rollouts"] == "manual")
    trouble = f" ({found['trouble']})" if found["trouble"] else ""
    state = click.style(f"{found['state']}{trouble}", fg=None if is_well else "red")
    parts = [
        f"{found['group']}, as {found['node']}: {state}",
        f"newest {found['head'] or 'none'}, confirmed {found['confirmed'] or 'none'}",
        *([f"rollout {found['rollout']}"] if found["rollout"] else []),
        *([_WAITS[found["rollouts"], found["paused"]]] if is_waiting else []),
    ]
    return "; ".join(parts)


def _show_troubles(found: dict[str, Any]) -> None:
    if found["restartNeeded"]:
        click.echo("  restart needed: no hook is set for what changed; see `omeconf diff`")
    for name, text in _TROUBLES:
        if found[name]:
            click.echo(f"  {text.format(found[name])}")
    if found["confirm"]:
        waits = found["confirm"]
        click.echo(
            f"  confirm           within {waits['seconds']:.0f} s (until {waits['deadline']}), "
            f"else back to revision {waits['backTo']}: `omeconf confirm`"
        )
    if found["drift"]:
        violations = found["drift"]["violations"]
        errors = [each for each in violations if each["severity"] == "error"]
        click.echo("The files on disk have errors and are not taken up (`omeconf diff head disk`):")
        show_violations(errors)


def names_of(plan: list[dict[str, str]]) -> str:
    """What a plan does, in one line."""
    shown = [f"{item['action']} {name_of(item) or item['scope']}" for item in plan[:MOST_NAMES]]
    more = f", and {len(plan) - MOST_NAMES} more" if len(plan) > MOST_NAMES else ""
    return ", ".join(shown) + more


# -- log -------------------------------------------------------------------------------------------


@click.command()
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True,
              help="How many.")  # fmt: skip
@click.option("--before", type=REVISION, metavar="REV", help="Only older ones.")
@SOCKET
@JSON
def log(socket_path: Path, limit: int, before: int | None, *, as_json: bool) -> None:
    """The newest revisions: who, when, why, and what changed."""
    found = client(socket_path).revisions(limit, below=before, changes=True)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            click.style(str(each["number"]), fg="yellow"),
            f"{each['time'][:19]}Z",
            each["origin"],
            each["author"],
            click.style(each["reload"] or "", fg=_RELOADS.get(each["reload"])),
            each["message"],
            summary_of(each),
        )
        for each in found
    ]
    heads = ("REV", "TIME", "ORIGIN", "AUTHOR", "RELOAD", "MESSAGE", "CHANGED")
    show_table(heads, rows, wide=("MESSAGE", "CHANGED"))


def summary_of(revision: dict[str, Any]) -> str:
    """What a revision changed, in one line."""
    changes = revision["changes"] or ()
    if not changes:
        return "" if revision["changes"] is None else "nothing that the engine reads"
    more = len(changes) - 1 + revision["changesMore"]
    return change_of(changes[0]) + (f", and {more} more" if more else "")


def change_of(change: dict[str, str]) -> str:
    """``default/app LLHLS/SegmentDuration 6 -> 4``."""
    from omeconf.core.path import Path as ElementPath

    path = ElementPath.parse(change["path"])
    names = [step.key for step in path.steps if step.name in ("VirtualHost", "Application")]
    rest = "/".join(str(step) for step in path.steps[-2:])
    where = "/".join(each for each in names if each)
    if path.last.name in ("VirtualHost", "Application"):
        return f"{change['kind']} {where}"
    old, new = change.get("old", ""), change.get("new", "")
    values = (
        f" {old} -> {new}" if change["kind"] == "changed" else f" {change['kind']} {new or old}"
    )
    return f"{where} {rest}{values}".strip()


# -- show and diff ---------------------------------------------------------------------------------


@click.command()
@click.argument("revision", type=REVISION)
@click.option("--file", "name", default="Server.xml", show_default=True, help="Which file.")
@SOCKET
@JSON
def show(revision: int, name: str, socket_path: Path, *, as_json: bool) -> None:
    """Print a file as it was in a REVISION.

    With --json the revision and all its files.
    """
    found = client(socket_path).revision(revision)
    if as_json:
        print_json(found)
    elif name in found["files"]:
        click.echo(found["files"][name], nl=False)
    else:
        known = ", ".join(found["files"])
        raise NotFound(f"revision {revision} has no file {name}; it has {known}")


@click.command()
@click.argument("first", required=False, type=STATE_OR_FILE, metavar="[A")
@click.argument("second", required=False, type=STATE_OR_FILE, metavar="[B]]")
@click.option("--paths", is_flag=True, help="The changed paths, instead of lines of files.")
@SOCKET
@JSON
def diff(
    first: str | None, second: str | None, socket_path: Path, *, paths: bool, as_json: bool
) -> None:
    """What changed from A to B, and what has to restart for it.

    A and B are disk, head, running, healthy, the number of a revision, or (B) a file: what it
    would change if it were Server.xml. Of a revision alone: what it changed. Of anything else
    alone: how head differs from it. Of nothing: what the engine does not run yet.

    The plan goes to standard error. Exit status: 0, also when something differs; 1 if what lies
    behind B has errors.
    """
    found = _compared(client(socket_path), first, second)
    if as_json:
        print_json(found)
    else:
        if paths:
            show_changes(found.get("changes", ()))
        else:
            show_diff(found["diff"])
        if found["good"]:
            show_plan(found["plan"])
        else:
            note("this would not be taken up:")
            show_violations((v for v in found["violations"] if v["severity"] == "error"), err=True)
    sys.exit(not found["good"])


def _compared(daemon: Any, first: str | None, second: str | None) -> dict[str, Any]:
    """What differs, whichever two are asked for."""
    if second is None and first is not None and first.isdecimal():
        found: dict[str, Any] = daemon.diff(int(first))
        return {**found, "diff": found["text"], "good": True}
    old, new = (first or "running", second or "head")
    if second is None and first is not None and not _is_state(first):
        old, new = "head", first
    for each in (old,) if _is_state(new) else ():
        if not _is_state(each):
            raise click.UsageError(f"{each} is no state: {', '.join(STATES)}, or a number")
    if _is_state(new):
        compared: dict[str, Any] = daemon.compare(old, new)
        return compared
    return _with_file(daemon, old, new)


def _with_file(daemon: Any, old: str, name: str) -> dict[str, Any]:
    path = Path(name)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"{name}: {error.strerror}; to compare with, give {', '.join(STATES)}, the number of "
            "a revision, or a file"
        ) from None
    found: dict[str, Any] = daemon.check(text, against=old)
    main = Path(daemon.status()["serverXml"]).name
    for violation in found["violations"]:
        if violation["file"] == main:
            violation["file"] = name
    return found


def _is_state(text: str) -> bool:
    return text in STATES or text.isdecimal()
