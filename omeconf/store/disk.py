"""Reading a configuration folder, and keeping it for ourselves."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from omeconf.core.schema import Schema, parse_release
from omeconf.core.snapshot import LOGGER_FILE, Snapshot
from omeconf.errors import BadSettings, Conflict, NotFound, Unwritable
from omeconf.store.steps import is_open_for_writing, sync_folder

PREFIX, SUFFIX, UNFINISHED = ".omeconf-", ".tmp", ".part"
"""How our own files are named while they lie in a configuration folder."""


def shipped_schema(release: str = "0.21") -> Schema:
    """The schema of a release of the engine, 0.12 to 0.21. Raises BadSettings."""
    return Schema(shipped_xsd(series_of(release)), release)


def series_of(release: str) -> str:
    """The series whose XSD has a release of the engine in it. Raises BadSettings."""
    try:
        wanted = parse_release(release)
    except ValueError:
        raise BadSettings(f'"{release}" is not a release, such as 0.21 or 0.16.8') from None
    if wanted[:2] not in {(0, minor) for minor in range(12, 22)}:
        raise BadSettings(f"there is no schema for release {release}: 0.12 to 0.21 are known")
    return "0.12" if wanted[:2] == (0, 12) else "0.21"


def shipped_xsd(series: str = "0.21") -> bytes:
    """The XSD of a release series, from the wheel or from a source tree."""
    name = f"ome-{series}.xsd"
    packed = files("omeconf") / "xsd" / name
    return (packed if packed.is_file() else Path(__file__).parents[2] / "xsd" / name).read_bytes()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """OSError to our errors, in words a person can act on."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"{what}: there is no such file") from None
    except (OSError, RuntimeError) as error:  # pathlib: a RuntimeError for a loop of links
        if isinstance(error, RuntimeError):
            raise Unwritable(f"{what}: {error}") from error
        reason = (error.strerror or str(error)).lower()
        raise Unwritable(f"{what}: {reason}") from error


Stat = tuple[int, int, int, int, int]
"""Device, inode, size, and when it was written and changed (in ns): of a file."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What shows cheaply whether the files of a configuration may have changed."""

    files: Mapping[str, Stat | None]
    names: tuple[tuple[str, ...] | None, ...]
    """What lies in each of its folders."""


class Folder:
    """A configuration folder, for `Snapshot.take`, and to publish revisions in."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._locks: list[int] = []

    # -- reading ---------------------------------------------------------------------------

    def read(self, file: str) -> bytes:
        """The bytes of a file. Raises NotFound or Unwritable."""
        with translated(f"cannot read {file}"):
            return (self.path / file).read_bytes()

    def names(self, folder: str) -> tuple[str, ...] | None:
        """The regular files (and links to such) of a folder; None if it cannot be listed."""
        try:
            with os.scandir(self.path / folder) as entries:
                return tuple(
                    entry.name for entry in entries if entry.is_file() and not is_ours(entry.name)
                )
        except OSError:
            return None

    def marks(self, names: Iterable[str]) -> tuple[object, ...]:
        """What shows cheaply that a file or folder may have changed, in the order given."""
        return tuple(self._stat(name) for name in names)

    def trace(self, snapshot: Snapshot) -> Trace:
        """What the file system says now of all that a snapshot is made of."""
        names = tuple(self.names(folder) for folder in snapshot.folders)
        files = sorted({*snapshot.files, *snapshot.unreadable})
        found = {file: self._stat(file) for file in files}
        if snapshot.logger is not None:
            found[LOGGER_FILE] = self._stat(LOGGER_FILE)
        return Trace(found, names)

    def _stat(self, name: str) -> Stat | None:
        try:
            s = (self.path / name).stat()
        except OSError:
            return None
        return s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns

    def age(self, file: str, now: float) -> float:
        """Seconds since a file was last written; infinite if it is not there."""
        try:
            return now - (self.path / file).stat().st_mtime
        except OSError:
            return float("inf")

    def links(self, file: str) -> int:
        """How many names a file has (hard links); 0 if it is not there."""
        try:
            return (self.path / file).stat().st_nlink
        except (OSError, RuntimeError):
            return 0

    def is_being_written(self, file: str) -> bool:
        """Whether somebody has a file open for writing now, as far as that can be known."""
        return is_open_for_writing(self.path / file)

    def lock(self, main: str) -> None:
        """Keep the folder for this process, and the one where a linked main file lies.

        Raises Conflict if another daemon has one of them.
        """
        behind = Path(os.path.realpath(self.path / main)).parent
        folders = [self.path] if _is_same(behind, self.path) else [self.path, behind]
        for folder in folders:
            if folder.is_dir():
                try:
                    self._locks.append(lock(folder))
                except BaseException:
                    self.unlock()
                    raise

    def unlock(self) -> None:
        """Let the folder go."""
        while self._locks:
            os.close(self._locks.pop())

    def make_places(self, files: Iterable[str]) -> None:
        """Make the folders that files will lie in, if they are missing. Raises Unwritable."""
        for file in files:
            if not file.startswith("/"):
                with translated(f"cannot make the folder of {file}"):
                    (self.path / file).parent.mkdir(parents=True, exist_ok=True)

    def rescue(self, where: Path, file: str, data: bytes) -> Path:
        """Keep bytes that would be lost in a file of their own. Raises Unwritable."""
        stamp = hashlib.sha256(data).hexdigest()[:12]
        path = where / f"{Path(file).name}-{stamp}"
        with translated(f"cannot keep a save of {file}"):
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
            ) as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            sync_folder(where)
        return path


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def lock(folder: Path) -> int:
    """Keep a folder for this process; the handle that holds it. Raises Conflict, Unwritable."""
    with translated(f"cannot open {folder}"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise Conflict(f"another omeconf already manages {folder}") from None
    return handle


def is_ours(name: str) -> bool:
    """Whether a file of that name is one that publishing made."""
    return name.startswith(PREFIX) and name.endswith((SUFFIX, UNFINISHED))
