"""The one line: commit -> apply -> healthy, or revert; and tick, which adopts manual edits.

All of it runs on ONE thread, the writer: callers `submit` and hold a future. Reading the newest
configuration (`view`) needs no thread, since a Head is a value.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from omeconf.core.diff import Change, changes
from omeconf.core.edit import Candidate, Edit
from omeconf.core.plan import Plan, plan
from omeconf.core.revision import Origin, Revision
from omeconf.core.violation import Severity, Violation
from omeconf.daemon.jobs import Job, Reloader, State
from omeconf.errors import Busy, Drift, NotFound, OmeconfError, Unwritable
from omeconf.settings import Settings
from omeconf.store.repository import Head, Repository

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

SETTLING_S = 1.0
"""How long a commit waits for somebody who is just saving the file."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What came of a commit."""

    head: Head
    """The new revision; the old one if nothing changed."""
    changes: tuple[Change, ...]
    job: Job | None
    """The reload that makes the engine run it; None if nothing has to restart."""

    @property
    def advice(self) -> tuple[Violation, ...]:
        """What works as written, but probably not as meant."""
        found = self.head.checked.violations
        return tuple(v for v in found if v.severity is Severity.ADVICE)


class Service:
    """What everyone talks to: the API, the watcher, the command line."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self.repository = repository
        self.settings = settings
        self.reloader: Reloader
        self.is_running_assumed = False
        """Whether what the engine runs is not known but taken to be head (first start)."""
        self.on_head: list[Callable[[], None]] = []
        """Called on the writer when there is a new head."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._reported = ""
        self._missing_since: float | None = None
        self._known: Head | None = None
        """The head that the reloader was last told of."""

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the repository and bring the engine to head. Raises Conflict, Unwritable."""
        self.submit(self._start).result()

    def _start(self) -> None:
        self.repository.open()
        self._report_drift()
        head = self._known = self.repository.head
        running = self._running_at_start()
        trying = self._marked("trying")
        self.reloader = Reloader(
            self.settings,
            str(self.repository.folder.path / self.repository.main),
            running,
            trying,
            on_begin=self._job_begins,
            on_done=self._wait_for_ending,
            run_id=format(int(self.repository.clock()), "x"),
        )
        self.reloader.start()
        if head is not None and running is not None:
            if trying is not None or running.revision != head.revision:
                self.reloader.request(head)
            self._prune(at_once=True)

    def _running_at_start(self) -> Head | None:
        head = self.repository.head
        running = self._marked("running")
        if head is None or running is not None:
            return running
        self.is_running_assumed = True
        self.repository.history.set_marks(running=head.revision.number)
        return head

    def _marked(self, name: str) -> Head | None:
        history = self.repository.history
        number = history.mark(name)
        if number is None:
            return None
        try:
            return Head(history.get(number), self.repository.at(number))
        except NotFound:
            log.warning("revision %d (%s) is not in the history any more", number, name)
            return None

    def stop(self, timeout_s: float = 30.0) -> None:
        """Finish the running commit and reload, within a limit."""
        self.reloader.stop(timeout_s)
        self._writer.shutdown(wait=True)
        self.repository.close()

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have work done on the writer."""
        return self._writer.submit(work, *args, **kwargs)

    # -- reading, from any thread ----------------------------------------------------------

    def view(self) -> Head:
        """The newest revision. Raises NotReady while no good configuration is known."""
        return self.repository.view()

    def status(self) -> dict[str, Any]:
        """How things stand: three revisions apart, drift, reloads. On the writer."""
        repository, reloader = self.repository, self.reloader
        pending, current, last = reloader.pending, reloader.current, reloader.last
        head = repository.head
        drift = repository.drift
        history = repository.history
        return {
            "serverXml": str(repository.folder.path / repository.main),
            "revision": {
                "head": head.revision.number if head else None,
                "disk": head.revision.number
                if head and drift is None and not repository.missing
                else None,
                "running": reloader.running.revision.number if reloader.running else None,
                "healthy": history.mark("healthy"),
            },
            "runningIsAssumed": self.is_running_assumed,
            "missing": repository.missing or None,
            "drift": None
            if drift is None
            else {"violations": [v.as_json() for v in drift.violations]},
            "reload": {
                "pending": pending.as_json() if pending else None,
                "current": current.as_json() if current else None,
                "last": last.as_json() if last else None,
            },
            "restartNeeded": last is not None and last.state is State.WAITING,
        }

    # -- on the writer ---------------------------------------------------------------------

    def commit(
        self, candidate: Candidate, origin: Origin = Origin.API, *, force: bool = False
    ) -> Committed:
        """Make a revision and have it reloaded. Raises what `Repository.commit` raises."""
        return self._follow(lambda: self.repository.commit(candidate, origin, force=force))

    def rollback(self, number: int, author: str, message: str = "") -> Committed:
        """Take up an old revision's files as a new revision, and have it reloaded."""
        return self._follow(lambda: self.repository.rollback(number, author, message))

    def preview(self, edits: tuple[Edit, ...]) -> Plan:
        """What a commit would restart, without making it."""
        checked = self.repository.preview(edits)
        return plan(changes(self.view().checked.root, checked.root))

    def tick(self) -> Committed | None:
        """Look at the folder, and adopt what was changed by hand; None if nothing was.

        Raises Unwritable if that cannot be recorded.
        """
        try:
            self.repository.adopt()
        finally:
            committed = self._take_notice()
            self._report_drift()
        return committed

    def revisions(self, limit: int, below: int | None = None) -> list[Revision]:
        """The history, newest first."""
        return self.repository.history.newest(limit=limit, below=below)

    def _follow(self, work: Callable[[], Head]) -> Committed:
        """Do what moves head, and have it reloaded; also what it adopted before it failed."""
        self.tick()
        try:
            head = self._when_settled(work)
        finally:
            committed = self._take_notice()
            self._report_drift()
        return committed or Committed(head, (), None)

    def _take_notice(self) -> Committed | None:
        """Have head reloaded if it has moved since we last looked; None if it has not."""
        before, head = self._known, self.repository.head
        if head is None or (before is not None and before.revision == head.revision):
            return None
        self._known = head
        for tell in self.on_head:
            tell()
        if before is None:
            return self._first(head)
        found = changes(before.checked.root, head.checked.root)
        if head.revision.origin is Origin.FILE:
            paths = ", ".join(str(change.path) for change in found[:5])
            log.info("revision %d: edited by hand: %s", head.revision.number,
                     paths or "nothing the engine reads")  # fmt: skip
        job = self.reloader.request(head)
        self._prune()
        return Committed(head, found, job if plan(found) else None)

    def _first(self, head: Head) -> Committed:
        """The first good configuration: the engine is taken to run it already."""
        self.is_running_assumed = True
        self.reloader.running = head
        self.repository.history.set_marks(running=head.revision.number)
        return Committed(head, (), None)

    def _prune(self, *, at_once: bool = False) -> None:
        """Forget old revisions, as many as the settings say."""
        keep = self.settings.history
        before = self.repository.clock() - keep.keep_days * 86400
        try:
            self.repository.history.prune(keep=keep.keep, older_than=before, at_once=at_once)
        except Unwritable as error:
            log.warning("Cannot prune the history: %s", error)

    def _when_settled(self, work: Callable[[], T]) -> T:
        """Do work; if somebody is just saving the file, wait a moment for it to be whole."""
        deadline = time.monotonic() + SETTLING_S
        while True:
            try:
                return work()
            except Busy:
                is_settling = True
            except Drift:
                is_settling = self._is_settling()
                if not is_settling:
                    raise
            if time.monotonic() > deadline:
                return work()
            time.sleep(0.02)

    def _is_settling(self) -> bool:
        """Whether what lies on disk may be right in a moment."""
        repository = self.repository
        if repository.missing:
            now = time.monotonic()
            self._missing_since = self._missing_since or now
            return now - self._missing_since < SETTLING_S
        self._missing_since = None
        age = repository.folder.age(repository.main, time.time())
        is_fresh = 0 <= age < self.settings.watch.settle_s
        return is_fresh or repository.folder.is_being_written(repository.main)

    def _report_drift(self) -> None:
        """Log once what is wrong with the files on disk, and when it is right again."""
        drift = self.repository.drift
        seen = drift.snapshot.digest if drift else ""
        if seen == self._reported:
            return
        if drift is not None:
            for violation in drift.errors:
                log.error("Cannot adopt the manual edit: %s", violation)
        elif not self.repository.missing:
            log.info("the files on disk are valid again")
        self._reported = seen

    # -- jobs ------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether the reload thread is at work."""
        return self.reloader.is_alive

    def _job_begins(self, job: Job) -> None:
        """On the reload thread: note what is tried, so that a crash does not forget it."""
        try:
            self.repository.history.set_marks(trying=job.last)
        except Unwritable as error:
            log.warning("Cannot note that revision %d is being reloaded: %s", job.last, error)

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
            self.is_running_assumed = False
            self.repository.history.set_marks(running=job.last, healthy=job.last, trying=None)
        elif job.state is State.FAILED and self.settings.reload.on_failure == "revert":
            self._revert(job)

    def _revert(self, job: Job) -> None:
        """Take back, on top of head, what a failed job covered and came over the API."""
        history = self.repository.history
        covered = [history.get(number) for number in range(job.first, job.last + 1)]
        ours = [revision.number for revision in covered if revision.origin is Origin.API]
        if not ours:
            return
        names = ", ".join(map(str, ours))
        message = f"revert of {names}: the reload failed"
        try:
            self._follow(lambda: self.repository.revert(ours, "omeconf", message))
        except OmeconfError as error:
            log.error("Cannot revert revision %s by itself: %s", names, error)
        else:
            job.state = State.REVERTED
