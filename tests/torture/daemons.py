"""A daemon that starts in no time, strace that strikes one of its threads, and configurations."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tests.support import MINIMAL, PROJECT
from tests.support.daemon import DEADLINE_S, Answer, wait_for

SETTINGS = """
[watch]
settle_s = 600
look_every_s = 600
vanished_s = 0
[history]
keep = 1000000
"""
"""Nothing but what is asked for happens, so that every commit makes the same calls."""

State = Mapping[str, bytes | None]
"""The files of a configuration; None: it must not be there."""


class Broken(AssertionError):
    """A promise was broken; its text says which."""


class Zygote:
    """Forks daemons; see tests/torture/zygote.py."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.zygote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
        )  # fmt: skip
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def fork(self, **order: Any) -> int:
        """A new daemon's pid."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self._read())

    def stop(self) -> None:
        """End it, and all its daemons with it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


class Local(http.client.HTTPConnection):
    """HTTP over the daemon's local socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Quick:
    """A daemon forked from a zygote, asked over its local socket."""

    def __init__(
        self,
        zygote: Zygote,
        base: Path,
        files: State,
        *,
        disk: Path | None = None,
        state_disk: Path | None = None,
        settings: str = SETTINGS,
    ) -> None:
        """The configuration lies on disk, the history on state_disk or there, the rest in base."""
        self.zygote = zygote
        self.base = base
        self.conf = (disk or base) / "conf"
        self.state = (state_disk or disk or base) / "state"
        self.log_file = base / "log"
        self.socket = base / "socket"
        self.settings_file = base / "omeconf.toml"
        base.mkdir(exist_ok=True)
        self.conf.mkdir(exist_ok=True)
        self.settings_file.write_text(settings)
        self.write(files)
        self.pid = self.writer = 0
        self._handle = -1
        self._out: IO[str] | None = None

    # -- life ------------------------------------------------------------------------------

    def start(self, gate: str = "") -> Quick:
        """Start it, and wait until it serves, or waits at the gate."""
        out = self.base / "out"
        if not out.exists():
            os.mkfifo(out)
        reading = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
        holding = os.open(out, os.O_WRONLY)  # so that reading waits until the daemon writes
        arguments = [
            "serve", str(self.conf / "Server.xml"), "--config", str(self.settings_file),
            "--state", str(self.state), "--socket", str(self.socket),
        ]  # fmt: skip
        self.pid = self.zygote.fork(
            arguments=arguments, out=str(out), log=str(self.log_file), gate=gate
        )
        self._handle = os.pidfd_open(self.pid)
        os.set_blocking(reading, True)
        self._out = os.fdopen(reading)
        try:
            self._await(f"at {gate}" if gate else "omeconf: serving")
        finally:
            os.close(holding)
        if not gate:
            wait_for(self.listens, "the local socket")
        return self

    def _await(self, text: str) -> None:
        assert self._out is not None
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        poll.register(self._handle, select.POLLIN)
        while True:
            ready = dict(poll.poll(DEADLINE_S * 1000))
            assert self._out.fileno() in ready, f"it does not start:\n{self.log[-2000:]}"
            for line in os.read(self._out.fileno(), 65536).decode().splitlines():
                if line.startswith("writer "):
                    self.writer = int(line.split()[1])
                if line.startswith(text):
                    return

    def go(self) -> None:
        """Let it through the gate; see `serves_after_all`."""
        os.kill(self.pid, signal.SIGUSR1)

    def serves_after_all(self) -> bool:
        """Whether it comes to serve after the gate; False if it ends instead."""
        assert self._out is not None
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        poll.register(self._handle, select.POLLIN)
        while True:
            ready = dict(poll.poll(DEADLINE_S * 1000))
            assert ready, "it neither serves nor ends"
            if ready.get(self._out.fileno(), 0) & select.POLLIN:
                if "omeconf: serving" in os.read(self._out.fileno(), 65536).decode():
                    return True
            elif self._handle in ready:
                return False

    def is_gone(self, timeout_s: float = 0) -> bool:
        """Whether the process has ended, at most so much later."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def kill(self) -> None:
        """SIGKILL, if it still lives."""
        if self.pid:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            assert self.is_gone(DEADLINE_S)
            os.close(self._handle)
            assert self._out is not None
            self._out.close()
        self.pid = self.writer = 0

    def threads(self) -> list[int]:
        """Its threads; the first is the one with the event loop."""
        return sorted(int(entry.name) for entry in Path(f"/proc/{self.pid}/task").iterdir())

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return self.log_file.read_text()

    def listens(self) -> bool:
        """Whether its socket takes connections: that comes after the greeting."""
        connection = Local(self.socket)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    # -- calls -----------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None) -> Answer | None:
        """One call; None if there came no answer, since it was killed."""
        connection = Local(self.socket)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The body of a GET that must succeed."""
        answer = self.call("GET", path)
        if answer is None:
            raise Broken(f"no answer to GET {path}:\n{self.log[-2000:]}")
        if answer.status != 200:
            raise Broken(f"GET {path}: {answer.status} {answer.json}")
        return answer.json

    # -- files -----------------------------------------------------------------------------

    def write(self, files: State) -> None:
        """Save files as an editor does, or remove them."""
        for name, data in files.items():
            path = self.conf / name
            path.parent.mkdir(exist_ok=True)
            if data is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(data)

    def files(self) -> dict[str, bytes]:
        """What lies in the configuration folder, litter too."""
        found: dict[str, bytes] = {}
        for path in sorted(self.conf.rglob("*")):
            if path.is_file():
                with suppress(FileNotFoundError):  # litter may go at this moment
                    found[str(path.relative_to(self.conf))] = path.read_bytes()
        return found

    def litter(self) -> list[str]:
        """Files of ours that were left behind."""
        return [name for name in self.files() if Path(name).name.startswith(".omeconf")]

    def save(self, where: Path) -> None:
        """Copy configuration and history, hard links and all."""
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir()
        _copy(self.conf, where)
        _copy(self.state, where)

    def restore(self, where: Path) -> None:
        """Take back what `save` has kept."""
        shutil.rmtree(self.conf)
        shutil.rmtree(self.state)
        _copy(where / "conf", self.base)
        _copy(where / "state", self.base)


def _copy(folder: Path, where: Path) -> None:
    subprocess.run(["cp", "-a", str(folder), str(where)], check=True)


class Strace:
    """strace on some threads of a daemon, from the moment it is there until `stop`.

    With -f give one thread only: all of the process are meant then, and those to come.
    """

    def __init__(self, threads: list[int], *options: str, out: Path) -> None:
        self.out = out
        attach = [option for thread in threads for option in ("-p", str(thread))]
        self.process = subprocess.Popen(
            ["strace", "-o", str(out), *options, *attach],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        for _ in threads:
            line = self.process.stderr.readline()
            assert "attached" in line, line + self.process.stderr.read()

    def stop(self) -> str:
        """Let go; what was traced."""
        self.process.terminate()
        self.process.communicate()
        return self.out.read_text(errors="replace")


# -- configurations ------------------------------------------------------------------------

APP = "/v1/vhosts/default/apps/app"


def server(count: int, *, includes: bool) -> bytes:
    """A Server.xml with a number that can be changed, with or without included files."""
    text = MINIMAL.replace(
        "<SegmentDuration>6<", f"<SegmentCount>{count}</SegmentCount><SegmentDuration>6<"
    )
    if includes:
        text = text.replace("<VirtualHosts>", '<VirtualHosts><VirtualHost include="vhosts/*.xml"/>')
    return text.encode()


def vhost(name: str, count: int) -> bytes:
    """A file that Server.xml includes."""
    return (
        f"<VirtualHost><Name>{name}</Name><Host><Names><Name>{name}.example</Name></Names></Host>"
        "<Applications><Application><Name>a</Name><Type>live</Type><Publishers><LLHLS>"
        f"<SegmentCount>{count}</SegmentCount></LLHLS></Publishers></Application></Applications>"
        "</VirtualHost>\n"
    ).encode()


def _three(count: int) -> State:
    return {
        "Server.xml": server(count, includes=True),
        "vhosts/one.xml": vhost("one", count),
        "vhosts/two.xml": vhost("two", count),
    }


ONE_FILE: tuple[State, State] = (
    {"Server.xml": server(10, includes=False)},
    {"Server.xml": server(11, includes=False)},
)
THREE_FILES: tuple[State, State] = (_three(10), _three(11))
COME_AND_GO: tuple[State, State] = (
    {
        "Server.xml": server(10, includes=True),
        "vhosts/one.xml": vhost("one", 10),
        "vhosts/two.xml": None,
        "vhosts/same.xml": vhost("same", 10),
    },
    {
        "Server.xml": server(11, includes=True),
        "vhosts/one.xml": None,
        "vhosts/two.xml": vhost("two", 11),
        "vhosts/same.xml": vhost("same", 10),
    },
)
