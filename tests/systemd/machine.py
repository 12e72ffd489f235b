"""A machine: systemd as PID 1 in a container, over an overlay of this machine's own root.

Everything happens in mount namespaces of its own; what is written goes to a tmpfs, and is gone
with the process that holds it. An Image has omeconf installed by pip; a Machine boots on top.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support import EXAMPLES, PROJECT
from tests.support.daemon import Answer

DEADLINE_S = 30.0
LOWEST = os.environ.get("OMECONF_SYSTEMD_ROOT", "/")
"""Another system to try it on, unpacked in a folder: a newer systemd, made by mmdebstrap."""
OMECONF = "/opt/omeconf/bin/omeconf"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

TARGET = """[Unit]
Description=What a test needs, and none of the machine's own services
Requires=basic.target dbus.socket
After=basic.target dbus.socket
AllowIsolate=yes
"""

ENGINE = """[Unit]
Description=What stands for the engine
[Service]
ExecStart=/usr/bin/sleep infinity
"""

UNITS = ("omeconf.socket", "omeconf.service", "omeconf-ready.target")

SETTINGS = """
[watch]
settle_s = 0.05
look_every_s = 0.5
[[hooks]]
use = "systemd"
unit = "ovenmediaengine.service"
retries = 0
"""

HOLD = """
mkdir -p {base}
mount -t tmpfs tmpfs {base}
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
echo held
exec sleep infinity
"""

BOOT = """
mkdir -p /sys/fs/cgroup/{name}/init
echo $$ > /sys/fs/cgroup/{name}/init/cgroup.procs
exec systemd-nspawn -q --register=no --keep-unit -D {root} -M {name} --boot --private-network \
    --console=pipe --kill-signal=SIGRTMIN+3 systemd.unit=omeconf-test.target
"""


def wait_for(condition: Callable[[], Any], what: str, *, deadline_s: float = DEADLINE_S) -> Any:
    """What a condition gives once it is true; fails at the deadline."""
    deadline = time.monotonic() + deadline_s
    while True:
        with suppress(OSError, http.client.HTTPException):
            found = condition()
            if found:
                return found
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


class NotPossible(Exception):
    """This machine does not let anybody run a container."""


class Image:
    """A root with omeconf in /opt/omeconf, which machines boot from and never change."""

    def __init__(self, wheel: Path) -> None:
        """Install a wheel, and what it needs. Raises NotPossible."""
        self.base = Path(f"/run/omeconf-test-{os.getpid()}")
        self.base.mkdir(exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "bash", "-ec",
             HOLD.format(base=self.base)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "held\n":
            self.close()
            raise NotPossible("file systems cannot be mounted here, as for a container one must")
        self.root = self.overlay("image")
        shown = self.seen(self.root) / "opt"
        self.wheel = wheel.name
        (shown / wheel.name).write_bytes(wheel.read_bytes())
        self.run("chroot", str(self.root), "/usr/bin/python3", "-m", "venv", "/opt/omeconf")
        self.run("chroot", str(self.root), "/opt/omeconf/bin/pip", "install", "-q",
                 "--disable-pip-version-check", f"/opt/{wheel.name}")  # fmt: skip

    def seen(self, path: Path) -> Path:
        """A path inside of the holder's namespace, as it is seen from here."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def overlay(self, name: str, *below: Path) -> Path:
        """A new root, over folders of earlier ones and this machine's own."""
        top = self.base / name
        for part in ("up", "work", "root"):
            self.seen(top / part).mkdir(parents=True)
        lower = ":".join([*map(str, below), LOWEST])
        options = f"lowerdir={lower},upperdir={top}/up,workdir={top}/work"
        self.run("mount", "-t", "overlay", "overlay", "-o", options, str(top / "root"))
        return top / "root"

    def run(self, *command: str) -> str:
        """Run a command in the holder's mount namespace, on this machine's network."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._holder.pid), "-m", *command],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def spawn(self, script: str) -> subprocess.Popen[bytes]:
        """Start a shell script in the holder's mount namespace."""
        return subprocess.Popen(
            ["nsenter", "-t", str(self._holder.pid), "-m", "bash", "-ec", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def close(self) -> None:
        """Let everything go."""
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()
        with suppress(OSError):
            self.base.rmdir()


class Machine:
    """One root that is booted, once or again and again."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.name = f"omeconf-{secrets.token_hex(4)}"
        self.disk = image.overlay(self.name, image.base / "image/up")
        etc = image.seen(self.disk) / "etc"
        (etc / "systemd/system/omeconf-test.target").write_text(TARGET)
        (etc / "systemd/system/timers.target").symlink_to("/dev/null")  # nothing by the clock
        (etc / "machine-id").unlink(missing_ok=True)
        (etc / "machine-id").write_text(f"{secrets.token_hex(16)}\n")  # else it is a first boot
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.leader = 0

    def boot(self) -> Machine:
        """Boot it, and wait until systemd is done with that."""
        self._nspawn = self.image.spawn(BOOT.format(name=self.name, root=self.disk))
        self.leader = wait_for(self._find_leader, "the container's first process")
        wait_for(self._is_up, "systemd")
        return self

    def power_off(self) -> None:
        """Shut it down in an orderly way; what it wrote stays."""
        assert self._nspawn is not None
        self.run("systemctl", "--no-block", "poweroff", check=False)
        self._ended()

    def cut_power(self) -> None:
        """End everything in it at once."""
        os.kill(self.leader, signal.SIGKILL)
        self._ended()

    def _ended(self) -> None:
        assert self._nspawn is not None
        self.console = self._nspawn.communicate(timeout=90)[0].decode(errors="replace")
        self._nspawn = None
        self.leader = 0

    def close(self) -> None:
        """End it, and remove its control groups."""
        if self._nspawn is not None:
            self.cut_power()
        script = f"find /sys/fs/cgroup/{self.name} -depth -type d -exec rmdir {{}} +"
        wait_for(
            lambda: subprocess.run(
                ["nsenter", "-t", str(self.image._holder.pid), "-m", "bash", "-c", script],
                capture_output=True, check=False,
            ).returncode == 0,
            "the control groups to be empty",
        )  # fmt: skip

    def _find_leader(self) -> int:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, self._nspawn.communicate()[0].decode()
        pid = self._nspawn.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in map(int, children):
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return child
        return 0

    def _is_up(self) -> bool:
        shown = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return shown in ("running", "degraded")

    # -- inside ----------------------------------------------------------------------------

    def run(
        self, *command: str, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root, to its end."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", "env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "SYSTEMD_PAGER=", *command],
            capture_output=True, text=True, check=False, timeout=120, input=text,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, (command, done.stdout, done.stderr, self.log()[-3000:])
        return done

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """systemctl, inside."""
        return self.run("systemctl", *arguments, check=check)

    def omeconf(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The command line of omeconf, inside, as root."""
        return self.run(OMECONF, *arguments, check=check)

    def path(self, path: str) -> Path:
        """A file inside, as it is seen from here."""
        return Path(f"/proc/{self.leader}/root{path}")

    def log(self, unit: str = "omeconf.service") -> str:
        """What a unit has logged since the boot."""
        shown = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", "journalctl", "-q", "-o", "cat",
             "--no-pager", "-u", unit],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return shown.stdout

    def show(self, name: str, unit: str = "omeconf.service") -> str:
        """A property of a unit, as systemd has it."""
        return self.systemctl("show", "-P", name, unit).stdout.strip()

    # -- what runs on it -------------------------------------------------------------------

    def add_engine(self) -> None:
        """An engine, as far as systemd can see, and the configuration folder as root made it."""
        conf = self.path("/etc/ovenmediaengine")
        conf.mkdir()
        (conf / "Server.xml").write_text((EXAMPLES / "origin/Server.xml").read_text())
        self.path("/etc/systemd/system/ovenmediaengine.service").write_text(ENGINE)
        self.systemctl("daemon-reload")
        self.systemctl("start", "ovenmediaengine.service")

    def install(self, *options: str, settings: str = SETTINGS) -> None:
        """install-units, settings, and a start."""
        self.omeconf(
            "install-units", "--conf", "/etc/ovenmediaengine", "--engine-drop-in", "guard", *options
        )
        self.path("/etc/omeconf/omeconf.toml").write_text(settings)
        self.systemctl("enable", "--now", *UNITS)

    def drop_in(self, text: str, unit: str = "omeconf.service", name: str = "90-test.conf") -> None:
        """Have a unit otherwise than shipped; an empty text takes that back."""
        place = self.path(f"/etc/systemd/system/{unit}.d/{name}")
        if text:
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
        else:
            place.unlink()
        self.systemctl("daemon-reload")

    @property
    def server_xml(self) -> Path:
        """The managed file."""
        return self.path("/etc/ovenmediaengine/Server.xml")

    def status(self) -> dict[str, Any]:
        """How things stand, as the daemon has it."""
        found: dict[str, Any] = self.call("GET", "/omeconf/v1/status").json
        return found

    def is_quiet(self) -> bool:
        """Whether the engine runs the newest revision, and nothing is under way."""
        found = self.status()
        numbers, reload = found["revision"], found["reload"]
        is_done = not (reload["pending"] or reload["current"])
        return bool(numbers["head"] == numbers["running"] == numbers["disk"] and is_done)

    # -- over the network ------------------------------------------------------------------

    @contextmanager
    def network(self) -> Iterator[None]:
        """Sockets that this thread makes are of the machine's network."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        its = os.open(f"/proc/{self.leader}/ns/net", os.O_RDONLY)
        try:
            assert _libc.setns(its, _CLONE_NEWNET) == 0
            yield
        finally:
            assert _libc.setns(own, _CLONE_NEWNET) == 0
            os.close(own)
            os.close(its)

    def call(
        self, method: str, path: str, body: Any = None, *,
        port: int = 0, token: str = "", socket_path: str = "/run/omeconf/omeconf.sock",
        headers: dict[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """One call: to a port, or as root to the local socket."""
        connection = _Connection(self, port, socket_path)
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, machine: Machine, port: int, socket_path: str) -> None:
        super().__init__("127.0.0.1", port or 80, timeout=DEADLINE_S)
        self.machine = machine
        self.socket_path = "" if port else socket_path

    def connect(self) -> None:
        """Into the container: its files, or its network."""
        if self.socket_path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(DEADLINE_S)
            self.sock.connect(str(self.machine.path(self.socket_path)))
            return
        with self.machine.network():
            self.sock = socket.create_connection((self.host, self.port), DEADLINE_S)


def build_wheel(where: Path) -> Path:
    """The wheel of this source tree."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(where), str(PROJECT)], check=True,
                   capture_output=True)  # fmt: skip
    (wheel,) = where.glob("omeconf-*.whl")
    return wheel
