"""Puts the daemon together: Settings -> Repository -> Service -> app -> one server a listener.

Port, TLS and token of the API come from the managed Server.xml, always from head.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import uvicorn

from omeconf.api.app import Application, build
from omeconf.api.auth import basic, server_token
from omeconf.api.metrics import Metrics
from omeconf.api.remembered import Remembered
from omeconf.daemon.bursts import SETTLE_CAP
from omeconf.daemon.capabilities import keep_to_ourselves
from omeconf.daemon.fleet.fleet import Fleet, group_of, node_of
from omeconf.daemon.notify import notify, watchdog_s
from omeconf.daemon.pulse import WatcherPulse, WriterPulse
from omeconf.daemon.rereading import Rereading
from omeconf.daemon.service import Service
from omeconf.daemon.watched import watcher_of
from omeconf.errors import BadSettings, Unwritable
from omeconf.listeners import Given, Listener, LocalSocket, bind, given, listeners, parse_listen
from omeconf.settings import Settings, read_env
from omeconf.store.disk import lock, shipped_schema
from omeconf.store.history import History
from omeconf.store.member import Manual, Member, leave
from omeconf.store.repository import Repository
from omeconf.supervised import Supervised
from omeconf.tls import LOOK_S, Tls
from omeconf.transport import protocol

log = logging.getLogger(__name__)

RETRY_S = 2.0
"""How often to try again to listen where Server.xml says, when the address was taken."""
SWITCH_S = 0.0001
"""How long a thread may compute while others wait: an answer is not to wait for bookkeeping."""
NEEDS_TOKEN = (
    "listening needs a token: add <Managers><API><AccessToken> to Server.xml, or [[api.tokens]] to "
    "omeconf.toml"
)
STOP_S = 30.0
"""How long a running reload may take to end when the daemon stops."""
DRAIN_S = 0.05
"""How long a connection that has just come may take to send its request, when we stop."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the daemon's things lie."""

    server_xml: Path
    state: Path
    socket: Path


def open_service(places: Places, settings: Settings) -> Service:
    """The service of one Server.xml, started. Raises BadSettings, Conflict or Unwritable."""
    engine = settings.engine
    env = read_env(Path(engine.env_file)) if engine.env_file else None
    history = History(places.state / "history.sqlite")
    schema = shipped_schema(engine.release)
    vanished_s = settings.watch.vanished_s
    if not settings.fleet.endpoints:
        if leave(history):
            log.warning("This is a machine of its own now, and no member of its group any more")
        repository = Repository(
            places.server_xml,
            history,
            schema,
            clock=time.time,
            env=env,
            vanished_s=vanished_s,
            state=places.state,
        )
        lock(places.state)
        service = Service(repository, settings)
        service.start()
        return service
    member = Member(
        places.server_xml,
        history,
        schema,
        group_of(settings),
        node=node_of(settings.fleet),
        manual=Manual(settings.fleet.on_manual),
        clock=time.time,
        env=env,
        vanished_s=vanished_s,
        state=places.state,
    )
    lock(places.state)
    service = Service(member, settings)
    fleet = service.group = Fleet(service, member)
    service.start()
    fleet.start()
    service.vitals.append(lambda: fleet.is_alive)
    return service


def serve(places: Places, load: Callable[[], Settings], *, show_token: bool = False) -> None:
    """Run the daemon until SIGTERM or SIGINT. Raises BadSettings, Conflict or Unwritable.

    load gives the settings: at the start, and again whenever they are to be read again.
    """
    settings = load()
    sockets = given(os.environ, os.getpid())
    keep_to_ourselves()
    faulthandler.enable()  # the watchdog of systemd ends us with SIGABRT: where we were is told
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent when a lease is broken; nothing to do
    if not (sys.stdin and sys.stdin.isatty()):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until we serve: the settings are just read
    sys.setswitchinterval(SWITCH_S)
    service = open_service(places, settings)
    gc.collect()
    gc.freeze()  # what is there now stays: it need not be looked through again and again
    pulse = WatcherPulse(_longest_rest_s(settings))
    watcher = watcher_of(service, pulse)
    watcher.start()
    supervised = Supervised(service, (WriterPulse(service.submit), pulse), watchdog_s())
    try:
        daemon = _Daemon(service, places, sockets, supervised, show_token=show_token)

        def apply(changed: Settings) -> None:
            rest_s = _longest_rest_s(changed)
            pulse.rest_s = max(rest_s, pulse.rest_s)
            watcher.times(changed.watch.settle_s, changed.watch.look_every_s)
            pulse.turned(rest_s)
            daemon.settings_changed()

        def load_again() -> Settings:
            found, head = load(), service.repository.head
            if found.api.listen:
                parse_listen(found.api.listen)
                if head is not None and not (found.api.tokens or server_token(head)):
                    raise BadSettings(NEEDS_TOKEN)
            return found

        service.reread = Rereading(service, load_again, apply)
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(daemon.run())
    finally:
        watcher.stop()
        if service.group is not None:
            service.group.stop()
        service.stop(STOP_S)


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop  # here, since only a running daemon needs it

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _longest_rest_s(settings: Settings) -> float:
    """How long the watcher may be at rest: between two looks, or while files settle."""
    return settings.watch.look_every_s + SETTLE_CAP * settings.watch.settle_s


class _Server(uvicorn.Server):
    """A uvicorn server among several: signals are the daemon's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Daemon:
    """The event loop's part: listeners, as head wants them, and the signals."""

    def __init__(
        self,
        service: Service,
        places: Places,
        sockets: Given,
        supervised: Supervised,
        *,
        show_token: bool,
    ) -> None:
        self.service = service
        self.places = places
        self.sockets = sockets
        self.supervised = supervised
        self.show_token = show_token
        self.open: dict[Listener, tuple[_Server, asyncio.Task[None]]] = {}
        self.tls: dict[Listener, Tls] = {}
        """Of those that are open and have one."""
        self.stopping = asyncio.Event()
        self.counts = Metrics(service)
        self.is_behind = False
        """Whether some listener that head wants could not be opened yet."""
        self.apps: WeakSet[Application] = WeakSet()
        """Those of all servers that are open."""
        self.changed = asyncio.Event()
        """Set when listeners may have to be others."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.has_terminal = os.isatty(sys.stdin.fileno()) if sys.stdin else False

    @property
    def settings(self) -> Settings:
        """As they are now: they may be read again."""
        return self.service.settings

    def settings_changed(self) -> None:
        """On the writer: forget what was answered by the old ones, and who was let in by them."""

        def follow() -> None:
            for app in self.apps:
                app.answers = Remembered()
            self.changed.set()

        if self.loop is not None:
            self.loop.call_soon_threadsafe(follow)

    async def run(self) -> None:
        loop = self.loop = asyncio.get_running_loop()
        changed = self.changed
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reread)

        frame: object = None

        def head_changed() -> None:
            nonlocal frame
            head = self.service.repository.head
            if head is None or head.checked.frame is not frame:  # else only applications are other
                frame = head.checked.frame if head else None
                loop.call_soon_threadsafe(changed.set)

        self.service.on_head.append(head_changed)
        own = LocalSocket(self.places.socket, self.sockets)
        local = [
            self._start(
                build(self.service, self.stopping, counts=self.counts, is_trusted=True), each
            )
            for each in own.sockets
        ]
        telling: asyncio.Task[None] | None = None
        try:
            await self._follow_head(is_first=True)
            await _serving(*local, *self.open.values())
            self._greet()
            notify("READY=1")
            telling = asyncio.ensure_future(self.supervised.run())
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
            notify("STOPPING=1", "STATUS=finishing what is under way")
        finally:
            if telling is not None:
                telling.cancel()
            await asyncio.gather(self._close(*self.open), *(_end(each) for each in local))
            own.remove()

    def _reread(self) -> None:
        """SIGHUP: as `omeconf reload`, but nobody is told but the log.

        It also says that the terminal is gone in which we were started: then we go, too.
        """
        if self.has_terminal and not os.isatty(sys.stdin.fileno()):
            self.stopping.set()
            return
        reread = self.service.reread
        if isinstance(reread, Rereading):
            self.service.submit(reread.quietly)

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
        head, folder = self.service.repository.head, self.places.server_xml.parent
        if self.sockets.tcp:
            named = listeners(head, Settings(), folder) if head is not None else ()
            return self.sockets.listeners(named)
        if head is None:
            return ()
        if self.settings.api.listen and not (self.settings.api.tokens or server_token(head)):
            needs = NEEDS_TOKEN
            if is_first:
                raise BadSettings(needs)
            log.error("Cannot go on listening: %s", needs)
            return ()
        return listeners(head, self.settings, folder)

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
            bound = bind(listener, self.sockets)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if is_first:
                raise Unwritable(
                    f"cannot listen on {where}: {reason}; "
                    "give another address with --listen HOST:PORT"
                ) from error
            if not self.is_behind:
                says = "the settings say" if self.service.settings.api.listen else "Server.xml says"
                log.error("Cannot listen on %s, as %s: %s", where, says, reason)
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
        await asyncio.gather(*(_end(self.open.pop(listener)) for listener in gone))
        for listener in gone:
            log.info("no longer listening on %s:%d", listener.host, listener.port)

    def _start(
        self, app: Application, bound: socket.socket, tls: ssl.SSLContext | None = None
    ) -> tuple[_Server, asyncio.Task[None]]:
        self.apps.add(app)
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
    """Stop a server: no new connections, a moment for requests that are under way.

    Who has just been connected gets that moment too: a connection that is closed before its
    request was read is a failed request, where a socket of systemd would have kept it.
    """
    server, task = running
    for each in getattr(server, "servers", ()):
        each.close()
    await asyncio.sleep(DRAIN_S)
    server.should_exit = True
    await task


def _tls(listener: Listener) -> Tls | None:
    """TLS with the certificate of a listener; None if it has none. Raises OSError, ValueError."""
    return Tls(*listener.certificate) if listener.certificate[0] else None
