"""Where the API listens: what Server.xml or the settings say, the sockets, and those of systemd.

The local socket is there whatever Server.xml says. Sockets that systemd opened for us stay open
while we restart, so that who connects meanwhile waits and is not refused; those over TCP take the
place of what Server.xml says, as ``[api] listen`` does.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from omeconf.core.values import expand, read
from omeconf.errors import BadSettings, Conflict, Unwritable
from omeconf.settings import Settings
from omeconf.store.head import Head

log = logging.getLogger(__name__)

SOCKET_MODE = 0o660
FIRST_HANDLE = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One place where the API listens."""

    host: str
    port: int
    certificate: tuple[str, str, str] = ("", "", "")
    """Certificate, key and chain files; empty without TLS."""

    @property
    def url(self) -> str:
        """How a person on this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http{'s' if self.certificate[0] else ''}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Given:
    """The sockets that systemd opened for us; they are never closed here."""

    local: tuple[socket.socket, ...] = ()
    tcp: dict[tuple[str, int], socket.socket] = field(default_factory=dict)
    """By the address and port that they are bound to."""

    def listeners(self, named: Iterable[Listener]) -> tuple[Listener, ...]:
        """Those over TCP; with TLS, if Server.xml names a certificate for their port."""
        certificates = {each.port: each.certificate for each in named}
        nothing = ("", "", "")
        return tuple(
            Listener(host, port, certificates.get(port, nothing)) for host, port in self.tcp
        )


def given(environment: MutableMapping[str, str], pid: int) -> Given:
    """The sockets of sd_listen_fds(3): LISTEN_FDS, if LISTEN_PID says that they are ours.

    Takes the variables away, since they are not for the processes that we start. What is no
    listening socket is left alone, and told with its name.
    """
    count, whose = (environment.pop(f"LISTEN_{name}", "") for name in ("FDS", "PID"))
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if whose != str(pid) or not count.isdecimal():
        return Given()
    local: list[socket.socket] = []
    tcp: dict[tuple[str, int], socket.socket] = {}
    for number in range(int(count)):
        handle = FIRST_HANDLE + number
        name = names[number] if number < len(names) else "unknown"
        try:
            os.set_inheritable(handle, False)
            found = socket.socket(fileno=handle)
            listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            log.warning("Cannot use handle %d (%s) of systemd: %s", handle, name, error.strerror)
            continue
        if not listens or found.type != socket.SOCK_STREAM:
            log.warning("Cannot use handle %d (%s) of systemd: nobody can connect to it",
                        handle, name)  # fmt: skip
            found.detach()
        elif found.family == socket.AF_UNIX:
            local.append(found)
        else:
            host, port = found.getsockname()[:2]
            tcp[host, port] = found
    return Given(tuple(local), tcp)


def listeners(head: Head, settings: Settings, folder: Path) -> tuple[Listener, ...]:
    """Where the API shall listen over TCP: as the settings say, else as Server.xml says."""
    if settings.api.listen:
        return (parse_listen(settings.api.listen),)
    root, env = head.checked.root, head.checked.snapshot.env
    if root is None or root.below("Managers/API") is None:
        return ()
    hosts = [expand(ip.element.value, env) for ip in root.all("IP")]
    found: list[Listener] = []
    for name in ("Port", "TLSPort"):
        node = root.below(f"Bind/Managers/API/{name}")
        text = expand(node.element.value, env) if node else None
        reading = read("port", text) if text is not None else None
        if reading is None or reading.refusal or not isinstance(reading.value, tuple):
            continue
        port = int(str(reading.value[0]))
        certificate = ("", "", "")
        if name == "TLSPort":
            paths = (
                expand(root.value(f"Managers/Host/TLS/{part}"), env) or ""
                for part in ("CertPath", "KeyPath", "ChainCertPath")
            )
            cert, key, chain = (str(folder / path) if path else "" for path in paths)
            if not cert or not key:
                continue
            certificate = (cert, key, chain)
        for host in hosts:
            if host:
                found.append(Listener("0.0.0.0" if host == "*" else host, port, certificate))
    return tuple(found)


def parse_listen(text: str) -> Listener:
    """HOST:PORT. Raises BadSettings."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) < 65536:
        raise BadSettings(f'"{text}" is not HOST:PORT')
    return Listener(host.strip("[]") or "127.0.0.1", int(port))


def bind(listener: Listener, sockets: Given) -> socket.socket:
    """A socket that listens there: a copy of one that was given, else a new one. Raises OSError."""
    known = sockets.tcp.get((listener.host, listener.port))
    if known is not None:
        return known.dup()
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((listener.host, listener.port))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


class LocalSocket:
    """The local socket: our own, which goes with us, or those that were given."""

    def __init__(self, path: Path, sockets: Given) -> None:
        """Open it. Raises Conflict if another daemon answers there, or Unwritable."""
        self.path = path
        self.sockets = [each.dup() for each in sockets.local]
        self._inode = 0
        if not self.sockets:
            self.sockets = [_own_socket(path)]
            self._inode = _inode(path)

    def remove(self) -> None:
        """Take our own away, unless another has taken its place meanwhile."""
        if self._inode and _inode(self.path) == self._inode:
            self.path.unlink()


def _own_socket(path: Path) -> socket.socket:
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            raise Conflict(f"another daemon answers at {path}; give --socket PATH")
        path.unlink(missing_ok=True)
        mask = os.umask(0o777 & ~SOCKET_MODE)
        try:
            local.bind(str(path))
        finally:
            os.umask(mask)
    except OSError as error:
        raise Unwritable(f"cannot open the socket {path}: {error.strerror}") from error
    return local


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
