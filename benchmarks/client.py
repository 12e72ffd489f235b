"""A client that costs little: one socket, requests made beforehand, answers hardly looked at."""

from __future__ import annotations

import base64
import json
import re
import select
import socket
import time
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 900.0
"""A server that does not answer for so long has failed."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class BadAnswer(Exception):
    """A server did not answer as it should have; nothing that is measured then counts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, and how long that took from the first byte sent."""

    seconds: float
    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """A header by its name; "" if it is not there."""
        found = re.search(rb"\r\n%s: *([^\r]*)" % name.encode(), self.head, re.IGNORECASE)
        return found[1].decode() if found else ""

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class Client:
    """One keep-alive connection to a server on this machine."""

    def __init__(self, port: int, token: str = "") -> None:
        """token: sent with each request, the way OvenMediaEngine has it."""
        self.port = port
        self.authorization: dict[str, str] = {}
        """The header that says who we are."""
        if token:
            credential = base64.b64encode(token.encode()).decode()
            self.authorization = {"Authorization": f"Basic {credential}"}
        self._socket: socket.socket | None = None

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        """The bytes of a request; If_Match="..." is the header If-Match."""
        lines = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        for name, value in (self.authorization | headers).items():
            lines += f"{name.replace('_', '-')}: {value}\r\n"
        data = b""
        if body is not None:
            data = json.dumps(body).encode()
            lines += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        return lines.encode() + b"\r\n" + data

    def send(self, request: bytes, wanted: int = 200) -> Answer:
        """Send a request and take the answer to its end. Raises BadAnswer, OSError."""
        connection = self._open()
        begin = time.perf_counter()
        connection.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = connection.recv(65536)
            if not more:
                self.close()
                raise ConnectionResetError(f"the connection ended with {data!r}")
            data += more
        status = int(data[9:12])
        length = _LENGTH.search(data, 0, end)
        if length is None and status not in (204, 304):
            self.close()
            raise BadAnswer(f"no Content-Length in {data[:end]!r}")
        parts, missing = [data], 0
        if length is not None and status != 304:
            missing = end + 4 + int(length[1]) - len(data)
        while missing > 0:
            more = connection.recv(1 << 20)
            if not more:
                raise BadAnswer("the connection ended within an answer")
            parts.append(more)
            missing -= len(more)
        seconds = time.perf_counter() - begin
        whole = b"".join(parts)
        if status != wanted:
            raise BadAnswer(f"{status} instead of {wanted}: {whole[:500]!r}")
        return Answer(seconds, status, whole[:end], whole[end + 4 :])

    def get(self, path: str) -> Answer:
        """GET something, for its own sake."""
        return self.send(self.request("GET", path))

    def connect(self) -> socket.socket:
        """A new connection, in the place of the one there may be."""
        self.close()
        self._socket = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _open(self) -> socket.socket:
        """The connection; a new one if there is none, or the server has ended it meanwhile."""
        if self._socket is None or select.select([self._socket], [], [], 0)[0]:
            return self.connect()  # nothing but its end can be to read between two requests
        return self._socket

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Events:
    """The stream of revisions of an omeconf daemon."""

    def __init__(self, client: Client) -> None:
        """client: one of its own, for the whole of its connection."""
        self._client = client
        self._socket = client.connect()
        self._socket.sendall(client.request("GET", "/omeconf/v1/events"))
        self._buffer = b""
        self._wait_for(b"retry:", PATIENCE_S)

    def wait_for_revision(self, timeout_s: float = PATIENCE_S) -> float:
        """Wait until a revision is told of; gives the moment, of time.perf_counter."""
        self._wait_for(b"event: revision\n", timeout_s)
        return time.perf_counter()

    def _wait_for(self, text: bytes, timeout_s: float) -> None:
        self._socket.settimeout(timeout_s)
        while text not in self._buffer:
            more = self._socket.recv(65536)
            if not more:
                raise BadAnswer("the stream of events ended")
            self._buffer += more
        self._buffer = self._buffer.partition(text)[2]

    def close(self) -> None:
        """Listen no more."""
        self._client.close()
