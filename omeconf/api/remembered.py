"""Answers to reads that can be given again: the same request, while head is the same.

A read that says of itself that it depends on nothing but head and the request (`remember`) is
answered from here when it comes again, to the byte: path, query and all headers are compared, so
that whatever else an answer goes by (who asks, from which origin, what is known already) is the
same, too.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Scope

from omeconf.store.head import Head

MOST = 4096
"""So many answers are kept."""
MOST_BYTES = 16 << 20
"""So many bytes of requests and answers are kept, all together."""
MOST_ASKED = 4096
"""Bytes of headers; a request with more is not remembered."""
_WANTED = "omeconf.remember"

Key = tuple[Any, ...]


class Answer:
    """One answer, but for its request id."""

    __slots__ = ("body", "count", "headers", "lines", "start", "status_line")

    def __init__(self, start: Message, body: bytes, count: Callable[[float], None]) -> None:
        self.start = start
        self.headers: list[tuple[bytes, bytes]] = start["headers"]
        self.body = body
        self.count = count
        """Counts that it was given, after so many seconds."""
        status = HTTPStatus(start["status"])
        self.status_line = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        self.lines = b"".join(b"%s: %s\r\n" % each for each in self.headers) + b"\r\n"
        """The headers as they are sent."""


class Remembered:
    """The answers of one application."""

    def __init__(self) -> None:
        self._head: Head | None = None
        self._answers: dict[Key, Answer] = {}
        self._bytes = 0

    def find(self, key: Key, head: Head | None) -> Answer | None:
        """The answer to a request; None if it has not been given for this head."""
        return self._answers.get(key) if head is self._head else None

    def keep(self, key: Key, head: Head, answer: Answer) -> None:
        """Keep an answer that was given for a head."""
        asked = sum(len(name) + len(value) for name, value in key[-1])
        if asked > MOST_ASKED:
            return
        size = asked + len(key[0]) + len(key[1]) + 2 * len(answer.lines) + len(answer.body)
        is_full = len(self._answers) >= MOST or self._bytes + size > MOST_BYTES
        if head is not self._head or is_full:
            self._answers.clear()
            self._head, self._bytes = head, 0
        self._answers[key] = answer
        self._bytes += size


def key_of(scope: Scope) -> Key:
    """What tells a request from others."""
    peer = scope["state"].get("peer") if "state" in scope else None
    return scope["raw_path"], scope["query_string"], peer, tuple(scope["headers"])


def remember(request: Request, head: Head) -> None:
    """The answer to this request goes by nothing but the request and this head."""
    request.scope[_WANTED] = head


def wanted(scope: Scope) -> Head | None:
    """For which head the answer to a request can be given again; None if it cannot."""
    found: Head | None = scope.get(_WANTED)
    return found
