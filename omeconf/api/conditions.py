"""ETags: what a resource is as head has it, and what If-Match and If-None-Match say of that.

``"REVISION-HEX"``: the revision at which the resource was last seen to change, and the start of a
digest of what it is. Only the digest is compared, so that a restart makes no ETag stale.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable

from starlette.requests import Request

from omeconf.core.mapping import Json
from omeconf.errors import Stale
from omeconf.store.repository import Head, Precondition

_TAG = re.compile(r'(W/)?"([^"]*)"')

MOST = 10_000
"""Of so many resources it is remembered what they were."""

Resource = Callable[[Head], Json]
"""What a resource is in a head; raises ApiError 404 if there is no such."""


class Tags:
    """The ETags of one daemon: since which revision each resource is what it is."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int]] = {}
        self._at: dict[str, tuple[int, str]] = {}
        """By path, the last revision that was asked about, and the digest of what it has there."""

    def of(self, path: str, value: Json, head: Head) -> str:
        """The ETag of the resource at a path."""
        digest = self._note(path, head, _digest(value))
        known = self._seen.get(path)
        if known is None or known[0] != digest:
            if len(self._seen) > MOST:
                self._seen.clear()
            known = self._seen[path] = (digest, head.revision.number)
        return f'"{known[1]}-{digest}"'

    def digest(self, path: str, head: Head, resource: Resource) -> str:
        """The digest in the ETag of the resource at a path; nothing is looked at twice for it."""
        number, digest = self._at.get(path, (0, ""))
        if number and number == head.revision.number:
            return digest
        return self._note(path, head, _digest(resource(head)))

    def _note(self, path: str, head: Head, digest: str) -> str:
        if len(self._at) > MOST:
            self._at.clear()
        self._at[path] = (head.revision.number, digest)
        return digest


def precondition(request: Request, resource: Resource) -> Precondition | None:
    """What If-Match asks of the head a change is made on; None if it asks nothing."""
    header = request.headers.get("If-Match")
    if header is None:
        return None
    tags: Tags = request.app.state.tags
    path = request.url.path

    def ask(head: Head) -> None:
        if header.strip() == "*":
            resource(head)
            return
        wanted = {tag.rpartition("-")[2] for weak, tag in _TAG.findall(header) if not weak}
        if tags.digest(path, head, resource) not in wanted:
            raise Stale(f"it is not what it was: If-Match is {header}; GET it again")

    return ask


def must_match(request: Request, head: Head, resource: Resource) -> None:
    """Raise Stale if what If-Match asks for is not so now: that needs no body and no writer."""
    condition = precondition(request, resource)
    if condition is not None:
        condition(head)


def is_known(request: Request, tag: str) -> bool:
    """Whether the caller has it already (If-None-Match): then 304 is enough."""
    header = request.headers.get("If-None-Match")
    if header is None:
        return False
    digest = tag.strip('"').rpartition("-")[2]
    return header.strip() == "*" or any(
        found.rpartition("-")[2] == digest for _, found in _TAG.findall(header)
    )


def _digest(value: Json) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
