"""Every touch of the disk: reading a configuration folder, and publishing files in it.

Rules of publishing (the order is the promise; nothing is answered before the last step):
1. the new bytes are written beside the file under a name that no include matches, and synced;
   the name holds their digest, so that after a crash ours are told from what was displaced;
2. both are exchanged in one step, so that the file is never missing, empty or half written;
3. what was displaced is looked at: if it is not what the edit was made on, or somebody still
   has it open for writing, it is exchanged back, and nothing has changed;
4. the folder is synced, and the displaced file removed.

A failed fsync is never repeated on the same file: the temporary goes, the caller is told.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath

from omeconf.core.schema import Schema, parse_release
from omeconf.errors import BadSettings, Busy, Conflict, NotFound, Unwritable

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_PREFIX, _SUFFIX, _UNFINISHED = ".omeconf-", ".tmp", ".part"
_DIGEST_CHARS = 16
_libc = ctypes.CDLL(None, use_errno=True)


def shipped_schema(release: str = "0.21") -> Schema:
    """The schema of a release of the engine, 0.12 to 0.21. Raises BadSettings."""
    try:
        wanted = parse_release(release)
    except ValueError:
        raise BadSettings(f'"{release}" is not a release, such as 0.21 or 0.16.8') from None
    if wanted[:2] not in {(0, minor) for minor in range(12, 22)}:
        raise BadSettings(f"there is no schema for release {release}: 0.12 to 0.21 are known")
    series = "0.12" if wanted[:2] == (0, 12) else "0.21"
    return Schema(shipped_xsd(series), release)


def shipped_xsd(series: str = "0.21") -> bytes:
    """The XSD of a release series, from the wheel or from a source tree."""
    name = f"ome-{series}.xsd"
    packed = files("omeconf") / "xsd" / name
    return (packed if packed.is_file() else Path(__file__).parents[2] / "xsd" / name).read_bytes()


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """OSError to our errors, in words a person can act on."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"{what}: there is no such file") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.errno == errno.EBUSY:
            reason = "it is mounted as a single file; mount its folder instead"
        raise Unwritable(f"{what}: {reason}") from error


@dataclass(frozen=True, slots=True)
class Prepared:
    """New bytes of a file, written and synced beside it."""

    target: Path
    temporary: Path
    base: bytes
    """What the edit was made on."""
    new: bytes

    @property
    def is_displaced(self) -> bool:
        """Whether a temporary that a crash left holds something else than it was made for."""
        return not self.temporary.name.endswith(f"-{_digest(self.new)}{_SUFFIX}")


class Folder:
    """A configuration folder, for `Snapshot.take`, and to publish revisions in."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    # -- reading ---------------------------------------------------------------------------

    def read(self, file: str) -> bytes:
        """The bytes of a file. Raises NotFound or Unwritable."""
        with _translated(f"cannot read {file}"):
            return (self.path / file).read_bytes()

    def names(self, folder: str) -> tuple[str, ...] | None:
        """The regular files (and links to such) of a folder; None if it cannot be listed."""
        try:
            with os.scandir(self.path / folder) as entries:
                return tuple(
                    entry.name for entry in entries if entry.is_file() and not _is_ours(entry.name)
                )
        except OSError:
            return None

    def marks(self, names: Iterable[str]) -> tuple[object, ...]:
        """What shows cheaply that a file or folder may have changed, in the order given."""
        found: list[object] = []
        for name in names:
            try:
                s = (self.path / name).stat()
            except OSError:
                found.append(None)
            else:
                found.append((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
        return tuple(found)

    def age(self, file: str, now: float) -> float:
        """Seconds since a file was last written; infinite if it is not there."""
        try:
            return now - (self.path / file).stat().st_mtime
        except OSError:
            return float("inf")

    def is_being_written(self, file: str) -> bool:
        """Whether somebody has a file open for writing now, as far as that can be known."""
        try:
            handle = os.open(self.path / file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return _has_writer(handle)
        finally:
            os.close(handle)

    def lock(self) -> None:
        """Keep the folder for this process. Raises Conflict if another daemon has it."""
        self._lock = lock(self.path)

    def unlock(self) -> None:
        """Let the folder go."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- publishing ------------------------------------------------------------------------

    def prepare(
        self,
        new: Mapping[str, bytes],
        base: Mapping[str, bytes],
        is_included: Callable[[str], bool],
    ) -> list[Prepared]:
        """Write and sync new files beside the old. Raises Unwritable; then nothing is left.

        is_included tells whether an include would take a file of that path for its own: such
        a name is avoided, since the engine would load it.
        """
        prepared: list[Prepared] = []
        try:
            for file, data in new.items():
                target = Path(os.path.realpath(self.path / file))
                temporary = self._temporary(target, file, data, is_included)
                with _translated(f"cannot write {file}"):
                    _write_like(target, temporary, data)
                prepared.append(Prepared(target, temporary, base[file], data))
        except BaseException:
            self.discard(prepared)
            raise
        return prepared

    def publish(self, prepared: list[Prepared]) -> None:
        """Exchange all prepared files with the live ones, and sync the folders.

        Raises Busy if a file is not what its edit was made on, or somebody is writing it, or
        Unwritable; then all are exchanged back.
        """
        done: list[Prepared] = []
        try:
            for each in prepared:
                if self.is_being_written(str(each.target)):
                    raise Busy(f"{each.target.name} is open in a program that is writing it")
                with _translated(f"cannot publish {each.target.name}"):
                    _exchange(each.temporary, each.target)
                done.append(each)
                if not _is_quiet(each.temporary, each.base):
                    raise Busy(f"{each.target.name} was changed by somebody else meanwhile")
            with _translated("cannot sync the configuration folder"):
                for folder in {each.target.parent for each in prepared}:
                    _sync_folder(folder)
        except BaseException:
            for each in reversed(done):
                _exchange_back(each)
            self.discard(prepared)
            raise
        self.discard(prepared)

    def discard(self, prepared: Iterable[Prepared]) -> None:
        """Remove temporaries; one that cannot be removed is left for the next start."""
        for each in prepared:
            with suppress(OSError):
                each.temporary.unlink()

    # -- after a crash ---------------------------------------------------------------------

    def leftovers(self, names: Iterable[str]) -> list[tuple[str, Prepared]]:
        """What a crash left beside these files; what was never finished is removed at once.

        In a Prepared given here `new` is what the temporary holds, ours or not.
        """
        found: list[tuple[str, Prepared]] = []
        for name in names:
            target = Path(os.path.realpath(self.path / name))
            for folder in {target.parent, self.path}:
                for part in folder.glob(f"{_PREFIX}{target.name}-*{_UNFINISHED}"):
                    part.unlink()
                for each in sorted(folder.glob(f"{_PREFIX}{target.name}-*{_SUFFIX}")):
                    found.append((name, Prepared(target, each, b"", each.read_bytes())))
        return found

    def put_back(self, leftover: Prepared) -> None:
        """Make live what a crash left in a temporary. Raises Unwritable."""
        with _translated(f"cannot put back {leftover.target.name}"):
            _exchange(leftover.temporary, leftover.target)
            _sync_folder(leftover.target.parent)
            leftover.temporary.unlink()

    def _temporary(
        self, target: Path, file: str, data: bytes, is_included: Callable[[str], bool]
    ) -> Path:
        name = f"{_PREFIX}{target.name}-{secrets.token_hex(4)}-{_digest(data)}{_SUFFIX}"
        if not is_included(str(PurePosixPath(file).with_name(name))):
            return target.with_name(name)
        if not is_included(name):
            return self.path / name
        raise Unwritable(
            f"cannot write {file}: an include matches every file of its folder, so the engine "
            "could load a half-written one; make the pattern narrower, such as *.xml"
        )


def lock(folder: Path) -> int:
    """Keep a folder for this process; the handle that holds it. Raises Conflict, Unwritable."""
    with _translated(f"cannot open {folder}"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise Conflict(f"another omeconf already manages {folder}") from None
    return handle


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith((_SUFFIX, _UNFINISHED))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST_CHARS]


def _write_like(target: Path, temporary: Path, data: bytes) -> None:
    """The bytes in a new file with the owner, mode and attributes of target; synced.

    Until it is whole it has another name, so that after a crash it is known to be unfinished.
    """
    unfinished = temporary.with_suffix(_UNFINISHED)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    handle = os.open(unfinished, flags, 0o600)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            _copy_attributes(target, handle)
            os.fsync(handle)
        finally:
            os.close(handle)
        unfinished.rename(temporary)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _copy_attributes(target: Path, handle: int) -> None:
    """Owner, mode and extended attributes (ACL, SELinux label) as the live file has them."""
    old, new = target.stat(), os.fstat(handle)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(handle, old.st_uid, old.st_gid)
    os.fchmod(handle, stat.S_IMODE(old.st_mode))
    for name in os.listxattr(target):
        with suppress(OSError):
            os.setxattr(handle, name, os.getxattr(target, name))


def _exchange(one: Path, other: Path) -> None:
    """Exchange two files in one step (renameat2); OSError where that is not to be had."""
    result = _libc.renameat2(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )
    if result == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), str(other))
    aside = one.with_name(one.name.removesuffix(_SUFFIX) + "-old" + _SUFFIX)
    os.link(other, aside)  # the weaker promise: what is there now is kept, then replaced
    one.rename(other)
    aside.rename(one)


def _exchange_back(each: Prepared) -> None:
    """Undo an exchange; if somebody saved in between, their newest save is what stays live."""
    _exchange(each.temporary, each.target)
    if each.temporary.read_bytes() != each.new:
        _exchange(each.temporary, each.target)


def _is_quiet(displaced: Path, base: bytes) -> bool:
    """Whether a displaced file is what was expected, and nobody can still write to it."""
    with _translated("cannot look at the displaced file"):
        handle = os.open(displaced, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _has_writer(handle):
            return False
        with os.fdopen(os.dup(handle), "rb") as file:
            return file.read() == base
    finally:
        os.close(handle)


def _has_writer(handle: int) -> bool:
    """Whether an open file is open for writing somewhere: then no read lease is given on it."""
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
