"""What came of a change, told; the same for every command that makes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from omeconf.cli.output import as_json as print_json
from omeconf.cli.output import note, show_diff, show_plan, waiting

if TYPE_CHECKING:
    from omeconf.client import Reply, Wish

RELOADING = "waiting for what it reloads"
RELOADS = {
    "ok": "the engine runs it",
    "none": "nothing had to restart",
    "pending": "the engine does not run it yet: `omeconf status`",
    "failed": "the reload failed, and it stays: `omeconf status`",
}


def show_written(reply: Reply, *, as_json: bool, confirm_s: float | None = None) -> None:
    """Tell the revision, what became of its reload, and advice."""
    found = result(reply)
    if as_json:
        print_json(found)
        return
    if found.get("diff") == "":
        click.echo(f"revision {found['revision']}: nothing has changed")
        return
    click.echo(f"revision {found['revision']}: {RELOADS[found['reload']]}")
    for each in filter(None, found.get("advice", "").split("; ")):
        note(f"advice: {each}")
    if confirm_s is not None:
        note(f"it is taken back in {confirm_s:g} s unless you say `omeconf confirm`")


def change(call: Callable[[], Reply], wish: Wish, *, as_json: bool) -> None:
    """Make a change, or try it, and tell what came of it."""
    with waiting(RELOADING):
        reply = call()
    if wish.is_dry:
        show_would(reply.json, as_json=as_json)
    else:
        show_written(reply, as_json=as_json, confirm_s=wish.confirm_s)


def show_would(would: Any, *, as_json: bool) -> None:
    """Tell what a change would do: the diff, and what restarts."""
    if as_json:
        print_json(would)
        return
    show_diff(would["diff"])
    show_plan(would["plan"])


def nothing_to_do(text: str, *, as_json: bool) -> None:
    """Tell that there is nothing to do."""
    if as_json:
        print_json({"revision": None, "reload": "none"})
    else:
        note(text)


def result(reply: Reply) -> dict[str, Any]:
    """What a write answered, with what its headers say."""
    found = reply.json if reply.body else {}
    shown: dict[str, Any] = {"revision": int(reply.headers["omeconf-revision"])}
    shown["reload"] = reply.headers["omeconf-reload"]
    if reply.headers.get("omeconf-advice"):
        shown["advice"] = reply.headers["omeconf-advice"]
    return {**(found if isinstance(found, dict) else {}), **shown}
