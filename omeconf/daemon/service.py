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
from omeconf.errors import Drift, NotFound, OmeconfError
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

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the repository and bring the engine to head. Raises Conflict, Unwritable."""
        self.submit(self._start).result()

    def _start(self) -> None:
        self.repository.open()
        self._report_drift()
        head = self.repository.head
        running = self._running_at_start()
        self.reloader = Reloader(
            self.settings,
            str(self.repository.folder.path / self.repository.main),
            running,
            on_done=self._wait_for_ending,
            run_id=format(int(self.repository.clock()), "x"),
        )
        self.reloader.start()
        if head is not None and running is not None and running.revision != head.revision:
            self.reloader.request(head)

    def _running_at_start(self) -> Head | None:
        head = self.repository.head
        if head is None:
            return None
        history = self.repository.history
        number = history.mark("running")
        if number is not None:
            try:
                return Head(history.get(number), self.repository.at(number))
            except NotFound:
                log.warning("revision %d, which the engine ran, is not in the history", number)
        self.is_running_assumed = True
        history.set_mark("running", head.revision.number)
        return head

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
                "pending": reloader.pending.as_json() if reloader.pending else None,
                "current": reloader.current.as_json() if reloader.current else None,
                "last": reloader.last.as_json() if reloader.last else None,
            },
            "restartNeeded": reloader.last is not None and reloader.last.state is State.WAITING,
        }

    # -- on the writer ---------------------------------------------------------------------

    def commit(
        self, candidate: Candidate, origin: Origin = Origin.API, *, force: bool = False
    ) -> Committed:
        """Make a revision and have it reloaded. Raises what `Repository.commit` raises."""
        self.tick()
        before = self.repository.head
        head = self._when_settled(lambda: self.repository.commit(candidate, origin, force=force))
        return self._committed(before, head)

    def rollback(self, number: int, author: str, message: str = "") -> Committed:
        """Take up an old revision's files as a new revision, and have it reloaded."""
        before = self.repository.head
        head = self._when_settled(lambda: self.repository.rollback(number, author, message))
        return self._committed(before, head)

    def preview(self, edits: tuple[Edit, ...]) -> Plan:
        """What a commit would restart, without making it."""
        checked = self.repository.preview(edits)
        return plan(changes(self.view().checked.root, checked.root))

    def tick(self) -> Committed | None:
        """Look at the folder, and adopt what was changed by hand; None if nothing was."""
        before = self.repository.head
        adopted = self.repository.adopt()
        self._report_drift()
        if adopted is None:
            return None
        number = adopted.revision.number
        committed = self._committed(before, adopted)
        paths = ", ".join(str(change.path) for change in committed.changes[:5])
        log.info("revision %d: edited by hand: %s", number, paths or "nothing the engine reads")
        return committed

    def revisions(self, limit: int, below: int | None = None) -> list[Revision]:
        """The history, newest first."""
        return self.repository.history.newest(limit=limit, below=below)

    def _committed(self, before: Head | None, head: Head) -> Committed:
        if before is not None and head.revision == before.revision:
            return Committed(head, (), None)
        if before is None:
            return self._first(head)
        found = changes(before.checked.root, head.checked.root)
        for tell in self.on_head:
            tell()
        job = self.reloader.request(head)
        return Committed(head, found, job if plan(found) else None)

    def _first(self, head: Head) -> Committed:
        """The first good configuration: the engine is taken to run it already."""
        self.is_running_assumed = True
        self.reloader.running = head
        self.repository.history.set_mark("running", head.revision.number)
        for tell in self.on_head:
            tell()
        return Committed(head, (), None)

    def _when_settled(self, work: Callable[[], T]) -> T:
        """Do work; if somebody is just saving the file, wait a moment for it to be whole."""
        deadline = time.monotonic() + SETTLING_S
        while True:
            try:
                return work()
            except Drift:
                age = self.repository.folder.age(self.repository.main, time.time())
                is_settling = 0 <= age < self.settings.watch.settle_s or self.repository.missing
                if not is_settling or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

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

    # -- after a job -----------------------------------------------------------------------

    def _wait_for_ending(self, job: Job) -> None:
        """Called by the reload thread: the writer draws the consequences."""
        try:
            self.submit(self._job_ended, job).result()
        except RuntimeError:  # the writer is shut down: the marks are set at the next start
            log.info("reload %s ended while stopping", job.id)

    def _job_ended(self, job: Job) -> None:
        history = self.repository.history
        if job.state is State.HEALTHY:
            self.is_running_assumed = False
            history.set_mark("running", job.last)
            history.set_mark("healthy", job.last)
        elif job.state is State.FAILED and self.settings.reload.on_failure == "revert":
            self._revert(job)

    def _revert(self, job: Job) -> None:
        """Take back what a failed job covered, if it came over the API and is still newest."""
        history = self.repository.history
        head = self.repository.head
        covered = [history.get(number) for number in range(job.first, job.last + 1)]
        is_ours = all(revision.origin is Origin.API for revision in covered)
        if head is None or head.revision.number != job.last or not is_ours:
            log.error("Cannot revert revision %d by itself: it is not ours alone", job.last)
            return
        message = f"revert of {job.first}..{job.last}: the reload failed"
        try:
            reverted = self.repository.rollback(
                covered[0].parent, "omeconf", message, base_number=job.last
            )
        except OmeconfError as error:
            log.error("Cannot revert revision %d: %s", job.last, error)
            return
        job.state = State.REVERTED
        self._committed(head, reverted)
