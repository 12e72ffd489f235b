"""A process that has loaded omeconf already, and forks a daemon for each line it reads.

So a daemon is there in a fraction of a second, and its start is only what it does itself. A line
is a JSON object: arguments for `omeconf`, where its output goes, and the gate where it waits for
SIGUSR1: "start" (before anything) or "open" (before the repository is opened, on the writer).
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import sys
import threading
from typing import Any

import uvloop  # noqa: F401
import watchdog.observers  # noqa: F401

from omeconf import cli, server
from omeconf.store.repository import Repository

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork until the input ends."""
    server.shipped_schema = functools.cache(server.shipped_schema)  # type: ignore[attr-defined]
    server.shipped_schema("0.21")  # type: ignore[attr-defined]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the daemons
    print("ready", flush=True)
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            _serve(**json.loads(line))
            return
        print(child, flush=True)


def _serve(arguments: list[str], out: str, log: str, gate: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for name, number in (("/dev/null", 0), (out, 1), (log, 2)):
        handle = os.open(name, os.O_RDONLY if number == 0 else flags, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # for every thread to come
    _name_the_writer(waits=gate == "open")
    sys.argv = ["omeconf", *arguments]
    if gate == "start":
        _wait("start")
    cli.main()


def _name_the_writer(*, waits: bool) -> None:
    """Tell the thread that commits, when it begins."""
    original = Repository.open

    def opening(self: Repository) -> None:
        os.write(1, f"writer {threading.get_native_id()}\n".encode())
        if waits:
            _wait("open")
        original(self)

    patched: Any = Repository
    patched.open = opening


def _wait(gate: str) -> None:
    os.write(1, f"at {gate}\n".encode())
    signal.sigwait([signal.SIGUSR1])


if __name__ == "__main__":
    main()
