"""A pseudo-terminal: a command that somebody sits in front of."""

from __future__ import annotations

import fcntl
import os
import re
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

from tests.support.daemon import DEADLINE_S

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a terminal of its own; what it prints is read, and what is typed is sent."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.end, other = os.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=other, stdout=other, stderr=other, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, **environment},
        )  # fmt: skip
        os.close(other)
        self._raw = b""
        self.shown = ""
        """All that it has printed so far, without colours."""
        self._read = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE_S)
        os.close(self.end)

    def expect(self, text: str) -> str:
        """What is printed until a text comes, behind what was expected before; fails without."""
        deadline = time.monotonic() + DEADLINE_S
        while (at := self.shown.find(text, self._read)) < 0:
            is_open = self._look(deadline)
            assert is_open, f"waited in vain for {text!r}; it printed:\n{self.shown}"
        found = self.shown[self._read : at]
        self._read = at + len(text)
        return found

    def send(self, text: str) -> None:
        """Type something."""
        os.write(self.end, text.encode())

    def ends(self) -> int:
        """Wait until it ends; its exit status."""
        deadline = time.monotonic() + DEADLINE_S
        while self._look(deadline):
            pass
        return self.process.wait(max(0.0, deadline - time.monotonic()))

    def interrupt(self) -> int:
        """Press Ctrl-C until it ends; its exit status. (Python can miss one that comes just as it
        begins to wait for a line.)
        """
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.send("\x03")
            patience = time.monotonic() + 2.0
            while self._look(patience):
                pass
        return self.ends()

    @property
    def coloured(self) -> str:
        """All that it has printed so far, as it was printed."""
        return self._raw.decode("utf-8", "replace")

    def _look(self, deadline: float) -> bool:
        """Read what comes next; False if nothing comes any more."""
        if not select.select([self.end], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.end, 65536)
        except OSError:  # nobody has the other end any more
            return False
        self._raw += data.replace(b"\r\n", b"\n")
        self.shown = _COLOURS.sub("", self._raw.decode("utf-8", "replace"))
        return bool(data)
