"""A disk in this process that fails, stops, or lets somebody else in, at its n-th step.

The functions by which the store reaches the disk are wrapped: those of `os`, `io.open` (which
pathlib reads with), renameat2, leases, and the statements of SQLite. A death is a BaseException
after which every further step raises it too: nothing can be tidied up, as after kill -9.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from omeconf.store import repository, steps

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EACCES)
OPENING = {"os.open", "io.open", "os.scandir", "os.dup"}
"""The steps that need a descriptor, so that only they can find none left."""
CHANGING = {
    "os.write", "os.fsync", "os.rename", "os.link", "os.unlink", "os.mkdir", "os.fchmod",
    "os.fchown", "os.setxattr", "os.ftruncate", "renameat2",
}  # fmt: skip
END_OF_LEASE = "fcntl.lease ends"
"""Whoever opens the file before this step is made to wait by the kernel, so nobody can."""
_WORDS = {
    errno.ENOSPC: "database or disk is full",
    errno.EDQUOT: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EROFS: "attempt to write a readonly database",
    errno.EACCES: "attempt to write a readonly database",
    errno.EMFILE: "unable to open database file",
}


class Death(BaseException):
    """The process is gone."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a step, counted from 1."""

    at: int
    code: int = 0
    """The errno; 0: the process dies before the step is done (half of a write is)."""
    lasts: bool = False
    """Whether every step like it fails from then on."""
    only: str = ""
    """The only kind of step that fails; "" for all."""

    def __str__(self) -> str:
        what = errno.errorcode[self.code] if self.code else "death"
        return f"{what} at step {self.at}{' and after' if self.lasts else ''}"


NEEDS_NO_SPACE = {"os.unlink", "os.rename", "renameat2", "os.fchmod", "os.fchown", "os.ftruncate"}
"""So that what was done can be undone on a full disk."""


def can_fail(step: str, code: int) -> bool:
    """Whether a step can fail with that errno on a real disk."""
    is_statement = step.startswith("sqlite")
    if code == errno.EIO:
        return not step.startswith("fcntl")
    if code == errno.EMFILE:
        return step in OPENING or is_statement
    if code == errno.EACCES:
        return step not in ("os.fsync", END_OF_LEASE)
    if code in (errno.ENOSPC, errno.EDQUOT) and step in NEEDS_NO_SPACE:
        return False
    writes = step in CHANGING or step.split(" ")[-1] in ("COMMIT", "INSERT", "UPDATE", "DELETE")
    return writes or step == "os.open"


class AtOnce(Executor):
    """What is done beside the writer is done by it, so that all steps come in the same order."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


class Disk:
    """All steps towards the disk, of the thread that is watched."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        """What was done while it was watched."""
        self.fault: Fault | None = None
        self.has_met = False
        """Whether the fault was met."""
        self.is_dead = False
        self.before: Callable[[int], None] | None = None
        """Called before each step with its number: somebody else's turn."""
        self._thread: int | None = None
        self._dead_thread: int | None = None
        for name in (
            "open", "fsync", "rename", "link", "unlink", "scandir", "mkdir", "fchmod", "fchown",
            "setxattr", "listxattr", "getxattr", "ftruncate", "stat", "dup",
        ):  # fmt: skip
            self._wrap(patch, os, name, f"os.{name}")
        self._wrap(patch, io, "open", "io.open")
        patch.setattr(repository, "ThreadPoolExecutor", AtOnce)
        self._wrap(patch, steps, "rename_with", "renameat2")
        self._wrap_write(patch)
        self._wrap_leases(patch)
        self._wrap_sqlite(patch)

    @contextmanager
    def watched(self, fault: Fault | None = None) -> Iterator[None]:
        """Count the steps of this thread, with a fault at one of them."""
        self.steps, self.fault, self.has_met = [], fault, False
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = self.fault = None

    def revive(self) -> None:
        """After a death: another process begins."""
        self.is_dead = False

    def _meets(self, step: str) -> int | None:
        """The errno to fail a step with, 0 for death; None if it is to be done."""
        if self.is_dead and threading.get_ident() == self._dead_thread:
            raise Death
        if self._thread != threading.get_ident():
            return None
        self.steps.append(step)
        if self.before is not None and step != END_OF_LEASE:
            thread, self._thread = self._thread, None  # what others do is no step of ours
            self.before(len(self.steps))
            self._thread = thread
        fault = self.fault
        if fault is None or len(self.steps) < fault.at:
            return None
        if len(self.steps) > fault.at and not fault.lasts:
            return None
        if fault.code and (not can_fail(step, fault.code) or fault.only not in ("", step)):
            return None
        self.has_met = True
        if not fault.code:
            self.is_dead, self._dead_thread = True, self._thread
        return fault.code

    def _step(self, step: str) -> None:
        code = self._meets(step)
        if code is not None:
            raise OSError(code, os.strerror(code)) if code else Death

    def _wrap(self, patch: pytest.MonkeyPatch, owner: Any, name: str, step: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._step(step)
            return real(*args, **kwargs)

        patch.setattr(owner, name, call)

    def _wrap_write(self, patch: pytest.MonkeyPatch) -> None:
        real = os.write

        def write(handle: int, data: Any) -> int:
            code = self._meets("os.write")
            if code is None:
                return real(handle, data)
            real(handle, memoryview(data)[: len(data) // 2])
            raise OSError(code, os.strerror(code)) if code else Death

        patch.setattr(os, "write", write)

    def _wrap_leases(self, patch: pytest.MonkeyPatch) -> None:
        real = fcntl.fcntl

        def call(handle: Any, command: int, argument: Any = 0) -> Any:
            if command == fcntl.F_SETLEASE:
                self._step("fcntl.lease" if argument != fcntl.F_UNLCK else END_OF_LEASE)
            return real(handle, command, argument)

        patch.setattr(fcntl, "fcntl", call)

    def _wrap_sqlite(self, patch: pytest.MonkeyPatch) -> None:
        disk, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> Any:
                self.step(sql)
                return super().execute(sql, *args)

            def executemany(self, sql: str, *args: Any) -> Any:
                self.step(sql)
                return super().executemany(sql, *args)

            def executescript(self, sql: str) -> Any:
                self.step(sql)
                return super().executescript(sql)

            def step(self, sql: str) -> None:
                word = sql.split()[0]
                is_undo = word == "ROLLBACK" and not disk.is_dead
                code = None if is_undo else disk._meets(f"sqlite {word}")
                if code == 0:
                    raise Death
                if code is not None:
                    if code in (errno.ENOSPC, errno.EIO) and self.in_transaction:
                        super().execute("ROLLBACK")  # as SQLite itself does for these
                    raise sqlite3.OperationalError(_WORDS[code])

        def connected(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            return connect(*args, factory=Connection, **kwargs)

        patch.setattr(sqlite3, "connect", connected)
