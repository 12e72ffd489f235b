"""Small disks that fill up, and disks whose power is cut."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.torture import cannot_run, need_commands, need_root

FS_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
"""What is not on disk by now never comes there."""


@contextmanager
def tmpfs(where: Path, options: str) -> Iterator[Path]:
    """A file system in memory, mounted; skips where that is not permitted."""
    need_root()
    where.mkdir(exist_ok=True)
    found = _run("mount", "-t", "tmpfs", "-o", options, "none", str(where))
    if found:
        cannot_run(f"cannot mount a tmpfs: {found}")
    try:
        yield where
    finally:
        _run("umount", "-l", str(where))


def remount(where: Path, option: str) -> None:
    """Change an option of what is mounted."""
    assert not (failure := _run("mount", "-o", f"remount,{option}", str(where))), failure


def fill(folder: Path) -> None:
    """Take all space and all inodes that are left in the file system of a folder."""
    (folder / "fill").mkdir()
    number = 0
    try:
        while True:
            number += 1
            with (folder / "fill" / str(number)).open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
    except OSError:
        pass
    try:
        while True:
            number += 1
            (folder / "fill" / str(number)).touch()
    except OSError:
        pass


class Image:
    """A file system in a file, whose power can be cut."""

    def __init__(self, folder: Path, kind: str, options: str = "") -> None:
        need_root()
        need_commands(f"mkfs.{kind}")
        self.file = folder / "image"
        self.options = "loop" + (f",{options}" if options else "")
        self.where = folder / "disk"
        self.where.mkdir()
        with self.file.open("wb") as file:
            os.truncate(file.fileno(), (400 if kind == "xfs" else 48) << 20)
        force = "-f" if kind == "xfs" else "-F"
        assert not (failure := _run(f"mkfs.{kind}", "-q", force, str(self.file))), failure
        failure = self._mount()
        if failure:
            cannot_run(f"cannot mount a loop device: {failure}")

    def _mount(self) -> str:
        return _run("mount", "-o", self.options, str(self.file), str(self.where))

    def cut(self) -> None:
        """Cut the power: nothing more reaches the disk, also what was written but not synced."""
        handle = os.open(self.where, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, FS_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(handle)

    def power_on(self) -> None:
        """Mount it again after a cut; nothing may have it open."""
        assert not (failure := _run("umount", str(self.where))), failure
        assert not (failure := self._mount()), failure

    def remove(self) -> None:
        """Take it away."""
        _run("umount", "-l", str(self.where))
        self.file.unlink()


def _run(*command: str) -> str:
    """Run a command; its complaint, "" if it succeeded."""
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stderr.strip() or f"exit code {found.returncode}" if found.returncode else ""
