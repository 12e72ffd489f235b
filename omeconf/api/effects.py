"""What a change does, as an answer: what differs, what restarts, what is wrong, what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.reading import hides_secrets
from omeconf.api.writing import Written, service_of
from omeconf.core.check import Checked
from omeconf.core.diff import changes, unified
from omeconf.core.mapping import Json
from omeconf.core.plan import plan
from omeconf.core.secrets import masked
from omeconf.core.snapshot import Snapshot
from omeconf.core.violation import Violation


def effect(request: Request, old: Checked, new: Checked) -> dict[str, Any]:
    """What changes from one state to another, restarts, and is written, as the caller may see.

    Of a state that is not good only what is written is told, and nothing to those who may not
    see secrets: it may have one anywhere. The text of files outside the configuration folder is
    not shown, unless they are in use: else whoever may check could read any file of the machine.
    """
    hides = hides_secrets(request)
    is_good = old.is_good and new.is_good
    if hides and not is_good:
        return {"diff": ""}  # what is broken may show any secret
    head = service_of(request).repository.head
    known = head.checked.snapshot.files if head else {}
    before, after = (masked(each) if hides else each.snapshot for each in (old, new))
    diff = {"diff": unified(_visible(before, known), _visible(after, known))}
    if not is_good:
        return diff
    found = changes(old.root, new.root)
    shown = [change.as_json() for change in found]
    return {"changes": shown, "plan": plan(found).as_json(), **diff}


def _visible(snapshot: Snapshot, known: Mapping[str, bytes]) -> Snapshot:
    """Without the files outside of the folder, but for those that are in use."""
    files = {
        file: data
        for file, data in snapshot.files.items()
        if snapshot.is_inside(file) or file in known
    }
    return snapshot.with_bytes(files)


def violations(found: Sequence[Violation]) -> dict[str, Json]:
    """The member of an answer that has them."""
    return {"violations": [violation.as_json() for violation in found]}


def answer_written(
    request: Request, before: Checked, written: Written, headers: dict[str, str] | None = None
) -> Response:
    """What became of a write, or what would: revision, reload, violations, diff and plan."""
    now = written.head.checked
    return JSONResponse(
        {
            "revision": written.head.revision.number,
            "reload": written.headers["Omeconf-Reload"],
            **violations(now.violations),
            **effect(request, before, now),
        },
        headers=written.headers | (headers or {}),
    )
