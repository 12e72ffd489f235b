"""Hooks: the commands that make the engine take up a change, called for the items of a plan.

A hook gets the plan as JSON on its standard input and OMECONF_SCOPE, OMECONF_VHOST, OMECONF_APP,
OMECONF_ACTION, OMECONF_REVISION, OMECONF_JOB and OMECONF_SERVER_XML in its environment. Exit 0
is done; anything else, or the time-out, is failed. Calls are at least once: OMECONF_JOB tells.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omeconf.core.plan import Action, Plan, PlanItem
from omeconf.core.schema import APPLICATION, SERVER, VIRTUAL_HOST
from omeconf.daemon.orphans import Orphans
from omeconf.settings import Hook

KEPT_OUTPUT_BYTES = 16384
"""How much of a hook's output is kept: its end."""

_WIDER = {APPLICATION: VIRTUAL_HOST, VIRTUAL_HOST: SERVER}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a hook, for one item of a plan or for all of them."""

    hook: Hook
    items: tuple[PlanItem, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command."""

    command: str
    code: int | None
    """Its exit code; None if it timed out or could not be started."""
    output: str
    """The end of what it printed, or why it could not be run."""

    @property
    def is_ok(self) -> bool:
        """Done, with exit code 0."""
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a hook is told besides the plan: the job it is called for."""

    id: str
    revision: int
    server_xml: str


def calls(plan: Plan, hooks: Sequence[Hook]) -> tuple[Call, ...] | None:
    """The calls that carry out a plan, in order; None if a scope has no hook at all.

    An item for whose scope no hook is set goes up to the next wider scope that has one.
    """
    widened: list[PlanItem] = []
    for item in plan.items:
        wide = _widen(item, hooks)
        if wide is None:
            return None
        if wide not in widened:
            widened.append(wide)
    hosts = {item.virtual_host for item in widened if item.scope == VIRTUAL_HOST}
    if any(item.scope == SERVER for item in widened):
        widened = [item for item in widened if item.scope == SERVER]
    else:
        widened = [
            item for item in widened if item.scope == VIRTUAL_HOST or item.virtual_host not in hosts
        ]
    result: list[Call] = []
    for hook in hooks:
        served = tuple(item for item in widened if item.scope in hook.on)
        per_plan = hook.per == "plan" or (not hook.per and hook.use == "systemd")
        if served and per_plan:
            result.append(Call(hook, served))
        else:
            result += (Call(hook, (item,)) for item in served)
    return tuple(result)


def _widen(item: PlanItem, hooks: Sequence[Hook]) -> PlanItem | None:
    while not any(item.scope in hook.on for hook in hooks):
        wider = _WIDER.get(item.scope)
        if wider is None:
            return None
        host = item.virtual_host if wider == VIRTUAL_HOST else ""
        item = PlanItem(wider, Action.RESTART, host)
    return item


def call(one: Call, job: Occasion, orphans: Orphans | None = None) -> Outcome:
    """Call a hook once and wait for it, up to its time-out; orphans has it noted meanwhile."""
    hook = one.hook
    if hook.use == "engine":
        return Outcome("engine", None, "[engine] url is not set: omeconf must be restarted")
    command = hook.run or ("systemctl", "restart", hook.unit)
    first = one.items[0]
    environment = {
        "OMECONF_SCOPE": first.scope if len(one.items) == 1 else "plan",
        "OMECONF_VHOST": first.virtual_host if len(one.items) == 1 else "",
        "OMECONF_APP": first.application if len(one.items) == 1 else "",
        "OMECONF_ACTION": first.action.value if len(one.items) == 1 else "",
        "OMECONF_REVISION": str(job.revision),
        "OMECONF_JOB": job.id,
        "OMECONF_SERVER_XML": job.server_xml,
    }
    told = {
        "job": job.id,
        "revision": job.revision,
        "serverXml": job.server_xml,
        "items": [item.as_json() for item in one.items],
    }
    return run(
        command, timeout_s=hook.timeout_s, told=told, environment=environment, orphans=orphans
    )


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    told: object = None,
    environment: Mapping[str, str] | None = None,
    orphans: Orphans | None = None,
) -> Outcome:
    """Run a command to its end, with JSON on its standard input. Never raises for it."""
    shown = " ".join(command)
    with tempfile.TemporaryFile() as given:
        given.write(json.dumps(told).encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(command),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(shown, None, f"cannot be started: {error.strerror}")
    orphans = orphans or Orphans(None)
    orphans.begins(process.pid)
    with process:
        is_done, output = _read_until_exit(process, timeout_s)
        if not is_done:
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    orphans.ends()
    text = output.decode("utf-8", "replace").strip()
    if not is_done:
        return Outcome(shown, None, f"killed after {timeout_s:g} s. {text}".strip())
    return Outcome(shown, code, text)


def _read_until_exit(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bool, bytes]:
    """Whether it ended in time, and the end of its output.

    The process itself is waited for, not the end of the pipe: a child left behind may hold that
    open for ever.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_s
    pipe, ended = process.stdout.fileno(), os.pidfd_open(process.pid)
    os.set_blocking(pipe, False)
    output = b""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while True:
                ready = selector.select(max(deadline - time.monotonic(), 0))
                is_done = any(key.fd == ended for key, _ in ready)
                if not ready:
                    return False, output
                while chunk := _read(pipe):
                    output = (output + chunk)[-KEPT_OUTPUT_BYTES:]
                    if time.monotonic() > deadline:
                        return False, output
                if is_done:
                    return True, output
                if chunk is not None and pipe in selector.get_map():
                    selector.unregister(pipe)  # closed by the process, which still runs
    finally:
        os.close(ended)


def _read(pipe: int) -> bytes | None:
    """What is there now; b"" at the end, None if there is nothing yet."""
    try:
        return os.read(pipe, 65536)
    except BlockingIOError:
        return None
