"""Tell systemd how we are (sd_notify): datagrams to the socket that it names.

The protocol is sd_notify(3): lines of NAME=value. Nothing happens where systemd did not ask.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress


def notify(*lines: str) -> None:
    """Send ``READY=1`` and the like, all lines in one datagram."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(address)
        out.sendall("\n".join(lines).encode())


@contextmanager
def reloading() -> Iterator[None]:
    """Settings are read again meanwhile: RELOADING, then READY, whatever came of it.

    MONOTONIC_USEC tells this READY from an earlier one (``Type=notify-reload``, systemd 253).
    """
    now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify("RELOADING=1", f"MONOTONIC_USEC={now_us}")
    try:
        yield
    finally:
        notify("READY=1")


def watchdog_s(environment: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """How often, in seconds, systemd wants to hear that we are at work; None if it does not."""
    if environment.get("WATCHDOG_PID", str(pid or os.getpid())) != str(pid or os.getpid()):
        return None  # meant for a process that started us
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isdecimal() and int(text) > 0 else None
