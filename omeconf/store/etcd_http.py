"""Requests to one endpoint of etcd, with what went wrong told by whether it may have been done.

Facts of etcd 3.4.23, each seen by asking it: an error is a status of HTTP with the JSON members
`error`, `message` (the same text) and `code` (of gRPC); in a stream that has begun, `error` is an
object with `message` and `grpc_code`, as newer releases may have it elsewhere, too. A member that
has not had a leader since it started accepts connections and answers nothing at all. One that lost
it lets a request wait for 7 s (503 "request timed out", or 500 "context deadline exceeded", with
nothing known), but says 503 "no leader" at once to one that asks for that.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from omeconf.errors import GroupAway, GroupRefused, Unwritable
from omeconf.store.etcd_values import number, text

NEEDS_LEADER = {"Grpc-Metadata-hasleader": "true"}
"""With it a member without a leader says so at once, before it does anything, and ends watches."""

ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)
"""Connections find out by themselves, after some 25 s, that the other end is cut off."""

UNDONE = (
    "no leader", "not leader", "not a leader", "raft proposal dropped", "too many requests",
    "future revision", "learner",
)  # fmt: skip
"""Said before anything is proposed to the group, so that a write has certainly not been done."""
DECIDED = (3, 5, 6, 7, 8, 9, 11, 12, 16)
"""Codes with which a request is refused for what it is; any other may come after it was done."""


class Failed(Exception):
    """An endpoint did not do what it was asked for, and another one may."""

    def __init__(
        self, reason: str, *, is_undone: bool, is_passing: bool = False, is_refused: bool = False
    ) -> None:
        """is_undone: certainly nothing was done; is_passing: it may pass within seconds;
        is_refused: one side does not accept the other's certificate.
        """
        super().__init__(reason)
        self.reason = reason
        self.is_undone = is_undone
        self.is_passing = is_passing
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True)
class Problem:
    """An error that etcd answered with."""

    message: str
    """Without etcd's name before it."""
    code: int
    """Of gRPC; 0 if there is none."""

    @property
    def is_of_token(self) -> bool:
        """Whether to authenticate (again) may help; nothing was done.

        Tokens end when they are not used for five minutes, and when etcd is started.
        """
        of_token = ("invalid auth token", "user name is empty", "revision of auth store is old")
        return any(each in self.message for each in of_token)

    @property
    def is_of_access(self) -> bool:
        """Whether we may not do that."""
        words = ("authentication failed", "CommonName of client")
        return (
            self.code in (7, 16) or self.is_of_token or any(each in self.message for each in words)
        )

    @property
    def is_of_member(self) -> bool:
        """Whether it is the state of the member that answered, and another one may do it."""
        return self.code not in DECIDED or any(each in self.message for each in UNDONE)

    def failed(self) -> Failed:
        """As that of an endpoint."""
        is_undone = any(each in self.message for each in UNDONE)
        return Failed(self.message, is_undone=is_undone, is_passing=True)


def answered(status: int, content: bytes) -> dict[str, Any] | Problem:
    """What an endpoint answered, or the error in it, in whichever form it is."""
    try:
        form = json.loads(content)
    except ValueError:
        form = None
    if not isinstance(form, dict):
        words = content[:200].decode(errors="replace").strip()
        return Problem(
            f"answers {status}, and not as etcd does (is that its port for clients?): {words}",
            3 if 400 <= status < 500 else 14,
        )
    return form if status == 200 and "error" not in form else problem_of(form, status)


def problem_of(form: Mapping[str, Any], status: int = 0) -> Problem:
    """The error that an answer is."""
    found = form["error"] if isinstance(form.get("error"), dict) else form
    message = text(found, "message") or text(found, "error") or f"answers {status}"
    try:
        code = number(found, "grpc_code") or number(found, "code")
    except (TypeError, ValueError):
        code = 0
    return Problem(message.rpartition("desc = ")[2].removeprefix("etcdserver: "), code)


def away(failures: Mapping[str, Failed], *, is_unknown: bool = False) -> Unwritable:
    """The error for endpoints that all failed."""
    told = "; ".join(f"{endpoint}: {failed.reason}" for endpoint, failed in failures.items())
    if is_unknown:
        return GroupAway(f"etcd may or may not have done it: {told}", is_unknown=True)
    if any(failed.is_refused for failed in failures.values()):
        return GroupRefused(f"no etcd can be asked: {told}")
    return GroupAway(
        f"etcd is away, or has no majority ({told}): check [fleet] endpoints, and that most of the"
        " etcd servers run and reach each other (`etcdctl endpoint status --cluster`)"
    )


class Http:
    """Connections to all endpoints."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it has a line for each request
        self._client = self._new_client()

    def post(
        self, url: str, body: Mapping[str, Any], headers: Mapping[str, str], *,
        connect_s: float, whole_s: float,
    ) -> tuple[int, bytes]:  # fmt: skip
        """Status and body of an answer that came within whole_s. Raises Failed."""
        deadline = time.monotonic() + whole_s
        limits = httpx2.Timeout(whole_s, connect=connect_s, pool=connect_s)
        content = json.dumps(body).encode()
        parts: list[bytes] = []
        with (
            _translated(),
            self._client.stream(
                "POST", url, content=content, headers=headers, timeout=limits
            ) as answer,
        ):
            for part in answer.iter_raw():
                parts.append(part)
                if time.monotonic() > deadline:
                    raise Failed("does not answer in time", is_undone=False)
        return answer.status_code, b"".join(parts)

    def stream(
        self, url: str, body: Mapping[str, Any], headers: Mapping[str, str], *, connect_s: float
    ) -> Stream:
        """An answer that goes on, on a connection of its own."""
        return Stream(self._new_client(), url, body, headers, connect_s)

    def close(self) -> None:
        """Close all connections that `post` left open."""
        self._client.close()

    def _new_client(self) -> httpx2.Client:
        transport = httpx2.HTTPTransport(
            verify=self._tls if self._tls is not None else False,
            trust_env=False,
            socket_options=ALIVE,
        )
        identity = {"Accept-Encoding": "identity", "User-Agent": "omeconf"}
        return httpx2.Client(transport=transport, trust_env=False, headers=identity)


class Stream:
    """The lines of an answer that goes on for as long as it likes."""

    def __init__(
        self, client: httpx2.Client, url: str, body: Mapping[str, Any],
        headers: Mapping[str, str], connect_s: float,
    ) -> None:  # fmt: skip
        self._client = client
        self._url = url
        self._content = json.dumps(body).encode()
        self._headers = headers
        self._limits = httpx2.Timeout(None, connect=connect_s, write=connect_s, pool=connect_s)
        self._socket: socket.socket | None = None
        self.is_cut = False
        """Whether nobody wants more of it."""

    def lines(self) -> Iterator[bytes]:
        """Lines as they come; for one thread. Raises Failed."""
        with (
            _translated(),
            self._client,
            self._client.stream(
                "POST", self._url, content=self._content, headers=self._headers,
                timeout=self._limits, extensions={"trace": self._trace},
            ) as answer,
        ):  # fmt: skip
            rest: list[bytes] = []
            for part in answer.iter_raw():
                *ended, last = part.split(b"\n")
                for line in ended:
                    yield b"".join((*rest, line))
                    rest = []
                rest.append(last)
            if any(rest):
                yield b"".join(rest)

    def cut(self) -> None:
        """Have the thread that reads lines come to their end, wherever it waits."""
        self.is_cut = True
        if self._socket is not None:
            with suppress(OSError):  # it has gone already
                # not the method of a TLS socket, which would drop the state that is being used
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _trace(self, name: str, info: Mapping[str, Any]) -> None:
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if self.is_cut:
                self.cut()


class _translated:  # noqa: N801 - read as a word of a with statement
    """Turns errors of the library into ours."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, httpx2.HTTPError | httpx2.StreamError | OSError | ValueError):
            return
        refused = _tls_reason(error)
        if refused:
            raise Failed(
                f"TLS failed: {refused}: check the certificates of both sides and the CA",
                is_undone=True,
                is_refused=True,
            ) from error
        is_unsent = isinstance(
            error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout
        )
        is_late = isinstance(error, httpx2.TimeoutException)
        reason = str(error) or type(error).__name__
        if _is_of_another_scheme(error):
            reason = (
                f"{reason}: one side speaks TLS and the other does not: is it http:// or https://?"
            )
        if is_late:
            reason = "cannot be reached in time" if is_unsent else "does not answer in time"
        raise Failed(reason, is_undone=is_unsent) from error


def _tls_reason(error: BaseException | None) -> str:
    """Why the other side's certificate, or ours, was not accepted; "" if it was not that."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        if isinstance(error, ssl.SSLError) and any(
            word in (error.reason or "") for word in ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE")
        ):
            return (error.reason or "").lower().replace("_", " ")
        error = error.__cause__ or error.__context__
    return ""


def _is_of_another_scheme(error: BaseException) -> bool:
    """Whether https is spoken to who does not, or the other way round: it hangs up, or answers
    what is no TLS.
    """
    words = ("UNEXPECTED_EOF", "WRONG_VERSION_NUMBER", "disconnected without sending")
    return any(word in str(error) for word in words)
