"""The one line: commit -> apply -> healthy, or revert; and tick, which adopts manual edits.

All of it runs on ONE thread, the writer: callers `submit` and hold a future. Reading the newest
configuration (`view`) needs no thread, since a Head is a value.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, repeat
from typing import Any, ParamSpec, TypeVar

from omeconf.core.diff import Change, changes
from omeconf.core.edit import Candidate, Edit
from omeconf.core.plan import Plan, plan
from omeconf.core.revision import ASKED, Origin, Revision
from omeconf.core.trial import judge
from omeconf.daemon import audit, summaries, views
from omeconf.daemon.confirm import Clocks, Confirmation
from omeconf.daemon.engine_side import EngineSide
from omeconf.daemon.events import Events
from omeconf.daemon.grouped import Group
from omeconf.daemon.jobs import Job, Reloader, State
from omeconf.daemon.orphans import Orphans
from omeconf.daemon.results import Committed, Previewed, previewed
from omeconf.daemon.reverting import Reverting
from omeconf.daemon.running import Running
from omeconf.daemon.settling import Settling
from omeconf.errors import Busy, Conflict, Drift, NotFound, OmeconfError, Unwritable
from omeconf.logs import fields
from omeconf.settings import Settings
from omeconf.store.head import Head, Precondition
from omeconf.store.repository import Repository

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

PRUNE_EVERY = 10
"""So many revisions are made, at most, before it is looked whether old ones can go."""

MOST_CHANGES = 100
"""So many changes an event names; the revision has them all."""


class Service:
    """What everyone talks to: the API, the watcher, the command line."""

    def __init__(
        self, repository: Repository, settings: Settings, clocks: Clocks | None = None
    ) -> None:
        self.repository = repository
        self.settings = settings
        self.reloader: Reloader
        self.events = Events(repository.clock)
        self.confirmation = Confirmation(
            repository.history, self.events, clocks or Clocks(), self._wake
        )
        self.vitals: list[Callable[[], bool]] = []
        """Whether what must run besides us is at work."""
        self.watching: Callable[[], dict[str, Any]] | None = None
        """How manual edits are noticed; None if nobody watches."""
        self.running = Running(repository)
        is_known = settings.engine.url or settings.engine.config_dir
        self.engine = EngineSide(settings, self.events) if is_known else None
        self.group: Group | None = None
        """The group that this is a member of; None on a machine of its own."""
        self.reread: Callable[[], dict[str, Any]] = self._cannot_reread
        """Takes up omeconf.toml as it is now, on the writer. Raises BadSettings."""
        self.on_head: list[Callable[[], None]] = []
        """Called on the writer when there is a new head."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        repository.afterwards = self._afterwards
        self.settling = Settling(repository, settings)
        self.reverting = Reverting(
            repository, self._revert, lambda: self.reloader.pending is not None
        )
        self._is_arming = False
        """Whether a commit that waits to be confirmed is under way."""
        self._unasked = 0
        """A revision that the engine need not run yet; what else there is, it must."""
        self._reported = ""
        self._unrecorded = ""
        self._known: Head | None = None
        """The head that was last told of."""
        self._asked: Head | None = None
        """What the reloader was last asked for."""

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the repository and bring the engine to head. Raises Conflict, Unwritable."""
        self.submit(self._start).result()

    def _start(self) -> None:
        began = self.repository.clock()
        self.repository.open()
        self._report_drift()
        audit.places(self.repository, self.settings)
        target = self.repository.runs
        running = self.running.at_start(target)
        self.reloader = Reloader(
            self.settings,
            str(self.repository.folder.path / self.repository.main),
            running,
            self.running.half_done(running),
            on_begin=self._job_begins,
            on_done=self._wait_for_ending,
            run_id=format(int(self.repository.clock()), "x"),
            clock=self.repository.clock,
            engine=self.engine,
            orphans=Orphans(self.repository.state / "hook" if self.repository.state else None),
        )
        self.confirmation.load()
        self._expire_if_due()  # before anything is applied
        self._known = self.repository.head
        target = self._asked = self.repository.runs
        audit.started(self.repository, began)
        if self.engine is not None and target is not None:
            self.engine.lay_out(target)  # before we are ready: the engine is started behind us
        self.reloader.start()
        if target is not None and running is not None:
            if self.reloader.half_done or not _is_same(running, target) or self._is_live:
                self.reloader.request(target, is_replay=self._is_live)
            self._prune(at_once=True)

    @property
    def _is_live(self) -> bool:
        return self.engine is not None and self.engine.live is not None

    def stop(self, timeout_s: float = 30.0) -> None:
        """Finish the running commit and reload, within a limit."""
        self.confirmation.stop()
        self.reloader.stop(timeout_s)
        self._writer.shutdown(wait=True)
        self.repository.close()

    def take_up(self, settings: Settings) -> None:
        """Go on with other settings. On the writer."""
        self.settings = self.reloader.settings = self.settling.settings = settings
        if self.engine is not None:
            self.engine.settings = settings

    def _cannot_reread(self) -> dict[str, Any]:
        raise Conflict("the settings of this daemon come from no file")

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have work done on the writer."""
        return self._writer.submit(work, *args, **kwargs)

    def _afterwards(self, work: Callable[[], None]) -> None:
        """Have the writer do something that no answer waits for."""
        try:
            self.submit(work)
        except RuntimeError:  # it is being shut down
            work()

    # -- reading, from any thread ----------------------------------------------------------

    def view(self) -> Head:
        """The newest revision. Raises NotReady while no good configuration is known."""
        return self.repository.view()

    def status(self) -> dict[str, Any]:
        """How things stand: three revisions apart, drift, reloads. On the writer."""
        found = views.status(self.repository, self.reloader, self.running, self.confirmation)
        return {
            **found,
            "engine": self.engine.as_json() if self.engine else None,
            "watching": self.watching() if self.watching else None,
            "fleet": self.group.as_json() if self.group else None,
        }

    # -- on the writer ---------------------------------------------------------------------

    def commit(
        self,
        candidate: Candidate,
        origin: Origin = Origin.API,
        *,
        force: bool = False,
        confirm_s: float | None = None,
        precondition: Precondition | None = None,
        reload: bool = True,
    ) -> Committed:
        """Make a revision and have it reloaded. Raises what `Repository.commit` raises.

        confirm_s: it is taken back unless `confirm` is called within so many seconds. While that
        is open, another commit with confirm_s extends it, and one without raises Conflict.
        Without reload the engine goes on as it is, until the next one.
        """
        is_fresh = chain((True,), repeat(False))  # `_follow` has looked; a second try must
        return self._armed(
            confirm_s,
            lambda: self.repository.commit(
                candidate,
                origin,
                force=force,
                precondition=precondition,
                is_fresh=next(is_fresh) and not self._unrecorded,
            ),
            reload=reload,
        )

    def put(
        self,
        file: str,
        data: bytes,
        candidate: Candidate,
        origin: Origin = Origin.API,
        *,
        confirm_s: float | None = None,
        precondition: Precondition | None = None,
        reload: bool = True,
    ) -> Committed:
        """Make a revision with a whole file as given, and have it reloaded; as `commit`."""
        return self._armed(
            confirm_s,
            lambda: self.repository.put(file, data, candidate, origin, precondition=precondition),
            reload=reload,
        )

    def retry(self, job_id: str) -> Job:
        """Do a failed or waiting reload again. Raises NotFound, or Conflict if it is well."""
        self.reload(job_id)
        job = self.group.hurry() if self.group is not None else None
        job = job or self.reloader.retry()
        if job is None:
            raise Conflict("nothing has to be reloaded again: the engine runs what it should")
        return job

    def reloads(self) -> list[dict[str, Any]]:
        """Reloads, newest first: those of this run, and those on record from earlier ones."""
        return views.reloads(self.repository.history, self.reloader)

    def reload(self, job_id: str) -> dict[str, Any]:
        """A reload by its id. Raises NotFound."""
        found = next((each for each in self.reloads() if each["id"] == job_id), None)
        if found is None:
            raise NotFound(f"there is no reload {job_id}, or it is too long ago")
        return found

    def rollback(
        self,
        number: int,
        author: str,
        message: str = "",
        *,
        confirm_s: float | None = None,
        precondition: Precondition | None = None,
        reload: bool = True,
    ) -> Committed:
        """Take up an old revision's files as a new revision, and have it reloaded; as `commit`."""
        return self._armed(
            confirm_s,
            lambda: self.repository.rollback(number, author, message, precondition=precondition),
            reload=reload,
        )

    def confirm(self) -> dict[str, Any]:
        """Keep what was committed with confirm_s. Raises Conflict if nothing waits for it."""
        since = self.confirmation.confirm()
        return {"confirmed": True, "since": since}

    def hold(self, reason: str) -> dict[str, Any]:
        """Adopt nothing and refuse edits until `resume`, over restarts. Raises Unwritable."""
        self.tick()
        self.repository.hold(reason)
        self.events.emit("held", reason=reason)
        return {"held": reason}

    def resume(self) -> dict[str, Any]:
        """Adopt again, beginning with what lies on disk now. Raises Unwritable."""
        self.repository.hold_ends()
        self.events.emit("resumed")
        self.tick()
        return {"held": None, "revision": self.view().revision.number}

    def preview(
        self,
        edits: tuple[Edit, ...],
        precondition: Precondition | None = None,
        *,
        confirm_s: float | None = None,
    ) -> Previewed:
        """What a commit would give and restart, without making it. Raises as it would."""
        head = self._would_be_on(confirm_s)
        return previewed(head, self.repository.preview(edits, precondition))

    def preview_put(
        self,
        file: str,
        data: bytes,
        *,
        confirm_s: float | None = None,
        precondition: Precondition | None = None,
    ) -> Previewed:
        """What a whole file would give and restart, without making it. Raises as `put` would."""
        head = self._would_be_on(confirm_s)
        if precondition is not None:
            precondition(head)
        checked = self.repository.put_on(head, file, data)
        judge(checked, head.checked)
        return previewed(head, checked)

    def preview_rollback(self, number: int, *, confirm_s: float | None = None) -> Previewed:
        """What a rollback would give and restart, without making it. Raises as it would."""
        head = self._would_be_on(confirm_s)
        return previewed(head, self.repository.rolled_back(head, number))

    def _would_be_on(self, confirm_s: float | None) -> Head:
        """The head that a commit would be made on. Raises why there would be none."""
        self.tick()
        if confirm_s is None:
            self.confirmation.refuse_if_open()
        return self.settling.when_settled(self.repository.base)

    def tick(self, *, is_thorough: bool = False) -> Committed | None:
        """Look at the folder, and adopt what was changed by hand; None if nothing was.

        is_thorough: by content, whatever the file system says (`Repository.adopt`).
        What cannot be recorded is logged, and tried again at the next look.
        """
        self._expire_if_due()
        try:
            self.repository.adopt(is_thorough=is_thorough)
        except Unwritable as error:
            if self._unrecorded != str(error):
                log.error("Cannot record a manual edit: %s", error)
            self._unrecorded = str(error)
        else:
            self._unrecorded = ""
        committed = self.take_notice()
        self._report_drift()
        if self.reverting.is_waiting and not self._is_waiting() and self.reverting.again():
            self.confirmation.close_if_nothing_is_left()
        return committed

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits for a cause to go away: else look again soon."""
        repository = self.repository
        waits = repository.missing or repository.unrecorded or repository.history.trouble
        return not (waits or self.reverting.is_waiting or self.confirmation.is_due)

    def revisions(self, limit: int, below: int | None = None) -> list[Revision]:
        """The history, newest first."""
        return self.repository.history.newest(limit=limit, below=below)

    def follow(self, work: Callable[[], Head]) -> Committed:
        """Do what moves head, and have it reloaded; also what it adopted before it failed."""
        self.tick()
        try:
            head = self.settling.when_settled(work)
        finally:
            committed = self.take_notice(is_awaited=True)
            self._report_drift()
        return committed or Committed(head, (), None)

    def _armed(
        self, confirm_s: float | None, work: Callable[[], Head], *, reload: bool
    ) -> Committed:
        """Do what makes a revision; with the way back on disk before it, if that is wanted."""
        if not reload and self.group is not None:
            raise Conflict("in a group nothing is committed that is not rolled out: "
                           "`omeconf fleet pause` has rollouts wait")  # fmt: skip
        if not reload:
            return self._confirmable(confirm_s, lambda: self._unapplied(work))
        return self._confirmable(confirm_s, work)

    def _unapplied(self, work: Callable[[], Head]) -> Head:
        """Do what makes a revision that the engine need not run yet."""
        before = self.repository.head
        head = work()
        if before is not None and head.revision.number == before.revision.number + 1:
            self._unasked = head.revision.number  # else a manual edit came before it
        return head

    def _confirmable(self, confirm_s: float | None, work: Callable[[], Head]) -> Committed:
        confirmation = self.confirmation
        if confirm_s is None:
            confirmation.refuse_if_open()
            return self.follow(work)
        self.tick()
        number = self.view().revision.number
        before = confirmation.open(confirm_s, number)
        self._is_arming = True
        try:
            return self.follow(work)
        except BaseException:
            confirmation.arm(before)
            raise
        finally:
            self._is_arming = False
            if before is None and not confirmation.to_take_back(number):
                confirmation.close()  # nothing was changed, so there is nothing to confirm

    def announce(self, revision: Revision) -> None:
        """A revision of the group is about to be made here; on the writer. Raises Unwritable."""
        if self._is_arming:
            self.confirmation.announce(revision)

    def _wake(self) -> None:
        """On the timer's thread: have the writer look."""
        with suppress(RuntimeError):  # the writer is shut down
            self.submit(self.tick)

    def _expire_if_due(self) -> None:
        """Take back what nobody confirmed in time; what cannot be taken back now waits."""
        armed = self.confirmation.armed
        if armed is None or not self.confirmation.is_due or self._is_waiting():
            return
        if self._is_arming:  # what is to be taken back comes about only now
            return
        numbers = self.confirmation.to_take_back(armed.since)
        names = ", ".join(map(str, numbers))
        about = fields(event="revert", reverts=names)
        try:
            if numbers:
                self.repository.revert(
                    numbers, "omeconf", f"revert of {names}: not confirmed in time"
                )
                self.events.emit("confirm", state="expired", since=armed.since, reverts=numbers)
        except (Busy, Drift):
            return
        except Conflict as error:
            log.error("Cannot take back what was not confirmed: %s; it stays", error, extra=about)
        except OmeconfError as error:
            log.error("Cannot take back what was not confirmed: %s", error, extra=about)
            return
        self.confirmation.close_if_possible()

    def _is_waiting(self) -> bool:
        """Whether nothing can be changed now, since the files wait for somebody."""
        repository = self.repository
        return bool(
            repository.drift or repository.missing or repository.unrecorded
            or repository.held is not None or repository.history.trouble
        )  # fmt: skip

    def take_notice(self, *, is_awaited: bool = False, is_told: bool = False) -> Committed | None:
        """Tell of head, and have the engine run what it should, if that has moved; None if head
        has not. is_awaited: somebody waits for what comes of it; is_told: the log has it already.
        """
        before, head = self._known, self.repository.head
        if head is None or (before is not None and before.revision == head.revision):
            self._run_what_is_placed()
            return None
        self._known = head
        for tell in self.on_head:
            tell()
        if before is None:
            if not is_told:
                audit.moved(self.repository, None, head)
            self._run_what_is_placed()
            return Committed(head, (), None)
        found = changes(before.checked.root, head.checked.root)
        if not is_told:
            audit.moved(self.repository, before, head, found)
        summaries.keep(self.repository, before, head, found)
        wanted = plan(found)
        self._tell_of(head, found, wanted)
        job = self._run(head, before, is_awaited=is_awaited and bool(wanted))
        every = max(1, min(PRUNE_EVERY, self.settings.history.keep // 10))
        if head.revision.number % every == 0:
            self.submit(self._prune)  # after the answer
        advice = head.checked.advice_since(before.checked) if found else ()
        return Committed(head, found, job if wanted else None, advice)

    def _run(self, head: Head, before: Head, *, is_awaited: bool) -> Job | None:
        """Have a new head run: here, or by the group; None if the engine need not run it yet."""
        if self.group is not None:
            self._run_what_is_placed()
            self.group.notice()
            return self.group.covering(head.revision.number) if is_awaited else None
        number = head.revision.number
        if number == self._unasked and before.revision.number + 1 == number:
            return None
        self._asked = head
        return self.reloader.request(head)

    def _run_what_is_placed(self) -> None:
        """Have the engine run what it should, if that is not what was asked for last."""
        target, asked = self.repository.runs, self._asked
        if target is None or (asked is not None and (self.group is None or
                                                     _is_same(asked, target))):  # fmt: skip
            return
        self._asked = target
        if asked is None:
            self._first(target)
        else:
            self.reloader.request(target)

    def _tell_of(self, head: Head, found: tuple[Change, ...], wanted: Plan) -> None:
        shown = [change.as_json() for change in found[:MOST_CHANGES]]
        self.events.emit("revision", revision=head.revision.as_json(), changes=shown,
                         changesMore=len(found) - len(shown), plan=wanted.as_json())  # fmt: skip

    def _first(self, head: Head) -> None:
        """The first good configuration: the engine is taken to run it already, unless it has taken
        the place of another.
        """
        displaced = self.repository.displaced
        if displaced is not None:
            self.reloader.half_done.append(displaced)
        is_assumed = self.reloader.running is None and displaced is None
        if self.engine is not None and self.group is not None:
            self.engine.lay_out(head)
        if not is_assumed:
            self.reloader.request(head)
            return
        self.running.is_assumed = True
        self.reloader.running = head
        self.running.note(running=head.revision.number)
        if self.group is not None and self._is_live:
            self.reloader.request(head, is_replay=True)

    def _prune(self, *, at_once: bool = False) -> None:
        """Forget old revisions, as many as the settings say."""
        keep = self.settings.history
        now = self.repository.clock()
        if self.group is not None:  # a clock that is wrong, ours or another's, makes nothing old
            now = self.repository.history.now(now)
        before = now - keep.keep_days * 86400
        try:
            self.repository.history.prune(keep=keep.keep, older_than=before, at_once=at_once)
        except Unwritable as error:
            log.warning("Cannot prune the history: %s", error)

    def _report_drift(self) -> None:
        """Log once what is wrong with the files on disk, and when it is right again."""
        drift = self.repository.drift
        seen = drift.snapshot.digest if drift else ""
        if seen == self._reported:
            return
        if drift is not None:
            audit.refused(drift.errors, self.repository.folder.path)
            self.events.emit("drift", violations=[v.as_json() for v in drift.violations])
        elif not self.repository.missing:
            log.info("the files on disk are valid again")
            self.events.emit("settled")
        self._reported = seen

    # -- jobs ------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether all that must run besides the writer is at work."""
        return self.reloader.is_alive and all(vital() for vital in self.vitals)

    def _job_begins(self, job: Job) -> None:
        """On the reload thread: note what is tried, so that a crash does not forget it."""
        tried = self.repository.history.mark("trying") or 0
        self.running.note(trying=max(job.last, tried))  # a group goes back to lower ones, too
        self._keep(job)

    def _wait_for_ending(self, job: Job) -> None:
        """Called by the reload thread: the writer draws the consequences."""
        try:
            ending = self.submit(self._job_ended, job)
        except RuntimeError:  # the writer is shut down: the next start looks at the marks
            log.info("reload %s ended while stopping", job.id)
        else:
            ending.result()

    def _job_ended(self, job: Job) -> None:
        if job.state is State.HEALTHY:
            self.running.is_assumed = False
            self.running.note(running=job.last, healthy=job.last, trying=None)
            self.reverting.has_run(job.last)
        elif job.state is State.FAILED and self.group is None:
            if self.reverting.take_back(job, self._reverted_origins):
                self.confirmation.close_if_nothing_is_left()
        elif job.state is State.FAILED and self.group is not None and self.group.is_on_trial:
            job.state = State.REVERTED  # it is taken back, and not tried again
        self._keep(job, has_ended=True)
        if self.group is not None:
            self.group.notice()

    def _keep(self, job: Job, *, has_ended: bool = False) -> None:
        """Have a reload on record, and tell of it."""
        shown = job.as_json()
        covers = (job.first, job.last) if has_ended else None
        try:
            self.repository.history.set_job(
                job.id, job.made, json.dumps(shown), covers=covers, outcome=job.state.value
            )
        except Unwritable as error:
            log.warning("Cannot keep reload %s: %s", job.id, error)
        self.events.emit("reload", **shown)

    @property
    def _reverted_origins(self) -> tuple[Origin, ...]:
        """Whose revisions are taken back when their reload fails."""
        limits = self.settings.reload
        asked = ASKED if limits.on_failure == "revert" else ()
        return (*asked, Origin.FILE) if limits.on_failure_manual == "revert" else asked

    def _revert(self, numbers: list[int], message: str) -> None:
        self.follow(lambda: self.repository.revert(numbers, "omeconf", message))


def _is_same(one: Head, other: Head) -> bool:
    """Whether both are one revision, and nothing that somebody keeps besides."""
    is_one = one.revision.number == other.revision.number
    return is_one and one.checked.snapshot.files == other.checked.snapshot.files
