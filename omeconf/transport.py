"""uvicorn's HTTP protocol with limits for headers and slow clients, and the peer of a socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from omeconf.settings import Api

MOST_HEADER_BYTES = 32768
"""Request line and headers of one request; the connection of a longer one is closed."""


def protocol(settings: Api) -> type[asyncio.Protocol]:
    """The protocol class of a server with these settings."""

    class Limited(HttpToolsProtocol):
        """Closes what does not begin in time, and what does not end its headers."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.header_bytes = 0
            self.is_headed = False
            self.app_state = {**self.app_state, "peer": _peer(transport)}
            self.patience = self.loop.call_later(settings.header_timeout_s, self.give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self.patience.cancel()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self.header_bytes, self.is_headed = 0, False
            super().on_message_begin()

        def data_received(self, data: bytes) -> None:
            if not self.is_headed:
                self.header_bytes += len(data)
            super().data_received(data)
            if not self.is_headed and self.header_bytes > MOST_HEADER_BYTES:
                self.transport.close()

        def on_headers_complete(self) -> None:
            self.is_headed = True
            self.patience.cancel()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self.patience.cancel()
            self.header_bytes, self.is_headed = 0, False

        def give_up(self) -> None:
            if not self.is_headed:
                self.transport.close()

    return Limited


def _peer(transport: asyncio.BaseTransport) -> tuple[int, int, int] | None:
    """pid, uid and gid at the other end of a local socket; None over TCP."""
    found = transport.get_extra_info("socket")
    if found is None or found.family != socket.AF_UNIX:
        return None
    data = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, gid = struct.unpack("3i", data)
    return pid, uid, gid
