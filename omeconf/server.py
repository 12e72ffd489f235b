"""Puts the daemon together: Settings -> Repository -> Service -> app -> one server a listener.

Port, TLS and token of the API come from the managed Server.xml, always from head. The local
socket is there whatever that file says.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from omeconf.api.app import Application, build
from omeconf.api.auth import basic, server_token
from omeconf.api.metrics import Metrics
from omeconf.core.values import expand, read
from omeconf.daemon.notify import notify
from omeconf.daemon.service import Service
from omeconf.daemon.watched import watcher_of
from omeconf.errors import BadSettings, Conflict, Unwritable
from omeconf.settings import Settings, read_env
from omeconf.store.disk import lock, shipped_schema
from omeconf.store.history import History
from omeconf.store.repository import Head, Repository
from omeconf.tls import LOOK_S, Tls
from omeconf.transport import protocol

log = logging.getLogger(__name__)

SOCKET_MODE = 0o660
RETRY_S = 2.0
"""How often to try again to listen where Server.xml says, when the address was taken."""
SWITCH_S = 0.0001
"""How long a thread may compute while others wait: an answer is not to wait for bookkeeping."""
STOP_S = 30.0
"""How long a running reload may take to end when the daemon stops."""


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
class Places:
    """Where the daemon's things lie."""

    server_xml: Path
    state: Path
    socket: Path


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


def open_service(places: Places, settings: Settings) -> Service:
    """The service of one Server.xml, started. Raises BadSettings, Conflict or Unwritable."""
    engine = settings.engine
    env = read_env(Path(engine.env_file)) if engine.env_file else None
    repository = Repository(
        places.server_xml,
        History(places.state / "history.sqlite"),
        shipped_schema(engine.release),
        clock=time.time,
        env=env,
        vanished_s=settings.watch.vanished_s,
        state=places.state,
    )
    lock(places.state)
    service = Service(repository, settings)
    service.start()
    return service


def serve(places: Places, settings: Settings, *, show_token: bool = False) -> None:
    """Run the daemon until SIGTERM or SIGINT. Raises BadSettings, Conflict or Unwritable."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent when a lease is broken; nothing to do
    sys.setswitchinterval(SWITCH_S)
    service = open_service(places, settings)
    gc.collect()
    gc.freeze()  # what is there now stays: it need not be looked through again and again
    watcher = watcher_of(service)
    watcher.start()
    try:
        daemon = _Daemon(service, settings, places, show_token=show_token)
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(daemon.run())
    finally:
        watcher.stop()
        service.stop(STOP_S)


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop  # here, since only a running daemon needs it

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class _Server(uvicorn.Server):
    """A uvicorn server among several: signals are the daemon's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Daemon:
    """The event loop's part: listeners, as head wants them, and the signals."""

    def __init__(
        self, service: Service, settings: Settings, places: Places, *, show_token: bool
    ) -> None:
        self.service = service
        self.settings = settings
        self.places = places
        self.show_token = show_token
        self.open: dict[Listener, tuple[_Server, asyncio.Task[None]]] = {}
        self.tls: dict[Listener, Tls] = {}
        """Of those that are open and have one."""
        self.stopping = asyncio.Event()
        self.counts = Metrics(service)
        self.is_behind = False
        """Whether some listener that head wants could not be opened yet."""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)

        frame: object = None

        def head_changed() -> None:
            nonlocal frame
            head = self.service.repository.head
            if head is None or head.checked.frame is not frame:  # else only applications are other
                frame = head.checked.frame if head else None
                loop.call_soon_threadsafe(changed.set)

        self.service.on_head.append(head_changed)
        own, inode = self._local_socket()
        local = self._start(
            build(self.service, self.stopping, counts=self.counts, is_trusted=True), own
        )
        try:
            await self._follow_head(is_first=True)
            await _serving(local, *self.open.values())
            self._greet()
            notify("READY=1")
            waiting = asyncio.ensure_future(self.stopping.wait())
            while not self.stopping.is_set():
                hearing = asyncio.ensure_future(changed.wait())
                await asyncio.wait(
                    {waiting, hearing},
                    timeout=RETRY_S if self.is_behind else LOOK_S if self.tls else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                hearing.cancel()
                if self.stopping.is_set():
                    break
                for tls in self.tls.values():
                    tls.renew()
                if changed.is_set() or self.is_behind:
                    changed.clear()
                    await self._follow_head()
            notify("STOPPING=1")
        finally:
            await self._close(*self.open)
            await _end(local)
            if _inode(self.places.socket) == inode:
                self.places.socket.unlink()

    async def _follow_head(self, *, is_first: bool = False) -> None:
        """Open and close listeners so that they are those of head.

        An old one stays until the new one stands, unless both want the same port.
        """
        wanted = self._wanted(is_first=is_first)
        new = [each for each in wanted if each not in self.open]
        gone = [each for each in self.open if each not in wanted]
        ready = [each for each in new if self._has_certificate(each)]
        clashing = [each for each in gone if each.port in {other.port for other in ready}]
        await self._close(*clashing)
        failed = [
            each for each in new if each not in ready or not self._open(each, is_first=is_first)
        ]
        self.is_behind = bool(failed)
        if not failed:
            await self._close(*(each for each in gone if each not in clashing))

    def _wanted(self, *, is_first: bool) -> tuple[Listener, ...]:
        head = self.service.repository.head
        if head is None:
            return ()
        if self.settings.api.listen and not (self.settings.api.tokens or server_token(head)):
            needs = (
                "listening needs a token: add <Managers><API><AccessToken> to Server.xml, or "
                "[[api.tokens]] to omeconf.toml"
            )
            if is_first:
                raise BadSettings(needs)
            log.error("Cannot go on listening: %s", needs)
            return ()
        return listeners(head, self.settings, self.places.server_xml.parent)

    def _has_certificate(self, listener: Listener) -> bool:
        """Whether TLS can be spoken there: else what is open stays open, and it is tried again."""
        try:
            _tls(listener)
        except (OSError, ValueError) as error:
            if not self.is_behind:
                where = f"{listener.host}:{listener.port}"
                log.error("Cannot listen with TLS on %s: certificate or key: %s", where, error)
            return False
        return True

    def _open(self, listener: Listener, *, is_first: bool) -> bool:
        """Listen at one place. A taken address ends the first start; later it is tried again."""
        where = f"{listener.host}:{listener.port}"
        try:
            tls = _tls(listener)
            bound = _bind(listener)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if is_first:
                raise Unwritable(
                    f"cannot listen on {where}: {reason}; "
                    "give another address with --listen HOST:PORT"
                ) from error
            if not self.is_behind:
                log.error("Cannot listen on %s, as Server.xml says: %s", where, reason)
            return False
        self.open[listener] = self._start(
            build(self.service, self.stopping, counts=self.counts),
            bound,
            tls.context if tls else None,
        )
        if tls is not None:
            self.tls[listener] = tls
        return True

    async def _close(self, *gone: Listener) -> None:
        for listener in gone:
            self.tls.pop(listener, None)
            await _end(self.open.pop(listener))
            log.info("no longer listening on %s:%d", listener.host, listener.port)

    def _start(
        self, app: Application, bound: socket.socket, tls: ssl.SSLContext | None = None
    ) -> tuple[_Server, asyncio.Task[None]]:
        config = uvicorn.Config(
            app,
            http=protocol(self.settings.api, app.known),
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        if tls is not None:
            config.load()
            config.ssl = tls
        server = _Server(config)
        return server, asyncio.ensure_future(server.serve([bound]))

    def _local_socket(self) -> tuple[socket.socket, int]:
        """The local socket and its inode. Raises Conflict if another daemon answers there."""
        path = self.places.socket
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
        return local, _inode(path)

    def _greet(self) -> None:
        """Say where to be reached; a curl line with the token only where that was asked for."""
        head = self.service.repository.head
        for listener in self.open:
            print(f"omeconf: serving {self.places.server_xml} at {listener.url}", flush=True)
        if self.show_token and head is not None and self.open:
            url = next(iter(self.open)).url
            header = f"Authorization: {basic(server_token(head))}"
            print(f"try:  curl -H '{header}' {url}/v1/vhosts", flush=True)
        if not self.open:
            print(f"omeconf: serving {self.places.server_xml} at {self.places.socket}", flush=True)


async def _serving(*servers: tuple[_Server, asyncio.Task[None]]) -> None:
    """Wait until all of them take connections."""
    while not all(server.started or task.done() for server, task in servers):
        await asyncio.sleep(0.002)


async def _end(running: tuple[_Server, asyncio.Task[None]]) -> None:
    """Stop a server: no new requests, a moment for those under way."""
    server, task = running
    server.should_exit = True
    await task


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _bind(listener: Listener) -> socket.socket:
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


def _tls(listener: Listener) -> Tls | None:
    """TLS with the certificate of a listener; None if it has none. Raises OSError, ValueError."""
    return Tls(*listener.certificate) if listener.certificate[0] else None
