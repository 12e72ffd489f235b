"""Real processes of etcd: one, or a cluster; killed, paused, started anew, restored.

They listen on free ports of the loopback device, or on addresses that are given, each in a network
namespace if a command for that is put before.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from omeconf.store.etcd import Etcd
from tests.support.daemon import DEADLINE_S, free_port, is_alive, wait_for

MUST_RUN = "OMECONF_FLEET_MUST_RUN"
"""Set, as in CI, if what cannot run is a failure."""

HASTY = ("--heartbeat-interval=10", "--election-timeout=100")
"""Options with which one alone leads 0.1 s after it was started anew, instead of 1 to 2 s."""


def need_etcd() -> None:
    """Skip the test if there is no etcd, or fail it."""
    missing = [name for name in ("etcd", "etcdctl") if shutil.which(name) is None]
    if not missing:
        return
    why = f"{' and '.join(missing)}: not installed (etcd-server, etcd-client)"
    if os.environ.get(MUST_RUN):
        pytest.fail(f"{why}, and {MUST_RUN} is set")
    pytest.skip(why)


@dataclass(frozen=True, slots=True)
class Certificates:
    """A CA, a server's certificate and a client's, as PEM files of a folder."""

    folder: Path

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def server(self) -> tuple[str, str]:
        """The certificate and its key."""
        return str(self.folder / "server.pem"), str(self.folder / "server.key")

    @property
    def client(self) -> tuple[str, str]:
        """The certificate and its key."""
        return str(self.folder / "client.pem"), str(self.folder / "client.key")

    @classmethod
    def make(cls, folder: Path, *, host: str = "127.0.0.1", client: str = "root") -> Certificates:
        """Make them; host: the server's address; client: the client's common name."""
        folder.mkdir()
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "1"]  # fmt: skip
        made = (
            ("ca", "group CA", ["-addext", "keyUsage=keyCertSign"]),
            ("server", "etcd", ["-addext", f"subjectAltName=IP:{host}",
                                "-addext", "extendedKeyUsage=serverAuth,clientAuth"]),
            ("client", client, ["-addext", "extendedKeyUsage=clientAuth"]),
        )  # fmt: skip
        for name, subject, more in made:
            signed = ["-CA", "ca.pem", "-CAkey", "ca.key"] if name != "ca" else []
            basic = ["-addext", "basicConstraints=critical,CA:FALSE"] if signed else []
            subprocess.run(
                [*new, "-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                 *signed, *basic, *more],
                cwd=folder, check=True, capture_output=True,
            )  # fmt: skip
        return cls(folder)


@dataclass
class EtcdServer:
    """One process of etcd, with its data in a folder of `base`."""

    base: Path
    name: str = "default"
    host: str = "127.0.0.1"
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    prefix: Sequence[str] = ()
    """A command that runs it, as ip netns exec NAME."""
    options: Sequence[str] = ()
    """More options of etcd, as --quota-backend-bytes=10000000."""
    tls: Certificates | None = None
    """Have clients speak TLS, and show a certificate of the CA."""
    cluster: str = ""
    """All members as NAME=PEER_URL,...; this one alone if it is empty."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The URL for clients."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.client_port}"

    @property
    def peer(self) -> str:
        """The URL for the other members."""
        return f"http://{self.host}:{self.peer_port}"

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.base / f"{self.name}.etcd"

    @property
    def log(self) -> str:
        """What it has said since it was started last."""
        return (self.base / f"{self.name}.log").read_text(errors="replace")

    def start(self, *, wait: bool = True) -> Self:
        """Start it, with the data it has; wait: until it serves, which needs a leader."""
        assert self.process is None
        tls = []
        if self.tls is not None:
            certificate, key = self.tls.server
            tls = [f"--cert-file={certificate}", f"--key-file={key}", "--client-cert-auth",
                   f"--trusted-ca-file={self.tls.ca}"]  # fmt: skip
        with (self.base / f"{self.name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix, "etcd", "--name", self.name, "--data-dir", str(self.data),
                    "--listen-client-urls", self.endpoint,
                    "--advertise-client-urls", self.endpoint,
                    "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
                    "--initial-cluster", self.cluster or f"{self.name}={self.peer}",
                    "--bcrypt-cost=4", *tls, *self.options,
                ],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Wait until it serves."""

        def serves() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            return "ready to serve client requests" in self.log

        wait_for(serves, f"etcd {self.name}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it; nothing if it does not run."""
        if self.process is None:
            return
        self.resume()
        self.process.send_signal(number)
        self.process.wait(DEADLINE_S)
        self.process = None

    def kill(self) -> None:
        """End it without a warning."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """End it, and start it with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Have it hang: its sockets stay open, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")

        def is_stopped() -> bool:
            stats = [each.read_text() for each in tasks.glob("*/stat")]
            return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

        wait_for(is_stopped, f"etcd {self.name} hangs")

    def resume(self) -> None:
        """Have it go on."""
        if self.process is not None and is_alive(self.process.pid):
            self.process.send_signal(signal.SIGCONT)

    def client(self, *, timeout_s: float = 5.0, user: str = "", password: str = "") -> Etcd:
        """A client of it alone."""
        more: dict[str, str] = {}
        if self.tls is not None:
            certificate, key = self.tls.client
            more = {"ca": self.tls.ca, "certificate": certificate, "key": key}
        return Etcd([self.endpoint], user=user, password=password, timeout_s=timeout_s, **more)

    def etcdctl(self, *command: str) -> str:
        """What a command of etcdctl says. Raises subprocess.CalledProcessError."""
        tls = []
        if self.tls is not None:
            certificate, key = self.tls.client
            tls = ["--cacert", self.tls.ca, "--cert", certificate, "--key", key]
        done = subprocess.run(
            [*self.prefix, "etcdctl", "--endpoints", self.endpoint, *tls, *command],
            env={**os.environ, "ETCDCTL_API": "3"}, check=True, capture_output=True, text=True,
            timeout=DEADLINE_S,
        )  # fmt: skip
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What it says of itself, as JSON of etcdctl; empty if it does not answer in a second."""
        try:
            said = self.etcdctl(
                "--command-timeout=1s", "--dial-timeout=1s", "endpoint", "status", "-w", "json"
            )
            found = json.loads(said)
        except (subprocess.SubprocessError, ValueError):
            return {}
        status: dict[str, Any] = found[0]["Status"] if found else {}
        return status

    def enable_auth(self, user: str, password: str, prefix: str) -> None:
        """Ask for passwords: root's is "root", and a user may read and write below prefix."""
        for command in (
            "user add root:root", "user grant-role root root",
            f"user add {user}:{password}", f"role add {user}",
            f"role grant-permission {user} readwrite {prefix} --prefix",
            f"user grant-role {user} {user}", "auth enable",
        ):  # fmt: skip
            self.etcdctl(*command.split())

    def save(self, file: Path) -> None:
        """Save a snapshot of its data."""
        self.etcdctl("snapshot", "save", str(file))

    def restore(self, file: Path, token: str = "etcd-cluster") -> None:
        """Have the data of a snapshot instead of its own; it must not run.

        It has the revisions of the snapshot then, and the id of before unless another token is
        given, as --initial-cluster-token.
        """
        assert self.process is None
        shutil.rmtree(self.data, ignore_errors=True)
        self.etcdctl(
            "snapshot", "restore", str(file), "--data-dir", str(self.data), "--name", self.name,
            "--initial-cluster", self.cluster or f"{self.name}={self.peer}",
            "--initial-advertise-peer-urls", self.peer, "--initial-cluster-token", token,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)


class Cluster:
    """Several members of one cluster."""

    def __init__(self, base: Path, size: int = 3, **options: Any) -> None:
        """options: of each EtcdServer."""
        self.servers = [EtcdServer(base, name=f"m{index}", **options) for index in range(size)]
        self.arrange()

    @classmethod
    def of(cls, servers: Sequence[EtcdServer]) -> Cluster:
        """One of servers that are set up already, with addresses and names of their own."""
        cluster = cls.__new__(cls)
        cluster.servers = list(servers)
        cluster.arrange()
        return cluster

    def arrange(self) -> None:
        """Have every server know the others."""
        members = ",".join(f"{each.name}={each.peer}" for each in self.servers)
        for each in self.servers:
            each.cluster = members

    @property
    def endpoints(self) -> list[str]:
        """The URLs for clients."""
        return [each.endpoint for each in self.servers]

    def start(self) -> Self:
        """Start all, and wait until they serve and have one leader."""
        for each in self.servers:
            each.start(wait=False)
        for each in self.servers:
            each.wait()
        self.leader()
        return self

    def leader(self) -> int:
        """Which one leads, once those that run agree on one of them."""
        return int(wait_for(self._leader, "a leader")) - 1

    def _leader(self) -> int:
        found: dict[int, int] = {}
        leaders = set()
        for index, each in enumerate(self.servers):
            status = each.status() if each.process is not None else {}
            if status:
                found[status["header"]["member_id"]] = index
                leaders.add(status.get("leader", 0))
        leader = leaders.pop() if len(leaders) == 1 else 0
        return found[leader] + 1 if leader in found else 0

    def kill(self, index: int) -> None:
        """End one without a warning."""
        self.servers[index].kill()

    def restart(self, index: int) -> None:
        """Start one that was killed, with its data, and wait until it serves."""
        self.servers[index].stop()
        self.servers[index].start()

    def client(self, *, timeout_s: float = 5.0, **more: Any) -> Etcd:
        """A client of all."""
        return Etcd(self.endpoints, timeout_s=timeout_s, **more)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        for each in self.servers:
            each.kill()
