"""Publishing: new files in the place of old ones, all or none of them, and nobody's work lost.

The order is the promise; nothing is answered before the last step:

1. the new bytes are written beside the file under a name that no include matches, and synced;
   then the name holds their digest, so that after a crash ours are told from what was displaced,
   and the folder is synced; only now may the revision go on record, since a power cut could
   leave the record and nothing else of it;
2. both are exchanged in one step, so that the file is never missing, empty or half written;
3. what was displaced is looked at: if it is not what the edit was made on, or somebody still
   has it open for writing, it is exchanged back, and nothing has changed;
4. the folder is synced.

The displaced file is removed after the answer. A new file is linked to its name, which fails if
there is one; one that goes is moved aside, looked at, and removed last. Where a file cannot be
exchanged (it is mounted as a single file, or its owner could not be kept) it is written in place,
behind a journal with its old and its new bytes: the engine could then read a half-written file,
but after a crash it is completed. A failed fsync is never repeated on the same file: the
temporary goes, and the caller is told.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from omeconf.core.snapshot import digest
from omeconf.errors import Busy, Conflict, Unwritable
from omeconf.store import steps
from omeconf.store.beside import start
from omeconf.store.disk import PREFIX, SUFFIX, UNFINISHED, translated
from omeconf.store.overtaken import PutBack

_OURS = re.compile(
    re.escape(PREFIX) + r".*-([0-9a-f]{16})-([0-9a-f]{8})-([0-9a-f]{16})" + re.escape(SUFFIX)
)
_DIGITS = 16
"""Of a digest, in a name."""


class Way(enum.Enum):
    """How a file gets its new bytes."""

    EXCHANGE = "exchange"
    CREATE = "create"
    REMOVE = "remove"
    IN_PLACE = "in place"


@dataclass(slots=True)
class Writing:
    """New bytes on their way to the disk."""

    handle: int
    syncing: Future[None]
    name: Callable[[], Path]
    """Gives the name that says that they are whole."""


@dataclass(eq=False, slots=True)
class Prepared:
    """What is to become of one file; its new bytes lie beside it, or are being written there."""

    file: str
    """As the snapshot names it."""
    target: Path
    """The file itself, behind all links."""
    temporary: Path
    """Its new bytes, beside it or in a journal; of a file that goes, where it is moved.

    Once it is published, what was displaced.
    """
    base: bytes | None
    """What the edit was made on; None if there was no such file."""
    new: bytes | None
    """None: the file goes."""
    way: Way
    stamp: tuple[int, int, int, int] | None = None
    """Device, inode, size and time of writing of the new file; None if they are not known."""
    writing: Writing | None = None
    """None once the new bytes are synced."""

    @property
    def is_whole(self) -> bool:
        """Whether its name says that the new bytes are synced: else nothing was displaced."""
        return self.temporary.suffix != UNFINISHED

    def finish(self) -> None:
        """Wait until the new bytes are synced, and give them the name that says so.

        Raises OSError; then the temporary is as good as nothing.
        """
        writing = self.writing
        if writing is None:
            return
        self.writing = None
        try:
            writing.syncing.result()
            found = os.fstat(writing.handle)
        finally:
            os.close(writing.handle)
        path = writing.name()
        self.temporary.rename(path)
        self.temporary = path
        self.stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def give_up(self) -> None:
        """Have nothing write to it any more."""
        if self.writing is not None:
            self.writing.syncing.exception()
            os.close(self.writing.handle)
            self.writing = None


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a crash left of a publication."""

    file: str
    """As the snapshot names it; "" if it is none of its files."""
    temporary: Path
    data: bytes
    """Ours, or what was displaced."""
    made_for: str
    """The digest of the new bytes that the publication was about."""

    @property
    def is_ours(self) -> bool:
        """Whether it still holds what it was made for: the new bytes of a file."""
        return self.was_made_for(self.data)

    def was_made_for(self, data: bytes) -> bool:
        """Whether these are the new bytes that the publication was about."""
        return _digest_of(self.file, data) == self.made_for


@dataclass(frozen=True, slots=True)
class Journal:
    """A file that was being written in place."""

    file: str
    path: Path
    old: bytes
    new: bytes


class Publisher:
    """Publishes files in one configuration folder."""

    def __init__(
        self, folder: Path, journals: Path | None = None, *, beside: Executor | None = None
    ) -> None:
        """journals: a folder for what must be written in place; without it nothing is.

        beside: syncs files while the caller goes on.
        """
        self.folder = folder.absolute()
        self.journals = journals
        self.beside = beside
        self._mount_points: dict[Path, bool] = {}
        """What was found once; looked up anew when an exchange is refused."""
        self._litter: set[Path] = set()
        """Temporaries of no use that could not be removed yet."""
        self.put_back_saves: list[PutBack] = []
        """What somebody had saved to displaced files when these were put back: whoever read the
        file before that may save over it unseen. Whoever adopts clears it.
        """
        self._not_undone: list[Prepared] = []
        """What is live although it was refused, since the disk would not take the old back."""

    def prepare(
        self,
        new: Mapping[str, bytes | None],
        base: Mapping[str, bytes | None],
        is_included: Callable[[str], bool],
        digests: Mapping[str, Callable[[], str]] | None = None,
    ) -> list[Prepared]:
        """Write new bytes beside the old, synced with their names. Raises Unwritable; then nothing
        is left.

        is_included tells whether an include would take a file of that path for its own: such
        a name is avoided, since the engine would load it. None is for no such file. digests give
        that of a file and its name, as soon as it is known.
        """
        prepared: list[Prepared] = []
        try:
            for file, data in new.items():
                known = (digests or {}).get(file)
                prepared.append(self._prepare(file, data, base[file], is_included, known))
            for each in prepared:
                with translated(f"cannot write {each.file}"):
                    each.finish()
            with translated("cannot sync the configuration folder"):
                for folder in {each.temporary.parent for each in prepared}:
                    steps.sync_folder(folder)
        except BaseException:
            self.discard(prepared)
            raise
        return prepared

    def publish(self, prepared: list[Prepared]) -> None:
        """Carry out all that is prepared, and sync the folders.

        Raises Busy if a file is not what its edit was made on, or somebody is writing it,
        Conflict if a new file is there already, or Unwritable; then all is as before. The
        temporaries stay in both cases, until `discard`.
        """
        done: list[Prepared] = []
        try:
            for each in prepared:
                with translated(f"cannot publish {each.file}"):
                    if each.base is not None and steps.is_open_for_writing(each.target):
                        raise Busy(f"{each.file} is open in a program that is writing it")
                    self._step(each, done)
            with translated("cannot sync the configuration folder"):
                for folder in {each.target.parent for each in prepared}:
                    steps.sync_folder(folder)
        except BaseException:
            for each in reversed(done):
                try:
                    self._undo(each)
                except Unwritable:
                    self._not_undone.append(each)
            raise

    def undo_rest(self) -> list[tuple[str, bytes]]:
        """Undo what could not be undone before. Raises Unwritable while it still cannot."""
        saves: list[tuple[str, bytes]] = []
        while self._not_undone:
            each = self._not_undone[0]
            self._undo(each)
            with translated("cannot sync the configuration folder"):
                steps.sync_folder(each.target.parent)
            del self._not_undone[0]
            saves += self.discard([each])
        return saves

    def discard(self, prepared: Iterable[Prepared]) -> list[tuple[str, bytes]]:
        """Remove the temporaries of what was not published.

        Gives the saves of somebody else among them, as file and bytes: they were displaced, and
        a newer save is live. One that cannot be looked at is left for the next start.
        """
        saves: list[tuple[str, bytes]] = []
        for each in prepared:
            if each in self._not_undone:
                continue
            each.give_up()
            with suppress(OSError):
                if each.is_whole and each.way in (Way.EXCHANGE, Way.REMOVE):
                    data = each.temporary.read_bytes()
                    ours = (each.base, each.new or b"", _bytes(each.target))
                    if data not in ours:
                        saves.append((each.file, data))
                self._remove(each.temporary)
        return saves

    def clear(self, prepared: Iterable[Prepared] = ()) -> None:
        """Remove the temporaries of what was published: they are known to hold its base.

        What cannot be removed is tried again each time.
        """
        left = {each.temporary for each in prepared}
        with suppress(KeyError):  # another thread may be here, too
            while True:
                left.add(self._litter.pop())
        for path in left:
            self._remove(path)

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            self._litter.add(path)

    def obstacle(self, file: str) -> str:
        """Why a file cannot be written now; "" if it seems that it can."""
        target = Path(os.path.realpath(self.folder / file))
        where = target if self.needs_in_place(file) else target.parent
        if not where.exists() or os.access(where, os.W_OK):
            return ""
        try:
            is_read_only = os.statvfs(where).f_flag & os.ST_RDONLY
        except OSError:
            is_read_only = False
        return f"{where} is " + ("on a read-only file system" if is_read_only else "not writable")

    def needs_in_place(self, file: str) -> bool:
        """Whether a file can only be written in place: it is a mount point, or not our own."""
        return self._needs_in_place(Path(os.path.realpath(self.folder / file)))

    def _needs_in_place(self, target: Path) -> bool:
        if target not in self._mount_points:
            self._mount_points[target] = steps.is_mount_point(target)
        if self._mount_points[target]:
            return True
        if os.geteuid() == 0 or _may_give_away():
            return False
        with suppress(OSError):
            found = target.stat()
            return found.st_uid != os.geteuid() or found.st_gid not in (
                *os.getgroups(),
                os.getegid(),
            )
        return False

    # -- after a crash ---------------------------------------------------------------------

    def leftovers(self, files: Iterable[str]) -> Iterator[Leftover]:
        """What a crash left in the folders of these files; the unfinished is removed at once.

        Raises OSError.
        """
        names = {_digest_of_name(file): file for file in files}
        targets = {file: Path(os.path.realpath(self.folder / file)) for file in names.values()}
        for folder in sorted({self.folder, *(target.parent for target in targets.values())}):
            if not folder.is_dir():
                continue
            for part in folder.glob(f"{PREFIX}*{UNFINISHED}"):
                part.unlink()
            for path in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
                match = _OURS.fullmatch(path.name)
                if match and path.is_file():
                    yield Leftover(names.get(match[1], ""), path, path.read_bytes(), match[3])

    def open_journals(self) -> Iterator[Journal]:
        """Files that were being written in place when the crash came."""
        if self.journals is None or not self.journals.is_dir():
            return
        for path in sorted(self.journals.iterdir()):
            if path.name.endswith(UNFINISHED):
                path.unlink()
                continue
            head, _, rest = path.read_bytes().partition(b"\n")
            try:
                found = json.loads(head)
                file, old, new = str(found["file"]), int(found["old"]), int(found["new"])
            except (ValueError, KeyError, TypeError):
                continue
            if str(self.folder) == found["folder"] and len(rest) == old + new:
                yield Journal(file, path, rest[:old], rest[old:])

    def put_back(self, leftover: Leftover) -> None:
        """Make live what a crash left. Raises Unwritable."""
        target = Path(os.path.realpath(self.folder / leftover.file))
        with translated(f"cannot put back {leftover.file}"):
            displaced = leftover.temporary
            if target.exists():
                displaced = self._exchange(displaced, target)
            else:
                steps.link(displaced, target)
            steps.sync_folder(target.parent)
            displaced.unlink(missing_ok=True)

    def remove(self, file: str) -> None:
        """Take a file away. Raises Unwritable."""
        target = Path(os.path.realpath(self.folder / file))
        with translated(f"cannot remove {file}"):
            target.unlink(missing_ok=True)
            steps.sync_folder(target.parent)

    def finish(self, journal: Journal, data: bytes) -> None:
        """Write a file in place to the end. Raises Unwritable."""
        target = Path(os.path.realpath(self.folder / journal.file))
        with translated(f"cannot complete {journal.file}"):
            steps.write_over(target, data, None, lambda: None)
            journal.path.unlink()

    # -- inside ----------------------------------------------------------------------------

    def _prepare(
        self,
        file: str,
        new: bytes | None,
        base: bytes | None,
        is_included: Callable[[str], bool],
        digest_of_new: Callable[[], str] | None,
    ) -> Prepared:
        target = Path(os.path.realpath(self.folder / file))
        if base is not None and new is not None and self._needs_in_place(target):
            return self._prepare_in_place(file, target, new, base)
        unfinished = self._unfinished(target, file, is_included)

        def name() -> Path:
            known = _digest_of(file, new or b"") if digest_of_new is None else digest_of_new()
            return unfinished.with_name(
                f"{unfinished.name.removesuffix(UNFINISHED)}-{known[:_DIGITS]}{SUFFIX}"
            )

        way = Way.CREATE if base is None else Way.EXCHANGE if new is not None else Way.REMOVE
        like = target if base is not None else self.folder / file.rpartition("/")[0]
        # where a file goes, an empty one tells of it after a crash
        with translated(f"cannot write {file}"):
            try:
                handle = steps.begin_new(
                    unfinished, new or b"", None if way is Way.REMOVE else like
                )
            except PermissionError:
                if way is not Way.EXCHANGE or new is None or base is None:
                    raise
                return self._prepare_in_place(file, target, new, base)
        return self._syncing(Prepared(file, target, unfinished, base, new, way), handle, name)

    def _prepare_in_place(self, file: str, target: Path, new: bytes, base: bytes) -> Prepared:
        if self.journals is None:
            raise Unwritable(
                f"cannot write {file}: it cannot be exchanged (it is mounted as a single file, or "
                "somebody else's), and there is no state folder for a journal"
            )
        head = {"folder": str(self.folder), "file": file, "old": len(base), "new": len(new)}
        with translated(f"cannot write the journal for {file}"):
            self.journals.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = f"{target.name}-{_digest_of_name(file)}-{secrets.token_hex(4)}"
            journal = self.journals / name
            unfinished = self.journals / f"{name}{UNFINISHED}"
            data = json.dumps(head).encode() + b"\n" + base + new
            handle = steps.begin_new(unfinished, data, None)
        prepared = Prepared(file, target, unfinished, base, new, Way.IN_PLACE)
        return self._syncing(prepared, handle, lambda: journal)

    def _syncing(self, prepared: Prepared, handle: int, name: Callable[[], Path]) -> Prepared:
        """Have what was written synced, beside us if that is to be had."""
        prepared.writing = Writing(handle, start(self.beside, partial(os.fsync, handle)), name)
        return prepared

    def _unfinished(self, target: Path, file: str, is_included: Callable[[str], bool]) -> Path:
        """Where to write new bytes: a name that becomes a temporary's, with their digest."""
        stem = f"{PREFIX}{target.name[:150]}-{_digest_of_name(file)}-{secrets.token_hex(4)}"
        name = f"{stem}-{'0' * _DIGITS}{SUFFIX}"
        around, slash, _ = file.rpartition("/")
        if not is_included(f"{around}{slash}{name}"):
            return target.with_name(f"{stem}{UNFINISHED}")
        if not is_included(name):
            return self.folder / f"{stem}{UNFINISHED}"
        raise Unwritable(
            f"cannot write {file}: an include matches every file of its folder, so the engine "
            "could load a half-written one; make the pattern narrower, such as *.xml"
        )

    def _exchange(self, temporary: Path, target: Path) -> Path:
        return steps.exchange(temporary, target, lambda: _another(temporary))

    def _step(self, each: Prepared, done: list[Prepared]) -> None:
        """One file; it is in done as soon as it has to be undone."""
        if each.way is Way.CREATE:
            try:
                steps.link(each.temporary, each.target)
            except FileExistsError:
                raise Conflict(f"{each.file} is there already, and not in use") from None
            done.append(each)
            return
        try:
            if each.way is Way.IN_PLACE:
                steps.write_over(each.target, each.new or b"", each.base, lambda: done.append(each))
                return
            if each.way is Way.EXCHANGE:
                each.temporary = self._exchange(each.temporary, each.target)
            else:
                each.target.rename(each.temporary)
        except FileNotFoundError:
            raise Busy(f"{each.file} is away at this moment") from None
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self._mount_points.clear()  # something was mounted on it: then in place, next time
            raise Busy(f"{each.file} cannot be exchanged") from None
        done.append(each)
        if not steps.is_quiet(each.temporary, each.base):
            raise Busy(f"{each.file} was changed by somebody else meanwhile")

    def _undo(self, each: Prepared) -> None:
        """Have the old file live again; if somebody saved in between, their newest save."""
        if each.way is Way.EXCHANGE:
            with translated(f"cannot put back {each.file}"):
                with suppress(OSError):  # it goes back all the same
                    saved = each.temporary.read_bytes()
                    if saved != each.base and each.base is not None and each.new is not None:
                        self.put_back_saves.append(PutBack(each.file, each.base, each.new, saved))
                each.temporary = self._exchange(each.temporary, each.target)
                if each.temporary.read_bytes() != each.new:
                    each.temporary = self._exchange(each.temporary, each.target)
        elif each.way is Way.REMOVE:
            with suppress(FileExistsError), translated(f"cannot put back {each.file}"):
                steps.link(each.temporary, each.target)
        elif each.way is Way.CREATE:
            with suppress(FileNotFoundError), translated(f"cannot take back {each.file}"):
                if each.target.samefile(each.temporary) and each.target.read_bytes() == each.new:
                    each.target.unlink()
        elif each.base is not None:
            with translated(f"cannot put back {each.file}"):
                steps.write_over(each.target, each.base, None, lambda: None)


@cache
def _digest_of_name(file: str) -> str:
    return hashlib.sha256(file.encode()).hexdigest()[:_DIGITS]


def _digest_of(file: str, data: bytes) -> str:
    """The digest of a file with its name: if that is all of a configuration, its digest too."""
    return digest({file: data})[:_DIGITS]


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _another(temporary: Path) -> Path:
    """Another name for a temporary of the same publication: recovery knows it, too."""
    match = _OURS.fullmatch(temporary.name)
    if match is None:
        return temporary.with_name(f"{temporary.name}-{secrets.token_hex(4)}{SUFFIX}")
    start, end = match.span(2)
    return temporary.with_name(
        f"{temporary.name[:start]}{secrets.token_hex(4)}{temporary.name[end:]}"
    )


@cache
def _may_give_away() -> bool:
    """Whether a file can be given another owner, and still be set up after that.

    capabilities(7): that takes CAP_CHOWN (bit 0) and CAP_FOWNER (bit 3), which a unit may give.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return effective & 0b1001 == 0b1001
