"""One member's repository: the group's revisions, and which of them lies on this disk.

Three things that are one on a machine of its own are apart here: `head` is the newest revision of
the group, whether or not it is on this disk; `placed` is the one that this member takes part with,
which a rollout moves; `disk` is what lies there unless somebody edits it: `placed`, or a manual
edit that is a revision of the group already and waits for its rollout.
"""

from __future__ import annotations

import enum
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from omeconf.core.check import Checked
from omeconf.core.edit import Candidate
from omeconf.core.revision import Origin, Revision
from omeconf.core.schema import Schema
from omeconf.core.snapshot import Snapshot, digest
from omeconf.core.trial import Made, judge
from omeconf.errors import Busy, Conflict, NotFound, NotReady, Unwritable
from omeconf.store.group import Group, Pointer
from omeconf.store.head import Head
from omeconf.store.history import History, Record
from omeconf.store.lineage import GROUP, goes_on
from omeconf.store.repository import HOLD, Repository, unrecorded
from omeconf.store.sources import Layered
from omeconf.store.undo import merged, undone_by, without

log = logging.getLogger(__name__)

DISK, BEFORE = "disk", "disk-before"
"""The marks of the revision that is to be on disk, and of the one that was there before."""
PLACED, PLACED_BEFORE = "placed", "placed-before"
"""The same of the one that this member takes part with."""
DISPLACED = "displaced"
"""The note that has the digests of what was knowingly displaced and is no revision, as JSON."""
CONFIRMED = "confirmed"
"""The mark of the newest revision that is known to have been confirmed by the group."""


class Manual(enum.StrEnum):
    """What becomes of a manual edit."""

    PROPOSE = "propose"
    """It is committed to the group."""
    KEEP = "keep"
    """It stays, and runs, on this member only, and is shown."""
    REPAIR = "repair"
    """The file is put right; what was there is kept in the state folder."""


class Member(Repository):
    """The repository of one member. It begins with what it knows, and works on without etcd."""

    tries = 20

    def __init__(
        self,
        server_xml: Path,
        history: History,
        schema: Schema,
        group: Group,
        *,
        node: str,
        manual: Manual,
        clock: Callable[[], float],
        env: Mapping[str, str] | None = None,
        vanished_s: float = 0.0,
        state: Path,
    ) -> None:
        """As a repository; state must be there, since saves may have to be kept in it."""
        super().__init__(
            server_xml, history, schema, clock=clock, env=env, vanished_s=vanished_s, state=state
        )
        self.group = group
        self.node = node
        self.manual = manual
        self.placed: Head | None = None
        """None until this member has taken up a revision of the group."""
        self.away: Callable[[], str] = str
        """Why the group cannot be asked now; "" if it can, as far as is known."""
        self.barred: Callable[[], str] = str
        """Why nothing may be committed here; "" if it may."""
        self.announce: Callable[[Revision], None] = lambda _: None
        """Told of each revision before it is committed; may raise Unwritable."""
        self._disk: Head | None = None

    @property
    def disk(self) -> Head | None:
        """What lies on disk, unless somebody is editing it."""
        return self._disk

    @property
    def is_refused(self) -> bool:
        """Whether it is the revision on disk itself that has errors for this engine."""
        drift, disk = self.drift, self._disk
        return bool(drift and disk and drift.snapshot.files == disk.checked.snapshot.files)

    @property
    def runs(self) -> Head | None:
        """What the engine is to run: the revision taken part with, with what is kept here only."""
        own, placed = self.own, self.placed  # also asked for on other threads
        return Head(placed.revision, own) if own is not None and placed is not None else placed

    def view(self) -> Head:
        """The newest revision of the group that was heard of. Raises NotReady before the first."""
        if self.head is None and not self.drift and self.history.note(GROUP) is None:
            raise NotReady(f"the group {self.group.name} has not been met yet: is etcd there?")
        return super().view()

    def at(self, number: int) -> Checked:
        """As a repository. Its includes may give other files in the environment of this member:
        then it lacks some, or has errors, and nothing is damaged.
        """
        files = self.history.files(number)
        if digest(files) != self.history.get(number).digest:
            raise Unwritable(f"the history is damaged at revision {number}: other files come out")
        return self._check(files)

    # -- opening ---------------------------------------------------------------------------

    def _run_recovery(self) -> None:
        if self.history.note(GROUP) is None:  # it is not of a group yet: as it was by itself
            super()._run_recovery()
            self._disk = self.placed = self.head
            return
        self._take_marks()
        before = self.history.mark(BEFORE)
        try:
            files = self.history.files(before) if before else {}
        except NotFound:
            files = {}
        recovery = self._recovery(lambda: self._unrecord(0))
        displaced = json.loads(self.history.note(DISPLACED) or "{}")
        recovery.is_expected = lambda left: displaced.get(left.file) == _digest(left.data)
        recovery.run(self._disk, files)
        self._take_marks()

    def _take_marks(self) -> None:
        def marked(name: str) -> Head | None:
            number = self.history.mark(name)
            if not number:
                return None
            if self.head is not None and self.head.revision.number == number:
                return self.head
            return Head(self.history.get(number), self.at(number))

        self._disk, self.placed = marked(DISK), marked(PLACED)

    # -- the group -------------------------------------------------------------------------

    def found(self) -> bool:
        """Begin the group with what is here; not if another was faster.

        If this member was of it before, etcd has lost it all: it is begun again as the same group.
        Raises NotReady if nothing is here.
        """
        own = self.history.note(GROUP)
        if own is None:
            self.adopt()
        number = self.head.revision.number if self.head is not None else 0
        if not number:
            raise NotReady("the group is empty, and there is no valid Server.xml here to begin it")
        stable = self.history.get(self.history.mark(CONFIRMED) or number)
        group_id = own or secrets.token_hex(8)
        return self.group.found(self.history.alone(number), group_id, Pointer.to(stable))

    @property
    def confirmed(self) -> int:
        """The newest revision that is known to have been confirmed by the group; 0 if none is."""
        return self.history.mark(CONFIRMED) or 0

    def note_confirmed(self, number: int) -> None:
        """Remember that a revision was confirmed. Raises Unwritable."""
        self.history.set_marks(**{CONFIRMED: number})

    def join(self, group_id: str, records: Sequence[Record]) -> None:
        """Take over the group's history in place of ours, which is kept. Raises Unwritable.

        records: all that the group has.
        """
        own = self.history.head()
        is_own = own is not None and any(own.identity == r.revision.identity for r in records)
        if own is not None and not is_own:
            self.history.start_anew("before-the-group")
            log.warning("The history from before the group is kept in %s", self.history.set_aside)
            self.history.set_aside = None
            self.head = self.placed = self._disk = None
        self._begin(() if is_own else records, group_id, own.number if own and is_own else None)
        self._learned()
        self._take_marks()
        self.looking.saw(None)

    def _begin(self, records: Sequence[Record], group_id: str, number: int | None) -> None:
        """Have the history be the group's; number: which revision lies here, if one does.

        In one step: else a crash would leave what is taken for a history of our own, and the file
        of this machine for an edit of it.
        """
        self.history.insert(
            records,
            notes={GROUP: group_id, HOLD: self.held},
            marks={DISK: number, BEFORE: number, PLACED: number},
        )

    def learn(self, records: Sequence[Record]) -> None:
        """Take up revisions that others made, above the newest here. Raises Unwritable."""
        newest = self.history.head()
        number = newest.number if newest else 0
        new = [record for record in records if record.revision.number > number]
        if new:
            self.history.insert(new)
            self._learned()

    def catch_up(self) -> None:
        """Ask the group for what is new, and take it up. Raises Unwritable if etcd was restored
        from a backup, and that has not been put right yet.
        """
        newest = self.history.head()
        records = list(self.group.since(max(newest.number - 1, 0) if newest else 0))
        if newest is not None and not goes_on(newest, records):
            raise Unwritable("etcd has other revisions than this member (it was restored from a "
                             "backup?), which is put right in a moment: try again")  # fmt: skip
        self.learn(records)

    def _learned(self) -> None:
        newest = self.history.head()
        if newest is not None:
            self.head = Head(newest, self.at(newest.number))

    def heal(self, head: Pointer) -> Pointer | None:
        """Give back to etcd the next revision that it has lost, after those that were pruned here;
        None if another was faster.
        """
        revision = self.history.after(head.number)
        is_done = self.group.commit(self.history.record(revision.number), head)
        return Pointer.to(revision) if is_done else None

    def yield_to_group(self, group_id: str, records: Sequence[Record]) -> Path | None:
        """Take the group's history, which has another revision of a number that is here, too.

        What was here is kept; gives where. What lies on disk stays until there is something else.
        """
        old = self._disk
        self.history.start_anew("forked")
        aside, self.history.set_aside = self.history.set_aside, None
        self.head = self.placed = self._disk = None
        was = old.revision.digest if old is not None else ""
        same = (r.revision.number for r in reversed(records) if r.revision.digest == was)
        self._begin(records, group_id, next(same, None))
        self._learned()
        self._take_marks()
        self.looking.saw(None)
        return aside

    # -- changing --------------------------------------------------------------------------

    def base(self, wanted: int = 0, *, is_fresh: bool = False) -> Head:
        """As a repository; and it must have met its group."""
        if self.history.note(GROUP) is None:
            raise NotReady(f"the group {self.group.name} has not been met yet: is etcd there?")
        if why := self.barred():
            raise Conflict(f"nothing is committed here: {why}")
        return super().base(wanted, is_fresh=is_fresh)

    def _make(
        self, base: Head, new: Made, candidate: Candidate, origin: Origin, *, force: bool
    ) -> Head:
        checked = new.check()
        judge(checked, base.checked, force=force)
        return self._make_newest(base, checked, origin, candidate.author, candidate.message)

    def _make_newest(
        self,
        base: Head,
        checked: Checked,
        origin: Origin,
        author: str,
        message: str,
        reverts: tuple[int, ...] = (),
    ) -> Head:
        """Make a revision of the group. Raises Busy if another member was faster, and Conflict if
        this one sees only some of the base's files.
        """
        number, snapshot, before = base.revision.number, checked.snapshot, base.checked.snapshot
        if before.digest != base.revision.digest:
            raise Conflict(f"revision {number} has files that are not included in the environment "
                           "of this member: change it at the one where it was made")  # fmt: skip
        revision = Revision(
            number + 1, number, author, self.clock(), message, origin, snapshot.digest, "", reverts
        )
        files, old = snapshot.files, before.files
        record = Record.of(revision, files, old, snapshot.patches_from(before))
        self.announce(revision)
        if not self.group.commit(record, Pointer.to(base.revision)):
            self.catch_up()
            raise Busy(f"another member made revision {number + 1} at the same moment: try again")
        try:
            self.learn([record])
        except Unwritable as error:  # it is made all the same: the history gets it later
            log.error("Revision %d is the group's, and not on this disk yet: %s", number + 1, error)
        self.head = Head(revision, checked)
        return self.head

    def take_back(
        self, numbers: Sequence[int], author: str, message: str, *, back: int, newest: int
    ) -> Head:
        """Commit the inverse of some revisions' diffs, however it stands with this member's disk;
        as long as newest is head: the files of revision back, before which nothing of them was.

        Raises Conflict where newer edits touch the same lines, Refused if it had errors then that
        it does not have now, Busy, and Unwritable.
        """
        base, taken_back = self.view(), tuple(sorted(numbers))
        if base.revision.number == newest:
            files = self.history.files(back)
        else:
            files = without(self.history, taken_back, base.checked.snapshot.files)
        if files == base.checked.snapshot.files:
            return base
        checked = self._check(files)
        judge(checked, base.checked, force=True)
        return self._make_newest(base, checked, Origin.ROLLBACK, author, message, taken_back)

    def check_with(self, file: str, data: bytes, *, is_closed: bool = False) -> Checked:
        """As a repository; while head is not on disk, with all other files as head has them."""
        if self.head is None or self.head is self._disk:
            return super().check_with(file, data, is_closed=is_closed)
        files = self.head.checked.snapshot.files
        outside = files if is_closed else None
        return self._check_source(Layered({**files, file: data}, self.folder, outside))

    # -- this member's disk ----------------------------------------------------------------

    def check_here(self, number: int) -> Checked:
        """What this engine and its environment make of a revision, if it were on this disk.

        Raises Conflict if it cannot be brought there: of files outside of the folder others lie
        here, or there are files here that would be included.
        """
        files = self.history.files(number)
        checked = self._check(files)
        for file in files:
            if not checked.snapshot.is_inside(file) and self._bytes(file) != files[file]:
                raise Conflict(f"{file} lies outside of the folder, and is another one here")
        known = self._disk.checked.snapshot.files if self._disk else {}
        extra = sorted(self._layered(files).files.keys() - files.keys() - known.keys())
        if extra and self._disk is not None:
            raise Conflict(f"{extra[0]} lies here, is no part of it, and would be included")
        return checked

    def _layered(self, files: Mapping[str, bytes]) -> Snapshot:
        return Snapshot.take(
            Layered(files, self.folder), main=self.main, folder=str(self.folder.path), env=self.env
        )

    def _bytes(self, file: str) -> bytes | None:
        try:
            return self.folder.read(file)
        except (NotFound, Unwritable):
            return None

    def place(self, number: int) -> Head:
        """Bring a revision on disk, and take part with it.

        What lies there before the first one is kept in the state folder, if it is something else;
        so is what an older one left in the place of a new file.
        Raises Busy if somebody is editing the files, Conflict as `check_here`, and Unwritable.
        Nothing has changed then.
        """
        checked = self.check_here(number)
        new, known = checked.snapshot, self._disk.checked.snapshot if self._disk else None
        old = self._rescued(new) if known is None else self._with_what_is_left(known, new)
        head = Head(self.history.get(number), checked)
        is_other = self._disk is None and any(
            new.is_inside(file) and data != new.files.get(file) for file, data in old.files.items()
        )
        self._bring(head, old, placed=number)
        if is_other:
            found = self._check(old.files)
            self.displaced = Head(unrecorded(found, self.clock()), found)
        self.placed = head
        return head

    def _bring(self, head: Head, old: Snapshot, *, placed: int | None) -> None:
        """Have a revision on disk in place of what lies there, and know it after a crash."""
        self.folder.make_places(head.checked.snapshot.files)
        prepared = self.preparation.prepare(old, head.checked.snapshot)

        def record() -> Revision:
            self._mark(head.revision.number, placed, old)
            return head.revision

        self._publish(head.checked, prepared, record)

    def _mark(self, disk: int | None, placed: int | None, old: Snapshot | None = None) -> None:
        """Note what is to be on disk, and what was there before; old: if that may be no revision.

        What a crash leaves of that must not be taken for an edit of what is to be there.
        """
        known = self._disk.checked.snapshot.files if self._disk else {}
        found = old.files if old is not None else {}
        displaced = {f: _digest(data) for f, data in found.items() if data != known.get(f)}
        self.history.insert(
            (),
            notes={DISPLACED: json.dumps(displaced) if displaced else None},
            marks={
                DISK: disk,
                PLACED: placed,
                BEFORE: self._disk.revision.number if self._disk else None,
                PLACED_BEFORE: self.placed.revision.number if self.placed else None,
            },
        )

    def _unrecord(self, number: int) -> None:
        if self.history.note(GROUP) is None:
            super()._unrecord(number)
            return
        mark = self.history.mark
        self.history.set_marks(**{DISK: mark(BEFORE), PLACED: mark(PLACED_BEFORE)})

    def _lies(self, head: Head) -> None:
        if self.history.note(GROUP) is None:
            self.head = self.placed = head
        elif self.head is not None and self.head.revision == head.revision:
            self.head = head
        if self.placed is not None and self.placed.revision == head.revision:
            self.placed = head
        self._disk, self.own = head, None
        self.drift, self.unrecorded = None, ""

    def _rescued(self, new: Snapshot) -> Snapshot:
        """What lies on disk where a revision is to be; what it does not have is kept first."""
        wanted = {*new.files, *self._layered(new.files).files}
        found = {file: self._bytes(file) for file in wanted if new.is_inside(file)}
        there = {file: data for file, data in found.items() if data is not None}
        outside = {file: data for file, data in new.files.items() if not new.is_inside(file)}
        self._keep((file, data) for file, data in there.items() if new.files.get(file) != data)
        return Snapshot({**there, **outside}, main=self.main, folder=str(self.folder.path))

    def _with_what_is_left(self, known: Snapshot, new: Snapshot) -> Snapshot:
        """What is known to be on disk, and what lies besides where a revision has a new file: that
        is kept first.
        """
        come = (f for f in new.files.keys() - known.files.keys() if new.is_inside(f))
        found = ((file, self._bytes(file)) for file in come)
        left = {f: data for f, data in found if data is not None and data != new.files[f]}
        self._keep(left.items())
        if not left:
            return known
        files = {**known.files, **left}
        return Snapshot(files, main=self.main, folder=str(self.folder.path))

    def _keep(self, saves: Iterable[tuple[str, bytes]]) -> None:
        if self.history.note(GROUP) is None:
            super()._keep(saves)
            return
        for file, data in saves:
            assert self.state is not None
            kept = self.folder.rescue(self.state / "rescued", file, data)
            log.warning("What lay in %s is kept in %s", file, kept)

    def _bring_back(self, head: Head) -> None:
        if self.history.note(GROUP) is None:
            super()._bring_back(head)
        else:  # it is kept in the state folder
            self._unseen = []

    # -- manual edits ----------------------------------------------------------------------

    def adopt(self, author: str = "", *, is_thorough: bool = True) -> Head | None:
        """As a repository; what becomes of a manual edit is a setting."""
        found = super().adopt(author, is_thorough=is_thorough)
        if self.drift is not None and is_thorough and self.manual is Manual.REPAIR and self._disk:
            self._repair(self.drift, self._disk)
        return found

    def _adopt(self, checked: Checked, author: str) -> None:
        if self.history.note(GROUP) is None:
            super()._adopt(checked, author)
        elif self._disk is None:
            pass  # the group's comes, and this is kept then
        elif self.manual is Manual.KEEP:
            self.own = checked
        elif self.manual is Manual.REPAIR:
            self._repair(checked, self._disk)
        else:
            try:
                if why := self.away():
                    raise Unwritable(f"a manual edit cannot go to the group yet: {why}")
                self._adopt_for_all(checked, self._disk, author)
            except Unwritable as error:
                self.unrecorded = str(error)
                raise
            except Conflict as error:
                self.unrecorded = f"a manual edit cannot go to the group: {error}"
                raise Unwritable(self.unrecorded) from error

    def _adopt_for_all(self, checked: Checked, disk: Head, author: str) -> None:
        """Commit a manual edit to the group, on top of what the group has by now."""
        for _ in range(self.tries):
            head = self.view()
            wanted = self._on_top(checked, disk, head)
            reverts: tuple[int, ...] = ()
            if wanted.snapshot.files == head.checked.snapshot.files:
                made = head  # it was committed before a crash
                break
            old, new = disk.checked.snapshot.files, checked.snapshot.files
            if head.revision == disk.revision:
                reverts = undone_by(self.history, old, head.revision.number, new)
            message = f"edited by hand on {self.node}"
            try:
                made = self._make_newest(head, wanted, Origin.FILE, author, message, reverts)
                break
            except Busy:
                continue
        else:
            raise Busy("other members commit all the time")
        placed = self.placed.revision.number if self.placed else None
        if made.checked.snapshot.files == checked.snapshot.files:
            self._mark(made.revision.number, placed)
            self._lies(made)
        else:
            self._bring(made, checked.snapshot, placed=placed)

    def _on_top(self, checked: Checked, disk: Head, head: Head) -> Checked:
        """A manual edit of what was on disk, on top of head. Raises Conflict."""
        if head.revision == disk.revision:
            return checked
        base, one = disk.checked.snapshot.files, head.checked.snapshot.files
        other = checked.snapshot.files
        files: dict[str, bytes] = {}
        for file in sorted(base.keys() | one.keys() | other.keys()):
            data = merged(file, base.get(file), one.get(file), other.get(file))
            if data is not None:
                files[file] = data
        found = self._check(files)
        if not found.is_good:
            raise Conflict(f"with revision {head.revision.number} it has errors: {found.errors[0]}")
        return found

    def _repair(self, found: Checked, disk: Head) -> None:
        """Put the files right; what was there is kept."""
        there, wanted = found.snapshot, disk.checked.snapshot
        self._keep(
            (file, data)
            for file, data in there.files.items()
            if there.is_inside(file) and data != wanted.files.get(file)
        )
        number = self.placed.revision.number if self.placed else None
        try:
            self._bring(disk, there, placed=number)
        except Busy:
            self.looking.doubt()
            return
        self.drift = None
        log.warning("A manual edit was put right: revision %d is on disk", disk.revision.number)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def leave(history: History) -> bool:
    """Have a history be a machine's own again, if it was a group's; whether it was.

    What is made from now on is none of the group's: should this machine join it again, that does
    not go to the others. Raises Unwritable.
    """
    if history.trouble or history.note(GROUP) is None:
        return False
    history.set_note(GROUP, None)
    history.set_marks(**dict.fromkeys((DISK, BEFORE, PLACED, PLACED_BEFORE, CONFIRMED)))
    return True
