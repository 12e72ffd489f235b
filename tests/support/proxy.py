"""A way to an etcd on which answers can be late, and which can be cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

CHUNK = 65536


class Proxy:
    """Passes connections on to a server, as it is told to."""

    def __init__(self, host: str, port: int, *, listens: str = "127.0.0.1") -> None:
        """host, port: of the server; listens: the address to be asked at."""
        self.server = (host, port)
        self.delay_s = 0.0
        """Each answer comes so much later."""
        self.held = b""
        """Requests that begin so are kept, until this is empty again; none while it is."""
        self.has_held = threading.Event()
        """Whether there was such a request since `hold`."""
        self._is_cut = False
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server((listens, 0))
        self.host, self.port = self._listening.getsockname()[:2]

    @property
    def endpoint(self) -> str:
        """The URL for clients."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        """Begin to pass on."""
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def stop(self) -> None:
        """End it, and all its connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.release()
        self.cut()

    def cut(self) -> None:
        """End all connections, and have no new ones."""
        with self._changed:
            self._is_cut = True
            self._changed.notify_all()
            _shut(*self._open)

    def heal(self) -> None:
        """Pass on again."""
        with self._changed:
            self._is_cut = False

    def hold(self, request: bytes) -> None:
        """Keep requests that begin so, until `release`."""
        with self._changed:
            self.held = request
            self.has_held.clear()

    def release(self) -> None:
        """Pass on what was kept."""
        with self._changed:
            self.held = b""
            self._changed.notify_all()

    # -- threads ---------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.server, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._changed:
                is_cut = self._is_cut
                if not is_cut:
                    self._open |= {client, server}
            if is_cut:
                client.close()
                server.close()
                continue
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on requests; answers on a thread of its own."""
        asked = threading.Event()
        answering = threading.Thread(target=self._answer, args=(client, server, asked), daemon=True)
        answering.start()
        with suppress(OSError):
            while data := client.recv(CHUNK):
                with self._changed:
                    if self.held and data.startswith(self.held):
                        self.has_held.set()
                        self._changed.wait_for(lambda: not self.held)
                asked.set()
                server.sendall(data)
        _shut(client, server)
        answering.join()
        with self._changed:
            self._open -= {client, server}
        client.close()
        server.close()

    def _answer(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        """Pass on answers: the first that comes after a request is late."""
        with suppress(OSError):
            while data := server.recv(CHUNK):
                if asked.is_set():
                    asked.clear()
                    with self._changed:
                        self._changed.wait_for(lambda: self._is_cut, self.delay_s)
                client.sendall(data)
        _shut(client, server)


def _shut(*sockets: socket.socket) -> None:
    """End connections for whoever reads or writes there."""
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
