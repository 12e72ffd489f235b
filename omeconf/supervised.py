"""What systemd is told while the daemon runs: STATUS in words, WATCHDOG while all threads work."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from omeconf.daemon.events import Event
from omeconf.daemon.notify import notify
from omeconf.daemon.service import Service
from omeconf.daemon.standing import standing

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""How often to look without having heard of anything."""
BEATS = 3
"""So many times within its time the watchdog is told: one that is late does no harm."""


class Pulse(Protocol):
    """Something that must be at work."""

    def trouble(self, now: float) -> str:
        """What is wrong with it; "" if nothing is. now is by the monotonic clock, in seconds."""


class Supervised:
    """The daemon under the eyes of systemd."""

    def __init__(self, service: Service, pulses: Sequence[Pulse], watchdog_s: float | None) -> None:
        """watchdog_s: as long as nothing may be heard of us; None: nobody listens for that."""
        self.service = service
        self.pulses = pulses
        self.watchdog_s = watchdog_s
        self._told = ""
        self._is_stuck = False

    async def run(self) -> None:
        """Until it is cancelled. It is on the event loop itself: a stuck loop tells nothing."""
        if not os.environ.get("NOTIFY_SOCKET"):
            return
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()

        def hear(_: Event) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(heard.set)

        look_s = min(LOOK_S, self.watchdog_s / BEATS) if self.watchdog_s else LOOK_S
        self.service.events.listen(hear)
        try:
            beat_at = 0.0
            while True:
                self.tell()
                if time.monotonic() >= beat_at:
                    self.beat(time.monotonic())
                    beat_at = time.monotonic() + look_s
                heard.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(heard.wait(), max(beat_at - time.monotonic(), 0.0))
        finally:
            self.service.events.forget(hear)

    def tell(self) -> None:
        """Say how things stand, if that has changed. What goes wrong in it ends nothing."""
        try:
            text = standing(self.service)
        except Exception:
            log.exception("Cannot say how things stand")
            text = "serving"
        if text != self._told:
            self._told = text
            notify(f"STATUS={text}")

    def beat(self, now: float) -> None:
        """Tell the watchdog that all is at work; else what is not, once, with all stacks."""
        if not self.watchdog_s:
            return
        try:
            text = self._trouble(now)
        except Exception as error:  # then nothing is known of them
            text = f"cannot look whether all is at work: {error!r}"
        if not text:
            self._is_stuck = False
            notify("WATCHDOG=1")
        elif not self._is_stuck:
            self._is_stuck = True
            log.critical("The watchdog is told nothing: %s", text)
            faulthandler.dump_traceback(sys.stderr, all_threads=True)

    def _trouble(self, now: float) -> str:
        """What is not at work; "" if all is."""
        troubles = [each.trouble(now) for each in self.pulses]
        if not self.service.is_alive:
            troubles.append("a thread has ended that must not")
        return "; ".join(filter(None, troubles))
