"""ETags: what a resource is as head has it, and what If-Match and If-None-Match say of that.

``"REVISION-HEX"``: the revision at which the resource was last seen to change, and the start of a
digest of what it is. Only the digest is compared, so that a restart makes no ETag stale.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from weakref import ref

from starlette.requests import Request

from omeconf.api.envelope import whole_number
from omeconf.core.check import Checked
from omeconf.core.mapping import Json
from omeconf.errors import Stale
from omeconf.store.head import Head, Precondition

_TAG = re.compile(r'(W/)?"([^"]*)"')

MOST = 10_000
"""Of so many resources it is remembered what they were."""

Resource = Callable[[Head], Json]
"""What a resource is in a head; raises ApiError 404 if there is no such."""


class Tags:
    """The ETags of one daemon: since which revision each resource is what it is."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int]] = {}
        self._at: dict[str, tuple[ref[Checked], str]] = {}
        """By name of a resource, the last head asked about, and the digest that it has there."""

    def of(self, name: str, value: Json, head: Head) -> str:
        """The ETag of a resource; its name is its path, or says which of several is there."""
        digest = self._note(name, head, _digest(value))
        known = self._seen.get(name)
        if known is None or known[0] != digest:
            if len(self._seen) > MOST:
                self._seen.clear()
            known = self._seen[name] = (digest, head.revision.number)
        return f'"{known[1]}-{digest}"'

    def digest(self, name: str, head: Head, resource: Resource) -> str:
        """The digest in the ETag of a resource; nothing is looked at twice for it."""
        known = self._at.get(name)
        if known is not None and known[0]() is head.checked:
            return known[1]
        return self._note(name, head, _digest(resource(head)))

    def _note(self, name: str, head: Head, digest: str) -> str:
        if len(self._at) > MOST:
            self._at.clear()
        self._at[name] = (ref(head.checked), digest)
        return digest


def based(request: Request) -> Precondition | None:
    """What ``?base=N`` asks of the head a change is made on: to be that one. Raises ApiError."""
    text = request.query_params.get("base")
    if text is None:
        return None
    number = whole_number("base", text)

    def ask(head: Head) -> None:
        newest = head.revision.number
        if newest != number:
            raise Stale(f"revision {number} is not the newest any more: that is {newest}")

    return ask


def precondition(request: Request, resource: Resource, name: str = "") -> Precondition | None:
    """What If-Match and ``?base=N`` ask of the head a change is made on; None if nothing.

    name: as `Tags.of` has it, if that is not the path. Raises ApiError.
    """
    asked = [each for each in (based(request), _matching(request, resource, name)) if each]
    if len(asked) < 2:
        return asked[0] if asked else None

    def ask(head: Head) -> None:
        for each in asked:
            each(head)

    return ask


def _matching(request: Request, resource: Resource, name: str) -> Precondition | None:
    header = request.headers.get("If-Match")
    if header is None:
        return None
    tags: Tags = request.app.state.tags
    name = name or request.url.path

    def ask(head: Head) -> None:
        if header.strip() == "*":
            resource(head)
            return
        wanted = {tag.rpartition("-")[2] for weak, tag in _TAG.findall(header) if not weak}
        if tags.digest(name, head, resource) not in wanted:
            raise Stale(f"it is not what it was: If-Match is {header}; GET it again")

    return ask


def is_conditional(request: Request) -> bool:
    """Whether a change is only to be made on what its caller has seen."""
    return "If-Match" in request.headers or "base" in request.query_params


def must_match(request: Request, head: Head, resource: Resource, name: str = "") -> None:
    """Raise Stale if what If-Match asks for is not so now: that needs no body and no writer."""
    condition = precondition(request, resource, name)
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
