"""The small steps at the disk that publishing takes: each does one thing, and says how it failed.

They know of files and their bytes, not of configurations. Raise OSError, and Busy where somebody
else is at the file.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import signal
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from omeconf.errors import Busy

NOREPLACE, EXCHANGE = 1, 2
_AT_FDCWD = -100
_NOT_TO_BE_HAD = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_libc = ctypes.CDLL(None, use_errno=True)
_BLOCK = 512
"""Bytes that a disk writes at once, at least: a torn file has each of them old or new."""

# -- writing -------------------------------------------------------------------------------


def begin_new(path: Path, data: bytes, like: Path | None) -> int:
    """The bytes in a new file, not synced; its descriptor.

    like: whose owner, mode and so on it gets. What was made is removed if anything fails.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(handle, data)
        if like is not None:
            _copy_attributes(like, handle)
        return handle
    except BaseException:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise


def write_over(target: Path, data: bytes, base: bytes | None, begin: Callable[[], None]) -> None:
    """New bytes into a file as it is: nothing is cut off before all are written; synced.

    Meanwhile nobody else can open it, where the kernel grants a write lease: they wait. begin is
    called before the first byte is written. Raises Busy if the file is not base any more, or
    somebody has it open.
    """
    handle = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        has_lease = _keep_others_out(handle)
        if base is not None and _read_all(handle) != base:
            raise Busy(f"{target.name} was changed by somebody else meanwhile")
        begin()
        os.lseek(handle, 0, os.SEEK_SET)
        _write_all(handle, data)
        os.ftruncate(handle, len(data))
        os.fsync(handle)
        if has_lease:
            _let_others_in(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk for good."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy_attributes(like: Path, handle: int) -> None:
    """Owner, mode and extended attributes (ACL, SELinux label) as a file, or its folder, has."""
    old, new = like.stat(), os.fstat(handle)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(handle, old.st_uid, old.st_gid)
    if stat.S_ISDIR(old.st_mode):
        os.fchmod(handle, stat.S_IMODE(old.st_mode) & 0o666)
        return
    os.fchmod(handle, stat.S_IMODE(old.st_mode))
    for name in os.listxattr(like):
        try:
            os.setxattr(handle, name, os.getxattr(like, name))
        except OSError:
            if name.startswith(("user.", "system.")):
                raise


# -- exchanging ----------------------------------------------------------------------------


def rename_with(one: Path, other: Path, flag: int) -> bool:
    """renameat2 with a flag; False where the file system does not have it."""
    result = _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flag)
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_TO_BE_HAD:
        return False
    raise OSError(code, os.strerror(code), str(other))


def exchange(one: Path, other: Path, another: Callable[[], Path]) -> Path:
    """Exchange two files in one step; where that is not to be had, the old one is linked first,
    to another name.

    That is the weaker promise: a save in the moment between link and rename is lost. Gives where
    what was displaced lies now: that is one, unless it could not be given its name.
    """
    if rename_with(one, other, EXCHANGE):
        return one
    aside = another()
    os.link(other, aside)
    try:
        one.rename(other)
    except BaseException:
        aside.unlink()
        raise
    try:
        aside.rename(one)
    except OSError:
        return aside
    return one


def link(one: Path, other: Path) -> None:
    """Give a file another name; FileExistsError if that is taken."""
    try:
        os.link(one, other)
    except OSError as error:
        if error.errno not in (errno.EPERM, *_NOT_TO_BE_HAD):
            raise
        if not rename_with(one, other, NOREPLACE):
            raise


# -- looking -------------------------------------------------------------------------------


def is_quiet(displaced: Path, base: bytes | None) -> bool:
    """Whether a displaced file is what was expected, and nobody can still write to it."""
    handle = os.open(displaced, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not has_writer(handle) and base is not None and _holds(handle, base)
    finally:
        os.close(handle)


def is_open_for_writing(path: Path) -> bool:
    """Whether somebody has a file open for writing now, as far as that can be known."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return has_writer(handle)
    finally:
        os.close(handle)


def has_writer(handle: int) -> bool:
    """Whether an open file is open for writing somewhere: then no read lease is given on it."""
    _harmless_signal(handle)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted on a file itself, as containers do."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    wanted = str(path)
    return any(_unescaped(line.split(" ")[4]) == wanted for line in lines)


def is_torn(data: bytes, old: bytes, new: bytes) -> bool:
    """Whether bytes are what a crash can leave of old while new is written over it."""
    if data in (old, new):
        return False
    if len(data) not in range(min(len(old), len(new)), max(len(old), len(new)) + 1):
        return False
    return all(
        _is_mixed(*(each[at : at + _BLOCK] for each in (data, old, new)))
        for at in range(0, len(data), _BLOCK)
    )


def _is_mixed(block: bytes, old: bytes, new: bytes) -> bool:
    """Whether a block is old, new, not written yet, or new to some byte and old from there on."""
    length = len(block)
    if block in (old[:length], new[:length], bytes(length)):
        return True
    same = next((at for at in range(length) if block[at : at + 1] != new[at : at + 1]), length)
    return block[same:] == old[same:length]


def _read_all(handle: int) -> bytes:
    chunks: list[bytes] = []
    while chunk := os.read(handle, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def _holds(handle: int, wanted: bytes) -> bool:
    """Whether an open file has these bytes, and no others."""
    if os.fstat(handle).st_size != len(wanted):
        return False
    buffer = bytearray(min(len(wanted), 1 << 20))
    expected, at = memoryview(wanted), 0
    while count := os.readv(handle, [buffer]):
        part = buffer if count == len(buffer) else buffer[:count]
        if part != expected[at : at + count]:  # of all types, bytearray compares with memcmp
            return False
        at += count
    return at == len(wanted)


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


# -- leases --------------------------------------------------------------------------------


def _harmless_signal(handle: int) -> None:
    """The kernel tells of a broken lease by SIGIO, which would end the process: not by SIGURG."""
    with suppress(OSError):
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)


def _keep_others_out(handle: int) -> bool:
    """Have everybody else who opens a file wait; False where that is not to be had.

    Raises Busy if somebody has it open already.
    """
    _harmless_signal(handle)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise Busy("the file is open in another program") from None
        return False
    return True


def _let_others_in(handle: int) -> None:
    """End what `_keep_others_out` began."""
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
