"""What a change does, as an answer: what differs, what restarts, what is wrong, what is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.reading import hides_secrets
from omeconf.api.writing import Written
from omeconf.core.check import Checked
from omeconf.core.diff import changes, unified
from omeconf.core.mapping import Json
from omeconf.core.plan import plan
from omeconf.core.secrets import masked
from omeconf.core.snapshot import Snapshot
from omeconf.core.violation import Violation


def effect(request: Request, old: Checked, new: Checked) -> dict[str, Any]:
    """What changes from one state to another, restarts, and is written, as the caller may see.

    Of a state that is not good only what is written is told.
    The text of files outside the configuration folder is not shown: else whoever may check could
    have any file of the machine included, and read it.
    """
    hides = hides_secrets(request)
    before, after = (masked(each) if hides else each.snapshot for each in (old, new))
    files = {
        file: data
        for file, data in after.files.items()
        if file in before.files or after.is_inside(file)
    }
    after = Snapshot(files, main=after.main, folder=after.folder, env=after.env)
    diff = {"diff": "" if hides and new.root is None else unified(before, after)}
    if not (old.is_good and new.is_good):
        return diff
    found = changes(old.root, new.root)
    shown = [change.as_json() for change in found]
    return {"changes": shown, "plan": plan(found).as_json(), **diff}


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
