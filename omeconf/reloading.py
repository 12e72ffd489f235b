"""What `omeconf reload` does: settings and files are looked at again; the outcome is waited for.

It is what systemd calls (ExecReload=), so its exit status has to say what came of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omeconf.client import Client
from omeconf.errors import OmeconfError, Unreachable

POLL_S = 0.1
"""How often the daemon is asked what has become of a reload."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a daemon answered."""

    answer: dict[str, Any]
    lines: tuple[str, ...]
    """For people."""
    troubles: tuple[str, ...]
    """What is wrong; none if all is well."""


def ask(socket: Path, wait_s: float) -> Asked:
    """Have a daemon look at settings and files; wait so long for what it reloads, 0 for not.

    Raises Unreachable if there is no daemon.
    """
    client = Client(socket)
    try:
        answer = client.reload()
    except Unreachable:
        raise
    except OmeconfError as error:
        return Asked({"error": str(error)}, (), (str(error),))
    job = answer["reload"]
    deadline, tries = time.monotonic() + wait_s, job["tries"] if job is not None else 0
    while job is not None and _goes_on(job, tries) and time.monotonic() < deadline:
        time.sleep(POLL_S)
        job = answer["reload"] = client.reload_of(job["id"])
    lines = [f"settings: {name} changed" for name in answer["changed"]]
    lines += [f"settings: {name} needs a restart of omeconf" for name in answer["needRestart"]]
    lines.append(f"revision {answer['revision']} is the newest")
    troubles = [answer["missing"]] if answer["missing"] else []
    for violation in (answer["drift"] or {"violations": ()})["violations"]:
        if violation["severity"] == "error":
            where = f"{violation['file']}:{violation['line']}:{violation['column']}"
            troubles.append(f"{where}: {violation['message']}")
    if job is not None and wait_s:
        troubles += _trouble(job)
        if not troubles:
            lines.append(f"reload {job['id']}: {job['state']}")
    return Asked(answer, tuple(lines), tuple(troubles))


def _goes_on(job: dict[str, Any], tries: int) -> bool:
    """Not so if it has ended, or has been tried once more and waits for an engine: that may last.

    tries: how often it had been begun when we asked.
    """
    return bool(job["state"] == "running" or (job["state"] == "pending" and job["tries"] <= tries))


def _trouble(job: dict[str, Any]) -> list[str]:
    if job["state"] in ("healthy", "waiting", "superseded"):
        return []
    if job["state"] in ("pending", "running"):
        last = job["calls"][-1]["output"] if job["calls"] else "it is still under way"
        return [f"reload {job['id']} is {job['state']}: {last}"]
    last = job["calls"][-1]["output"].strip() if job["calls"] else ""
    return [f"reload {job['id']} {job['state']}: {last}"]
