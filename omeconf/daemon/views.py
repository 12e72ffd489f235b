"""What may be asked of the daemon: how things stand, what changed, what a revision holds."""

from __future__ import annotations

import json
from typing import Any

from omeconf.core.diff import changes, unified
from omeconf.core.plan import plan
from omeconf.core.secrets import masked
from omeconf.core.snapshot import Snapshot
from omeconf.daemon.confirm import Confirmation
from omeconf.daemon.jobs import Reloader, State
from omeconf.daemon.running import Running
from omeconf.store.history import History
from omeconf.store.repository import Repository


def status(
    repository: Repository, reloader: Reloader, running: Running, confirmation: Confirmation
) -> dict[str, Any]:
    """How things stand: three revisions apart, drift, reloads."""
    pending, current, last = reloader.pending, reloader.current, reloader.last
    head, drift, history = repository.head, repository.drift, repository.history
    is_well = drift is None and not repository.missing and not repository.unrecorded
    disk = repository.disk if is_well and repository.held is None else None  # else not looked at
    return {
        "serverXml": str(repository.folder.path / repository.main),
        "revision": {
            "head": head.revision.number if head else None,
            "disk": disk.revision.number if disk else None,
            "running": reloader.running.revision.number if reloader.running else None,
            "healthy": history.mark("healthy"),
        },
        "ownEdits": repository.own is not None,
        "runningIsAssumed": running.is_assumed,
        "missing": repository.missing or None,
        "unrecorded": repository.unrecorded or None,
        "held": repository.held,
        "readOnly": repository.obstacle or None,
        "history": history.trouble
        or (f"damaged, kept in {history.set_aside}" if history.set_aside else None),
        "confirm": confirmation.as_json(),
        "drift": None if drift is None else {"violations": [v.as_json() for v in drift.violations]},
        "reload": {
            "pending": pending.as_json() if pending else None,
            "current": current.as_json() if current else None,
            "last": last.as_json() if last else None,
        },
        "restartNeeded": last is not None and last.state is State.WAITING,
    }


def reloads(history: History, reloader: Reloader) -> list[dict[str, Any]]:
    """Reloads, newest first: those of this run, and those on record from earlier ones."""
    shown = [job.as_json() for job in reloader.jobs]
    known = {each["id"] for each in shown}
    for each in map(json.loads, history.jobs()):
        if each["id"] not in known:
            if each["state"] in ("pending", "running"):
                each["state"] = "superseded"  # the daemon ended, and the next one took over
            shown.append(each)
    return shown


def diff(
    repository: Repository, number: int, against: int | None, *, hide_secrets: bool
) -> dict[str, Any]:
    """What changed between two revisions; against its parent, unless told. Raises NotFound."""
    base = repository.history.get(number).parent if against is None else against
    new = repository.at(number)
    if base == 0:
        old_root, old = None, Snapshot({}, main=repository.main)
    else:
        before = repository.at(base)
        old_root, old = before.root, masked(before) if hide_secrets else before.snapshot
    found = changes(old_root, new.root)
    return {
        "revision": number,
        "against": base,
        "changes": [change.as_json() for change in found],
        "plan": plan(found).as_json(),
        "text": unified(old, masked(new) if hide_secrets else new.snapshot),
    }


def files(repository: Repository, number: int, *, hide_secrets: bool) -> dict[str, str]:
    """The files of a revision as text. Raises NotFound."""
    checked = repository.at(number)
    snapshot = masked(checked) if hide_secrets else checked.snapshot
    return {name: data.decode("utf-8", "replace") for name, data in snapshot.files.items()}
