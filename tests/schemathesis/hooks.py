"""Between the calls of schemathesis: what the examples of the document name stays there.

Run by schemathesis in its own process. Without it one DELETE would make 404s of all that follows.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from schemathesis import HookContext

from tests.support.daemon import call

KEEPS = os.environ.get("OMECONF_TEST_KEEPS") == "1"
"""Whether what is changed stays changed, for a stateful run."""
EVERY = 25
"""So many changes in what is there may add up."""
_changes = 0


@schemathesis.hook
def after_call(_context: HookContext, case: Any, response: Any) -> None:
    """Back to revision 1 when something may be gone; nothing on hold or to be confirmed."""
    global _changes
    is_dry = "omeconf-plan" in response.headers
    if case.method == "GET" or response.status_code >= 300 or is_dry:
        return
    port = urlsplit(response.request.url).port or 0
    if case.path.endswith("/hold"):
        call(port, "POST", "/omeconf/v1/resume")
    if "confirm" in (case.query or {}):
        call(port, "POST", "/omeconf/v1/confirm")
    _changes += 1
    is_other = case.method in ("DELETE", "POST") or case.path.startswith("/omeconf")
    if not KEEPS and (is_other or _changes % EVERY == 0):
        answer = call(port, "POST", "/omeconf/v1/rollback", {"revision": 1})
        assert answer.status == 200, answer.json
