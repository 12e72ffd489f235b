"""A command on a terminal of its own, and somebody who presses keys."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType

from tests.support.daemon import DEADLINE_S


class Terminal:
    """`omeconf` on a pseudo-terminal: stdin, stdout and stderr are that."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.shown = ""
        """All that it has shown."""
        self._read = 0
        master, slave = pty.openpty()
        self._master = master
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", sys.executable, "-m", "omeconf", *arguments],
            stdin=slave, stdout=slave, stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **(environment or {})},
        )  # fmt: skip
        os.close(slave)

    def expect(self, text: str) -> str:
        """Wait for a text behind what was waited for before; what was shown up to its end."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            at = self.shown.find(text, self._read)
            if at >= 0:
                begin, self._read = self._read, at + len(text)
                return self.shown[begin : self._read]
            assert self._more(deadline), f"{text!r} is not shown in {self.shown[self._read :]!r}"

    def press(self, keys: str) -> None:
        """Press keys."""
        with suppress(OSError):  # it has ended
            os.write(self._master, keys.encode())

    def end(self) -> int:
        """Wait for its end; the exit status."""
        deadline = time.monotonic() + DEADLINE_S
        while self._more(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 0.1))

    def interrupt(self) -> int:
        """Press Ctrl-C until it ends; the exit status. (Python can miss one that comes just as it
        begins to wait for a line.)
        """
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.press("\x03")
            patience = time.monotonic() + 2.0
            while self._more(patience):
                pass
        return self.end()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _more(self, deadline: float) -> bool:
        """Read what is shown next; False at the end, or at the deadline."""
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # its other end is closed
            return False
        self.shown += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)
