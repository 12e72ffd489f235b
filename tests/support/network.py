"""A network of its own for a test: hosts in network namespaces, which can be cut off and healed.

There is one bridge, and for each host a namespace and a pair of veth devices between both. The test
itself reaches all hosts through the bridge. Needs root; without it all is on loopback, and nobody
can be cut off.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import pytest

from tests.support.etcd import MUST_RUN

MOST_NETWORKS = 250
"""So many may be there at one time on one machine."""
MOST_HOSTS = 250
"""Of one network."""


def run(*command: str, given: str = "") -> str:
    """What a command says. Raises AssertionError with its errors if it fails."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}\n{given}"
    return done.stdout


@functools.cache
def why_not() -> str:
    """Why there can be no namespaces here; "" if there can be."""
    if shutil.which("ip") is None:
        return "ip: not installed (iproute2)"
    if os.geteuid() != 0:
        return "not root"
    probe = f"omf{os.getpid() % 100000}p"
    done = subprocess.run(
        ["ip", "-batch", "-"],
        input=f"netns add {probe}\nlink add {probe} type bridge\n",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for undo in (["link", "del", probe], ["netns", "del", probe]):
        subprocess.run(["ip", *undo], capture_output=True, check=False)
    return "" if done.returncode == 0 else f"no network namespaces here: {done.stderr.strip()}"


def need_network() -> None:
    """Skip the test where nobody can be cut off, or fail it."""
    why = why_not()
    if why and os.environ.get(MUST_RUN):
        pytest.fail(f"{why}, and {MUST_RUN} is set")
    if why:
        pytest.skip(f"nobody can be cut off: {why}")


class Network:
    """A bridge, and a namespace for each host; all of it is gone at the end.

    Networks of one machine are numbered, and a lock on a file says that a number is in use. What a
    run that crashed has left of a number is removed, its processes too, when it is used anew.
    """

    def __init__(self) -> None:
        self.is_real = not why_not()
        self.hosts: dict[str, int] = {}
        """Their numbers, by name."""
        self.number = 0
        self._lock: IO[Any] | None = None

    # -- life ------------------------------------------------------------------------------

    def start(self) -> Self:
        """Have the bridge."""
        if not self.is_real:
            return self
        self.number, self._lock = _reserve()
        self._clear()
        run("ip", "-batch", "-", given="\n".join((
            f"link add {self.bridge} type bridge",
            f"addr add {self.own_address}/24 dev {self.bridge}",
            f"link set {self.bridge} up",
        )))  # fmt: skip
        return self

    def stop(self) -> None:
        """Remove all of it."""
        if self._lock is not None:
            self._clear()
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _clear(self) -> None:
        found = run("ip", "netns", "list").split()
        for name in found:
            if name.startswith(f"{self.bridge}-"):
                for pid in run("ip", "netns", "pids", name).split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                run("ip", "netns", "del", name)
        for device in Path("/sys/class/net").iterdir():
            if device.name == self.bridge or device.name.startswith(f"{self.bridge}v"):
                subprocess.run(["ip", "link", "del", device.name], check=False, capture_output=True)

    # -- hosts -----------------------------------------------------------------------------

    @property
    def bridge(self) -> str:
        """The name of the bridge; those of namespaces and devices begin with it."""
        return f"omf{self.number}"

    def _address(self, host: int) -> str:
        return f"10.197.{self.number}.{host}"

    def add(self, name: str) -> None:
        """Have one more host."""
        assert len(self.hosts) < MOST_HOSTS
        host = self.hosts[name] = len(self.hosts) + 1
        if not self.is_real:
            return
        space, device, inside = self._space(name), self._device(name), f"{self.bridge}i{host}"
        run("ip", "-batch", "-", given="\n".join((
            f"netns add {space}",
            f"link add {device} type veth peer name {inside} netns {space}",
            f"link set {device} master {self.bridge} up",
        )))  # fmt: skip
        run("ip", "-n", space, "-batch", "-", given="\n".join((
            f"addr add {self._address(host)}/24 dev {inside}",
            f"link set {inside} up",
            "link set lo up",
        )))  # fmt: skip

    @property
    def own_address(self) -> str:
        """The address of the test itself."""
        return self._address(254) if self.is_real else "127.0.0.1"

    def address(self, name: str) -> str:
        """The address of a host."""
        return self._address(self.hosts[name]) if self.is_real else "127.0.0.1"

    def prefix(self, name: str) -> list[str]:
        """The command that runs another one on a host."""
        return ["ip", "netns", "exec", self._space(name)] if self.is_real else []

    def cut(self, name: str) -> None:
        """Take a host off the network: nothing comes and goes, and nobody is told."""
        need_network()
        run("ip", "link", "set", self._device(name), "down")

    def heal(self, name: str) -> None:
        """Have it on the network again."""
        if self.is_real:
            run("ip", "link", "set", self._device(name), "up")

    def _space(self, name: str) -> str:
        return f"{self.bridge}-{name}"

    def _device(self, name: str) -> str:
        return f"{self.bridge}v{self.hosts[name]}"


def _reserve() -> tuple[int, IO[Any]]:
    """A number that no other network of this machine has, and what holds it."""
    folder = Path(tempfile.gettempdir())
    for number in range(MOST_NETWORKS):
        lock = (folder / f"omeconf-network-{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return number, lock
    raise AssertionError("all networks are in use")
