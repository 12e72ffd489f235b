"""Log lines read back, in each of their forms; and a journal that keeps what it is sent."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
from pathlib import Path
from typing import Any

_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=]*)(?: |$)')


def logfmt(line: str) -> dict[str, str]:
    """The fields of a line; nothing may be left between them."""
    found: dict[str, str] = {}
    at = 0
    for pair in _PAIR.finditer(line):
        assert pair.start() == at, line
        at = pair.end()
        found[pair[1]] = json.loads(pair[2]) if pair[2].startswith('"') else pair[2]
    assert at == len(line), line
    return found


def native(data: bytes) -> dict[str, str]:
    """The fields of a datagram of the journal's native protocol (systemd.io)."""
    found: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        assert name.decode() not in found
        found[name.decode()] = value.decode()
        data = rest
    return found


class FakeJournal:
    """Listens as the journal does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(10)

    def read(self) -> dict[str, str]:
        """The next event. One that was too large for a datagram comes as a file descriptor."""
        data, handles, _, _ = socket.recv_fds(self.socket, 1 << 20, 1)
        for handle in handles:
            with os.fdopen(handle, "rb") as file:
                file.seek(0)
                data = file.read()
        return native(data)

    def close(self) -> None:
        """Listen no more."""
        self.socket.close()
        self.path.unlink()


def read(form: str, line: str) -> dict[str, Any]:
    """The fields of a line of a form that has them."""
    found: dict[str, Any] = json.loads(line) if form == "json" else logfmt(line)
    return found
