"""One configuration on disk and its history: the only place where a revision is made.

The files are the truth: whether the newest revision (head) is on disk is found by comparing
digests, never by a note that says so. Everything here runs on one thread, the writer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from omeconf.core.check import Checked, check
from omeconf.core.edit import Candidate, Edit
from omeconf.core.revision import Origin, Revision
from omeconf.core.schema import Schema
from omeconf.core.snapshot import Snapshot, Source
from omeconf.core.trial import Made, edited, judge, judge_includes, made
from omeconf.errors import (
    Busy,
    Conflict,
    Drift,
    NotFound,
    NotReady,
    ReadOnly,
    Refused,
    Stale,
    Unwritable,
)
from omeconf.store.beside import start
from omeconf.store.disk import Folder
from omeconf.store.head import Head, Precondition
from omeconf.store.history import History
from omeconf.store.looking import Looking
from omeconf.store.overtaken import PutBack
from omeconf.store.preparation import Preparation
from omeconf.store.publish import Prepared, Publisher
from omeconf.store.recovery import Recovery
from omeconf.store.sources import Recorded, Replaced
from omeconf.store.undo import undone_by, without

log = logging.getLogger(__name__)
T = TypeVar("T")

TRIES = 5
"""How often a commit begins anew when somebody else writes the file at the same moment."""

LARGE = 1 << 18
"""Bytes from which it pays to check and clear up on other threads."""

HOLD = "hold"
"""The note that says why nothing is adopted."""


class Repository:
    """Snapshots in, revisions out."""

    tries = TRIES

    def __init__(
        self,
        server_xml: Path,
        history: History,
        schema: Schema,
        *,
        clock: Callable[[], float],
        env: Mapping[str, str] | None = None,
        vanished_s: float = 0.0,
        state: Path | None = None,
    ) -> None:
        """The repository of one Server.xml; clock gives seconds since the epoch.

        An included file that was there is not taken to be gone before vanished_s have passed.
        state is a folder for journals of files written in place, and for saves that cannot be
        kept anywhere else.
        """
        self.main = server_xml.name
        self.folder = Folder(server_xml.parent)
        self.looking = Looking(self.folder, self.main, env, clock=clock, vanished_s=vanished_s)
        self._beside = ThreadPoolExecutor(3, thread_name_prefix="beside")
        """Does what only computes, or only waits for the disk, while the writer goes on."""
        self.publisher = Publisher(
            self.folder.path, state / "in-place" if state else None, beside=self._beside
        )
        self.preparation = Preparation(self.folder, self.publisher, self._beside)
        self.afterwards: Callable[[Callable[[], None]], object] = _at_once
        """Has the writer do what nobody waits for."""
        self.history = history
        self.schema = schema
        self.clock = clock
        self.env = env
        self.state = state
        self.head: Head | None = None
        """None until a good configuration was seen."""
        self.drift: Checked | None = None
        """What lies on disk, if it has errors; None while the disk is head."""
        self.unrecorded = ""
        """Why a manual edit could not be recorded; "" if there is none such."""
        self.held: str | None = None
        """Why nothing is adopted; None if it is."""
        self.own: Checked | None = None
        """What lies on disk and is kept on this machine only; None if that is a revision."""
        self.displaced: Head | None = None
        """What the first revision brought here took the place of: the engine may run it still."""
        self._is_recovered = False
        """Whether what a crash cut off is finished or undone: before, nothing is adopted."""
        self._displaced: list[Prepared] = []
        """What lies aside since the newest revision took its place."""
        self._unseen: list[PutBack] = []
        """Saves that were saved over unseen, and are to be put beside what was saved then."""
        self._to_withdraw: int | None = None
        """A revision that was recorded, but neither published nor withdrawn."""

    # -- opening ---------------------------------------------------------------------------

    def open(self) -> None:
        """Lock the folder, finish what a crash cut off, and take up what is on disk.

        Raises Conflict if another daemon manages the folder. What cannot be written now is
        left for the next look.
        """
        self.folder.lock(self.main)
        self._load()
        try:
            self.adopt()
        except Unwritable as error:
            log.error("Cannot record what lies on disk: %s", error)

    def _load(self) -> None:
        """Take head from the history, and finish what a crash cut off."""
        newest = self.history.head()
        self.held = self.history.note(HOLD)
        self.head = None
        if newest is not None:
            try:
                self.head = Head(newest, self.at(newest.number))
            except Unwritable as error:
                log.error("%s: it is set aside, and a new one begins", error)
                self.history.start_anew()
        self._is_recovered = False
        try:
            self._recover()
        except Unwritable as error:
            log.error("%s: nothing is taken up until that works", error)

    def _recover(self) -> None:
        """Finish or undo what a crash cut off. Raises Unwritable; then it must be done again."""
        if self._is_recovered:
            return
        self._run_recovery()
        self._is_recovered = True

    def _run_recovery(self) -> None:
        self._recovery(lambda: self._unrecord(self.view().revision.number)).run(self.head)
        newest = self.history.head()
        if self.head is not None and newest is not None and newest != self.head.revision:
            self.head = Head(newest, self.at(newest.number))

    def _recovery(self, withdraw: Callable[[], None]) -> Recovery:
        return Recovery(
            self.folder, self.publisher, self.history, self._keep, self._would_include, withdraw
        )

    def close(self) -> None:
        """Let the folder and the history go."""
        self._tidy()
        self._beside.shutdown()
        self.folder.unlock()
        self.history.close()

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
        """The configuration of some revision. Raises NotFound, or Unwritable if it is damaged."""
        checked = self._check(self.history.files(number))
        if checked.snapshot.digest != self.history.get(number).digest:
            raise Unwritable(f"the history is damaged at revision {number}: other files come out")
        return checked

    @property
    def missing(self) -> str:
        """Which file is away, so that nothing is taken up or written; "" while none is."""
        return self.looking.missing

    @property
    def disk(self) -> Head | None:
        """What lies on disk, unless somebody is editing it: head."""
        return self.head

    @property
    def runs(self) -> Head | None:
        """What the engine is to run: head."""
        return self.head

    def on_disk(self) -> Snapshot:
        """What lies on disk now. Raises NotFound or Unwritable."""
        return self.looking.read(self.disk.checked.snapshot if self.disk else None)

    # -- changing --------------------------------------------------------------------------

    def adopt(self, author: str = "", *, is_thorough: bool = True) -> Head | None:
        """Record what was changed by hand as a revision; None if nothing was.

        A broken file stays as it is, and in `drift` until it is right again. Raises Unwritable
        if a good one cannot be recorded: then `unrecorded` says so, and the next look tries again.

        is_thorough: whatever the file system says of the files (`Looking.look`).
        """
        self._tidy()
        if self.history.trouble and self.history.reopen():
            self._load()
        try:
            self._recover()
            self._withdraw()
        except Unwritable as error:
            self.unrecorded = str(error)
            raise
        self.publisher.clear()
        if self.held is not None:
            return None
        head = self.disk
        like = head.checked.snapshot if head else None
        snapshot = self.looking.look(like, is_thorough=is_thorough)
        if snapshot is None:
            return None
        checked = check(snapshot, self.schema, head.checked if head else None)
        if checked.is_good:
            self._keep_overtaken(snapshot)
        if not checked.is_good:
            self.drift, self.unrecorded = checked, ""
        else:
            lies = self.disk
            if not lies or not lies.revision.number or (
                snapshot.files != lies.checked.snapshot.files
            ):  # fmt: skip
                self._adopt(checked, author)
            else:
                self._lies(Head(lies.revision, checked))
            self.drift, self.unrecorded = None, ""
        self.looking.saw(snapshot)
        if self.drift is not None:
            return None
        if self._unseen and self.disk is not None:
            self._bring_back(self.disk)
        found = self.disk
        return found if found and (head is None or found.revision != head.revision) else None

    def _lies(self, head: Head) -> None:
        """That is on disk now."""
        self.head = head

    def _keep_overtaken(self, now: Snapshot) -> None:
        """Keep whole saves that were put back, and that somebody saved over without seeing them."""
        saves, self.publisher.put_back_saves = self.publisher.put_back_saves, []
        known = self.disk.checked.snapshot.files if self.disk else {}
        for each in saves:
            later = now.files.get(each.file)
            if not known or later is None or later == each.saved:
                continue
            if each.saved != known.get(each.file):  # else it is a revision already
                if not self._check({**known, each.file: each.saved}).is_good:
                    continue
                self._keep([(each.file, each.saved)])
            if each.is_unseen_by(later):
                self._unseen.append(each)

    def _bring_back(self, head: Head) -> None:
        """Make a revision with what was saved over unseen, too; if somebody is saving, later."""
        unseen, self._unseen = self._unseen, []
        for each in unseen:
            files = head.checked.snapshot.files
            try:
                checked = self._check({**files, each.file: each.beside(files[each.file])})
                judge(checked, head.checked)
                if checked.snapshot.files != files:
                    head = self._make_newest(
                        head, checked, Origin.FILE, "", "edited by hand, and saved over unseen"
                    )
            except (Busy, Unwritable):
                self._unseen.append(each)
            except (Conflict, Refused, KeyError) as error:
                log.error("What was saved to %s was saved over by somebody who did not see it: it "
                          "is in the history, and not on disk: %s", each.file, error)  # fmt: skip

    def _adopt(self, checked: Checked, author: str) -> None:
        """A good state of the disk that is not head becomes head."""
        message = "edited by hand" if self.head else "as found at the first start"
        if self.history.set_aside is not None and self.head is None:
            message = f"as found; the damaged history is kept in {self.history.set_aside.name}"
        reverts: tuple[int, ...] = ()
        if self.head is not None and self.head.revision.number:
            old, number = self.head.checked.snapshot.files, self.head.revision.number
            if not self._unseen:  # else it was made of ours, and of no older one
                reverts = undone_by(self.history, old, number, checked.snapshot.files)
        if reverts:
            names = ", ".join(map(str, reverts))
            message += f"; takes back revision {names}"
            log.warning("A manual save takes back revision %s, made over the API", names)
        try:
            revision = self._record(checked, Origin.FILE, author, message, reverts)
        except Unwritable as error:
            self.unrecorded = str(error)
            if self.head is None:  # better to serve it unrecorded than not at all
                self._lies(Head(unrecorded(checked, self.clock()), checked))
            raise
        self._lies(Head(revision, checked))

    def hold(self, reason: str) -> None:
        """Stop adopting, and refuse edits, until `hold_ends`. Raises Unwritable."""
        self.history.set_note(HOLD, reason)
        self.held = reason

    def hold_ends(self) -> None:
        """Adopt again from the next look on. Raises Unwritable."""
        self.history.set_note(HOLD, None)
        self.held = None

    @property
    def obstacle(self) -> str:
        """Why Server.xml cannot be written now; "" if it seems that it can."""
        return self.publisher.obstacle(self.main)

    def commit(
        self,
        candidate: Candidate,
        origin: Origin = Origin.API,
        *,
        force: bool = False,
        precondition: Precondition | None = None,
        is_fresh: bool = False,
    ) -> Head:
        """Make a revision of a candidate, on disk for good; head itself if nothing changes.

        precondition is asked of each base that the candidate is tried on; it may raise Stale.
        is_fresh: what lies on disk was just looked at (`adopt`).

        Raises Stale (another base), Busy (somebody is writing), Drift (the disk is broken),
        Refused (errors, or warnings the base did not have), what `edit.apply` raises, or
        Unwritable. Nothing has changed then.
        """

        def make(base: Head) -> Made:
            return made(base.checked, candidate.edits, self.schema)

        return self._commit(
            make, candidate, origin, force=force, precondition=precondition, is_fresh=is_fresh
        )

    def put(
        self,
        file: str,
        data: bytes,
        candidate: Candidate,
        origin: Origin = Origin.API,
        *,
        precondition: Precondition | None = None,
    ) -> Head:
        """Make a revision with a whole file as given; raises as `commit` and `put_on` do.

        candidate has no edits; it says who wants it and why.
        """

        def make(base: Head) -> Made:
            checked = self.put_on(base, file, data)
            return Made(checked.snapshot, lambda: checked)

        return self._commit(make, candidate, origin, precondition=precondition)

    def put_on(self, base: Head, file: str, data: bytes) -> Checked:
        """What a whole file would give on a base, without making it.

        Raises NotFound (no such file), ReadOnly (one outside of the folder), or Conflict (it
        includes what lies on disk and was not in use).
        """
        snapshot = base.checked.snapshot
        if file not in snapshot.files:
            raise NotFound(f"{file} is not a file of this configuration")
        if not snapshot.is_inside(file):
            raise ReadOnly(f"{file} lies outside the configuration folder: edit it there")
        checked = self.check_with(file, data)
        judge_includes(checked.snapshot, snapshot)
        return checked

    def check_with(self, file: str, data: bytes, *, is_closed: bool = False) -> Checked:
        """What a check finds if a file were as given, with all others as they lie on disk.

        is_closed: files outside of the folder are only read if they are in use.
        """
        outside = self.view().checked.snapshot.files if is_closed and self.head else ()
        source = Replaced(self.folder, file, data, outside if is_closed else None)
        return self._check_source(source)

    def _commit(
        self,
        make: Callable[[Head], Made],
        candidate: Candidate,
        origin: Origin,
        *,
        force: bool = False,
        precondition: Precondition | None = None,
        is_fresh: bool = False,
    ) -> Head:
        for attempt in range(self.tries):
            base = self.base(candidate.base, is_fresh=is_fresh and not attempt)
            if precondition is not None:
                precondition(base)
            new = make(base)
            if new.snapshot.files == base.checked.snapshot.files:
                judge(new.check(), base.checked, force=force)
                return base
            try:
                return self._make(base, new, candidate, origin, force=force)
            except Busy:
                self.looking.doubt()
                log.info("%s is being written by somebody else: trying again", self.main)
        raise Busy(f"{self.main} is being written by somebody else: try again")

    def _make(
        self, base: Head, new: Made, candidate: Candidate, origin: Origin, *, force: bool
    ) -> Head:
        """Publish what was made of a base, if it may be committed.

        A large one is checked while its bytes are written beside the file; they are thrown away
        if it is refused.
        """
        checking = self.preparation.begin(new.check, is_beside=new.snapshot.size >= LARGE)
        if new.snapshot.size < LARGE:
            judge(checking(), base.checked, force=force)
        try:
            prepared = self.preparation.prepare(base.checked.snapshot, new.snapshot)
        except BaseException:
            judge(checking(), base.checked, force=force)  # a refusal says more
            raise
        try:
            judge(checking(), base.checked, force=force)
        except BaseException:
            self.publisher.discard(prepared)
            raise
        author, message = candidate.author, candidate.message
        return self._publish(
            checking(), prepared, lambda: self._record(checking(), origin, author, message)
        )

    def preview(self, edits: tuple[Edit, ...], precondition: Precondition | None = None) -> Checked:
        """What a candidate would give, without making it. Raises as `commit` does."""
        base = self.base()
        if precondition is not None:
            precondition(base)
        checked = edited(base.checked, edits, self.schema)
        judge(checked, base.checked)
        return checked

    def rollback(
        self,
        number: int,
        author: str = "",
        message: str = "",
        *,
        precondition: Precondition | None = None,
    ) -> Head:
        """Commit the files of an old revision as a new one. Raises as `commit` does."""
        base = self.base()
        if precondition is not None:
            precondition(base)
        checked = self.rolled_back(base, number)
        return self._take_up(base, checked, author, message or f"rollback to revision {number}")

    def rolled_back(self, base: Head, number: int) -> Checked:
        """What a rollback on a base would give, without making it. Raises as it does."""
        return self._may_take_up(base, self.history.files(number))

    def revert(self, numbers: Iterable[int], author: str, message: str) -> Head:
        """Commit the inverse of some revisions' diffs on top of head.

        What anybody else changed since stays. Raises Conflict where that touches the same
        lines, and as `commit` does; then nothing has changed.
        """
        taken_back = tuple(sorted(numbers))
        base = self.base()
        files = without(self.history, taken_back, base.checked.snapshot.files)
        checked = self._may_take_up(base, files)
        return self._take_up(base, checked, author, message, taken_back)

    def _may_take_up(self, base: Head, files: Mapping[str, bytes]) -> Checked:
        checked = self._check(files)
        old, new = base.checked.snapshot, checked.snapshot
        outside = [file for file in self.preparation.to_write(old, new) if not old.is_inside(file)]
        if outside:
            raise Refused(f"{outside[0]} is outside of the configuration folder: not written", ())
        if not checked.is_good:
            raise Refused("that state is not valid any more", checked.errors)
        return checked

    def _take_up(
        self,
        base: Head,
        checked: Checked,
        author: str,
        message: str,
        reverts: tuple[int, ...] = (),
    ) -> Head:
        if checked.snapshot.files == base.checked.snapshot.files:
            return base
        return self._make_newest(base, checked, Origin.ROLLBACK, author, message, reverts)

    def _make_newest(
        self,
        base: Head,
        checked: Checked,
        origin: Origin,
        author: str,
        message: str,
        reverts: tuple[int, ...] = (),
    ) -> Head:
        """Make a revision of what was found good."""
        prepared = self.preparation.prepare(base.checked.snapshot, checked.snapshot)
        return self._publish(
            checked, prepared, lambda: self._record(checked, origin, author, message, reverts)
        )

    def _check(self, files: Mapping[str, bytes]) -> Checked:
        return self._check_source(Recorded(files))

    def _check_source(self, source: Source) -> Checked:
        like = self.head.checked if self.head else None
        taken = Snapshot.take(
            source,
            main=self.main,
            folder=str(self.folder.path),
            env=self.env,
            like=like.snapshot if like else None,
        )
        return check(taken, self.schema, like)

    def _would_include(self, files: Mapping[str, bytes], file: str) -> bool:
        """Whether a configuration of such files would include a file of that name."""
        taken = Snapshot.take(
            Recorded(files), main=self.main, folder=str(self.folder.path), env=self.env
        )
        return taken.would_include(file)

    def base(self, wanted: int = 0, *, is_fresh: bool = False) -> Head:
        """The head that a change can be made on now; wanted: it must have that number.

        is_fresh: what lies on disk was just looked at. What a revision made since then has left
        to be done is done first.
        Raises Drift (files are broken, away or held), Stale, NotReady, or Unwritable.
        """
        if is_fresh:
            self._tidy()
            self._withdraw()
        else:
            self.adopt(is_thorough=False)
        head = self.view()
        if self.held is not None:
            raise Drift(f"nothing is changed while files are edited by hand ({self.held}): "
                        "`omeconf resume` ends that", ())  # fmt: skip
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
        if self.history.trouble:
            raise Unwritable(self.history.trouble)
        if wanted and wanted != head.revision.number:
            raise Stale(f"revision {wanted} is not the newest: that is {head.revision.number}")
        return head

    def _publish(
        self, checked: Checked, prepared: list[Prepared], record: Callable[[], Revision]
    ) -> Head:
        """Bring on disk what is prepared, once it is on record which revision that is."""
        try:
            revision = record()
        except BaseException:
            self.publisher.discard(prepared)
            raise
        try:
            self.publisher.publish(prepared)
        except BaseException:
            # first the record, then the temporaries: a crash in between is finished, or undone
            self._to_withdraw = revision.number
            try:
                self._withdraw()
            finally:
                self._keep(self.publisher.discard(prepared))
            raise
        head = Head(revision, checked)
        self._lies(head)
        self.looking.wrote(checked.snapshot, prepared)
        self._displaced += prepared
        self.afterwards(self._tidy)
        return head

    def _tidy(self) -> None:
        """Remove what a revision displaced, once it is in its place for good: at the latest when
        something else begins.
        """
        displaced, self._displaced = self._displaced, []
        if not displaced:
            return
        if sum(len(each.base or b"") for each in displaced) < LARGE:
            self.publisher.clear(displaced)
        else:  # to give a large file's blocks back takes a while
            start(self._beside, partial(self.publisher.clear, displaced))

    def _withdraw(self) -> None:
        self._keep(self.publisher.undo_rest())
        if self._to_withdraw is not None:
            self._unrecord(self._to_withdraw)
            self._to_withdraw = None

    def _unrecord(self, number: int) -> None:
        """Take off the record that a revision is on disk: it is not."""
        self.history.withdraw(number)

    def _keep(self, saves: Iterable[tuple[str, bytes]]) -> None:
        """Saves of somebody that were displaced, and then overtaken by a newer one.

        Each becomes a revision of its own below what is adopted next; one with errors, which
        cannot be a revision, is kept in the state folder.
        """
        for file, data in saves:
            if self.head is not None:
                files = {**self.head.checked.snapshot.files, file: data}
                checked = self._check(files)
                if checked.is_good:
                    message = "edited by hand, and saved again at once"
                    self.head = Head(self._record(checked, Origin.FILE, "", message), checked)
                    self.looking.saw(None)
                    continue
            if self.state is not None:
                kept = self.folder.rescue(self.state / "rescued", file, data)
                log.error(
                    "A save of %s that was overtaken has errors; it is kept in %s", file, kept
                )

    def _record(
        self,
        checked: Checked,
        origin: Origin,
        author: str,
        message: str,
        reverts: tuple[int, ...] = (),
    ) -> Revision:
        snapshot = checked.snapshot
        is_first = self.head is None or not self.head.revision.number
        before = None if is_first or self.head is None else self.head.checked.snapshot
        return self.history.append(
            parent=0 if self.head is None else self.head.revision.number,
            author=author,
            time=self.clock(),
            message=message,
            origin=origin,
            digest=snapshot.digest,
            files=snapshot.files,
            base=None if before is None else before.files,
            patches=None if before is None else snapshot.patches_from(before),
            reverts=reverts,
        )


def _at_once(work: Callable[[], None]) -> None:
    work()


def unrecorded(checked: Checked, time: float) -> Revision:
    """What stands for a revision while none can be recorded."""
    return Revision(0, 0, "", time, "not recorded yet", Origin.FILE, checked.snapshot.digest)
