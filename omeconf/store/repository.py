"""One configuration on disk and its history: the only place where a revision is made.

The files are the truth: whether the newest revision (head) is on disk is found by comparing
digests, never by a note that says so. Everything here runs on one thread, the writer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from omeconf.core.check import Checked, check
from omeconf.core.edit import Candidate, Edit, apply
from omeconf.core.merge import merge
from omeconf.core.revision import Origin, Revision
from omeconf.core.schema import Schema
from omeconf.core.snapshot import Snapshot
from omeconf.errors import Busy, Drift, NotFound, NotReady, Refused, Stale, Unwritable
from omeconf.store.disk import Folder
from omeconf.store.history import History

log = logging.getLogger(__name__)

TRIES = 5
"""How often a commit begins anew when somebody else writes the file at the same moment."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest revision and its configuration: a value that readers may keep."""

    revision: Revision
    checked: Checked


class Repository:
    """Snapshots in, revisions out."""

    def __init__(
        self,
        server_xml: Path,
        history: History,
        schema: Schema,
        *,
        clock: Callable[[], float],
        env: Mapping[str, str] | None = None,
        vanished_s: float = 0.0,
    ) -> None:
        """The repository of one Server.xml; clock gives seconds since the epoch.

        An included file that was there is not taken to be gone before vanished_s have passed.
        """
        self.main = server_xml.name
        self.folder = Folder(server_xml.parent)
        self.history = history
        self.schema = schema
        self.clock = clock
        self.env = env
        self.vanished_s = vanished_s
        self.head: Head | None = None
        """None until a good configuration was seen."""
        self.drift: Checked | None = None
        """What lies on disk, if it has errors; None while the disk is head."""
        self.missing = ""
        """Which file is away, so that nothing is taken up or written; "" while none is."""
        self._lost_since: float | None = None

    # -- opening ---------------------------------------------------------------------------

    def open(self) -> None:
        """Lock the folder, finish what a crash cut off, and take up what is on disk.

        Raises Conflict if another daemon manages the folder.
        """
        self.folder.lock()
        newest = self.history.head()
        if newest is not None:
            self.head = Head(newest, self.at(newest.number))
            self.recover()
        self.adopt()

    def close(self) -> None:
        """Let the folder and the history go."""
        self.folder.unlock()
        self.history.close()

    def recover(self) -> None:
        """Publish a revision that was recorded when the power went, and clean up.

        A temporary beside a file tells of such a crash. It holds our new bytes (its name has
        their digest), or what they displaced: the base of the edit, or else somebody's work,
        which is put back, and then adopted.
        """
        assert self.head is not None
        head = self.head.checked.snapshot
        revision = self.head.revision
        before = self.history.files(revision.parent) if revision.parent else {}
        for file, leftover in self.folder.leftovers(head.files):
            held, on_disk, base = leftover.new, self._bytes(file), before.get(file)
            if leftover.is_displaced and held not in (base, on_disk):
                log.warning("%s: putting back what was displaced when a crash came", file)
                self.folder.put_back(leftover)
            elif not leftover.is_displaced and held == head.files[file] and on_disk == base:
                log.warning("finishing revision %d, which a crash cut off", revision.number)
                self.folder.put_back(leftover)
            else:
                self.folder.discard([leftover])

    # -- reading ---------------------------------------------------------------------------

    def view(self) -> Head:
        """The newest revision. Raises NotReady while no good configuration is known."""
        if self.head is None:
            violations = self.drift.errors if self.drift else ()
            raise NotReady(
                self.missing or "the configuration has errors, and no good one is known yet",
                violations,
            )
        return self.head

    def at(self, number: int) -> Checked:
        """The configuration of some revision. Raises NotFound."""
        return self._check(self.history.files(number))

    def on_disk(self) -> Snapshot:
        """What lies on disk now. Raises NotFound or Unwritable."""
        like = self.head.checked.snapshot if self.head else None
        return Snapshot.take(
            self.folder, main=self.main, folder=str(self.folder.path), env=self.env, like=like
        )

    # -- changing --------------------------------------------------------------------------

    def adopt(self, author: str = "") -> Head | None:
        """Record what was changed by hand as a revision; None if nothing was.

        A broken file stays as it is, and in `drift` until it is right again.
        """
        try:
            snapshot = self.on_disk()
        except (NotFound, Unwritable) as error:
            self.missing = str(error)
            return None
        self.missing = self._lost(snapshot)
        if self.missing:
            return None
        if self.head is not None and snapshot.digest == self.head.revision.digest:
            self.drift = None
            return None
        if self.drift is not None and snapshot.digest == self.drift.snapshot.digest:
            return None
        checked = check(snapshot, self.schema)
        if not checked.is_good:
            self.drift = checked
            return None
        message = "edited by hand" if self.head else "as found at the first start"
        self.head = Head(self._record(checked, Origin.FILE, author, message), checked)
        self.drift = None
        return self.head

    def commit(
        self, candidate: Candidate, origin: Origin = Origin.API, *, force: bool = False
    ) -> Head:
        """Make a revision of a candidate, on disk for good; head itself if nothing changes.

        Raises Stale (another base), Busy (somebody is writing), Drift (the disk is broken),
        Refused (errors, or warnings the base did not have), what `edit.apply` raises, or
        Unwritable. Nothing has changed then.
        """
        for _ in range(TRIES):
            base = self._base(candidate.base)
            snapshot, root = base.checked.snapshot, base.checked.root
            checked = base.checked
            for edit in candidate.edits:
                assert root is not None, "head is good, so it has a tree"
                snapshot = apply(snapshot, root, edit)
                checked = check(snapshot, self.schema)
                root = checked.root
                if root is None:
                    break
            self.judge(checked, base.checked, force=force)
            if snapshot is base.checked.snapshot:
                return base
            try:
                return self._publish(base, checked, candidate, origin)
            except Busy:
                log.info("%s is being written by somebody else: trying again", self.main)
        raise Busy(f"{self.main} is being written by somebody else: try again")

    def preview(self, edits: tuple[Edit, ...]) -> Checked:
        """What a candidate would give, without making it. Raises as `commit` does."""
        base = self.view()
        checked = base.checked
        for edit in edits:
            assert checked.root is not None
            checked = check(apply(checked.snapshot, checked.root, edit), self.schema)
        self.judge(checked, base.checked)
        return checked

    def rollback(self, number: int, author: str = "", message: str = "") -> Head:
        """Commit the files of an old revision as a new one. Raises as `commit` does."""
        base = self._base(0)
        files = self.history.files(number)
        return self._take_up(base, files, author, message or f"rollback to revision {number}")

    def revert(self, numbers: Iterable[int], author: str, message: str) -> Head:
        """Commit the inverse of some revisions' diffs on top of head.

        What anybody else changed since stays. Raises Conflict where that touches the same
        lines, and as `commit` does; then nothing has changed.
        """
        base = self._base(0)
        files = dict(base.checked.snapshot.files)
        for number in sorted(numbers, reverse=True):
            after = self.history.files(number)
            before = self.history.files(self.history.get(number).parent)
            for file in before.keys() & after.keys() & files.keys():
                files[file] = merge(after[file], files[file], before[file])
        return self._take_up(base, files, author, message)

    def _take_up(self, base: Head, files: Mapping[str, bytes], author: str, message: str) -> Head:
        if files.keys() != base.checked.snapshot.files.keys():
            raise Refused("that state has other files than now: put them back by hand", ())
        checked = self._check(files)
        if not checked.is_good:
            raise Refused("that state is not valid any more", checked.errors)
        if checked.snapshot.digest == base.revision.digest:
            return base
        return self._publish(base, checked, Candidate(0, (), author, message), Origin.ROLLBACK)

    def _check(self, files: Mapping[str, bytes]) -> Checked:
        taken = Snapshot.take(
            _Recorded(files), main=self.main, folder=str(self.folder.path), env=self.env
        )
        return check(taken, self.schema)

    def _lost(self, snapshot: Snapshot) -> str:
        """Files of head that may only be away for a moment; "" when there is none."""
        gone = set(self.head.checked.snapshot.files) - set(snapshot.files) if self.head else set()
        if not gone:
            self._lost_since = None
            return ""
        now = self.clock()
        if self._lost_since is None:
            self._lost_since = now
        if now - self._lost_since >= self.vanished_s:
            return ""
        return f"{', '.join(sorted(gone))}: there is no such file any more"

    def judge(self, checked: Checked, base: Checked, *, force: bool = False) -> None:
        """Raise Refused if a candidate may not be committed on base."""
        bad = [v for v in checked.new_since(base) if not force or v in checked.errors]
        if bad:
            raise Refused(bad[0].message, sorted(bad, key=lambda v: v not in checked.errors))

    def _base(self, wanted: int) -> Head:
        self.adopt()
        head = self.view()
        if self.missing:
            raise Drift(f"{self.missing}: nothing is changed until it is back", ())
        if self.drift is not None:
            count = len(self.drift.errors)
            first = self.drift.errors[0]
            raise Drift(
                f"{first.file} was edited by hand and has {count} error{'s' * (count > 1)}: "
                f"line {first.line}: {first.message}. Repair it, then try again",
                self.drift.errors,
            )
        if wanted and wanted != head.revision.number:
            raise Stale(f"revision {wanted} is not the newest: that is {head.revision.number}")
        return head

    def _publish(self, base: Head, checked: Checked, candidate: Candidate, origin: Origin) -> Head:
        old, new = base.checked.snapshot, checked.snapshot
        changed = old.changed_files(new)
        prepared = self.folder.prepare(
            {file: new.files[file] for file in changed},
            {file: old.files[file] for file in changed},
            new.would_include,
        )
        try:
            revision = self._record(checked, origin, candidate.author, candidate.message)
        except BaseException:
            self.folder.discard(prepared)
            raise
        try:
            self.folder.publish(prepared)
        except BaseException:
            self.history.withdraw(revision.number)
            raise
        self.head = Head(revision, checked)
        return self.head

    def _record(self, checked: Checked, origin: Origin, author: str, message: str) -> Revision:
        snapshot = checked.snapshot
        return self.history.append(
            parent=self.head.revision.number if self.head else 0,
            author=author,
            time=self.clock(),
            message=message,
            origin=origin,
            digest=snapshot.digest,
            files=snapshot.files,
            base=self.head.checked.snapshot.files if self.head else None,
        )

    def _bytes(self, file: str) -> bytes:
        try:
            return self.folder.read(file)
        except (NotFound, Unwritable):
            return b""


class _Recorded:
    """The files of a revision, as a source of snapshots."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def read(self, file: str) -> bytes:
        """The bytes of a file. Raises NotFound."""
        if file not in self.files:
            raise NotFound(f"the revision has no file {file}")
        return self.files[file]

    def names(self, folder: str) -> tuple[str, ...] | None:
        """The files it has in a folder."""
        paths = [PurePosixPath(file) for file in self.files]
        wanted = PurePosixPath(folder or ".")
        return tuple(path.name for path in paths if path.parent == wanted)
