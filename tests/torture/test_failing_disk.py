"""The disk fails, or the process dies, at step 1, 2, 3 and so on of everything the store does.

After each: the files are the old or the new ones and nothing else, what was acknowledged is
there, the history agrees with the files, the next commit works, and a restart leaves no litter.
"""

from __future__ import annotations

import errno
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from omeconf.core import path
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.errors import OmeconfError
from omeconf.store import steps
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.support import MINIMAL, schema
from tests.torture import record
from tests.torture.faults import ERRNOS, Death, Disk, Fault

OTHER = path.application("default", "other")
HOST = "<VirtualHost><Name>{0}</Name><Host><Names><Name>{0}</Name></Names></Host></VirtualHost>"
INCLUDING = MINIMAL.replace("<VirtualHosts>", '<VirtualHosts><VirtualHost include="h/*.xml"/>')
MANUAL = MINIMAL.replace("1935", "1936")

Files = dict[str, bytes]


def closed(base: Path) -> Repository:
    """A repository on the folder; a file that is gone may be on its way back, as by default."""
    return Repository(
        base / "conf/Server.xml",
        History(base / "h.sqlite"),
        schema(),
        clock=lambda: 7.0,
        state=base / "state",
        vanished_s=2.0,
    )


def opened(base: Path) -> Repository:
    made = closed(base)
    made.open()
    return made


def left(repository: Repository) -> None:
    """What the kernel does for a process that has died."""
    repository.folder.unlock()
    repository.history.close()


def segment(value: int) -> Candidate:
    patch = {"publishers": {"llhls": {"segmentDuration": value}}}
    return Candidate(0, (Edit(Verb.MERGE, path.application("default", "app"), patch),))


NEXT = Candidate(0, (Edit(Verb.MERGE, OTHER, {"providers": {"rtmp": {}}}),))


def on_disk(base: Path) -> Files:
    """All files but our own temporaries."""
    conf = base / "conf"
    found = {str(p.relative_to(conf)): p.read_bytes() for p in conf.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if ".omeconf-" not in name}


def litter(base: Path) -> list[str]:
    """Temporaries and journals."""
    state = base / "state/in-place"
    journals = list(state.iterdir()) if state.is_dir() else []
    return [str(p) for p in (*(base / "conf").rglob(".omeconf-*"), *journals)]


# -- what is done ------------------------------------------------------------------------------


def several(base: Path) -> None:
    """Three files, of which revision 3 has other contents than revision 2."""
    (base / "conf/h").mkdir()
    for name in ("a", "b"):
        (base / f"conf/h/{name}.xml").write_text(HOST.format(name))
    (base / "conf/Server.xml").write_text(INCLUDING)
    opened_and_closed(base)
    for name in ("a", "b"):
        (base / f"conf/h/{name}.xml").write_text(HOST.format(name + "2"))
    (base / "conf/Server.xml").write_text(INCLUDING.replace("1935", "1936"))
    opened_and_closed(base)


def come_and_go(base: Path) -> None:
    """Two files, and one that is not in the other of the last two revisions."""
    (base / "conf/h").mkdir()
    (base / "conf/h/a.xml").write_text(HOST.format("a"))
    (base / "conf/h/b.xml").write_text(HOST.format("b"))
    (base / "conf/Server.xml").write_text(INCLUDING)
    opened_and_closed(base)
    (base / "conf/h/a.xml").unlink()
    (base / "conf/h/b.xml").write_text(HOST.format("b2"))
    (base / "conf/h/c.xml").write_text(HOST.format("c"))
    gone_for_good = opened(base)
    gone_for_good.looking.vanished_s = 0.0
    gone_for_good.adopt()
    left(gone_for_good)


def manual_edit(base: Path) -> None:
    """An edit by hand that nobody has seen yet."""
    opened_and_closed(base)
    (base / "conf/Server.xml").write_text(MANUAL)


def long_history(base: Path) -> None:
    """Six revisions."""
    repository = opened(base)
    for value in (4, 5, 7, 8, 9):
        repository.commit(segment(value))
    left(repository)


def opened_and_closed(base: Path) -> None:
    left(opened(base))


def prune(repository: Repository) -> None:
    repository.history.prune(keep=2, older_than=0.0)


@dataclass(frozen=True, slots=True)
class Case:
    """One piece of work, and where it begins."""

    prepare: Callable[[Path], None]
    work: Callable[[Repository], object]
    in_place: tuple[str, ...] = ()
    """Files that are taken to be mounted by themselves."""
    has_exchange: bool = True
    """Whether the file system can exchange two files."""
    adopts: bool = False
    """Whether the work takes up what lies on disk already."""


CASES = {
    "one file": Case(opened_and_closed, lambda r: r.commit(segment(4))),
    "three files": Case(several, lambda r: r.rollback(1)),
    "files that come and go": Case(come_and_go, lambda r: r.rollback(1)),
    "in place": Case(opened_and_closed, lambda r: r.commit(segment(4)), ("Server.xml",)),
    "in place and exchanged": Case(several, lambda r: r.rollback(1), ("h/a.xml",)),
    "three in place": Case(several, lambda r: r.rollback(1), ("Server.xml", "h/a.xml", "h/b.xml")),
    "no exchange": Case(opened_and_closed, lambda r: r.commit(segment(4)), has_exchange=False),
    "three without exchange": Case(several, lambda r: r.rollback(1), has_exchange=False),
    "adopting": Case(manual_edit, lambda r: r.adopt(), adopts=True),
    "adopting and committing": Case(manual_edit, lambda r: r.commit(segment(4))),
    "pruning": Case(long_history, prune),
}


class Trial:
    """A case, from its beginning, as often as needed."""

    def __init__(self, case: Case, base: Path, patch: pytest.MonkeyPatch) -> None:
        self.case = case
        self.base = base
        self.patch = patch
        template = base / "template"
        (template / "conf").mkdir(parents=True)
        (template / "conf/Server.xml").write_text(MINIMAL)
        self.restrict()
        case.prepare(template)
        self.old = on_disk(template)
        self.is_rollback = case.prepare in (several, come_and_go)
        repository, where = self.begin()
        self.numbers = [r.number for r in repository.history.newest()]
        with self.disk.watched():
            case.work(repository)
        self.steps = list(self.disk.steps)
        self.new = on_disk(where)
        left(repository)

    def restrict(self) -> None:
        """Make the file system as the case wants it, beneath the disk that counts steps."""
        case = self.case
        if case.in_place:
            ends = tuple(f"conf/{name}" for name in case.in_place)
            self.patch.setattr(steps, "is_mount_point", lambda p: str(p).endswith(ends))
        if not case.has_exchange:
            real = steps.rename_with
            self.patch.setattr(
                steps,
                "rename_with",
                lambda a, b, flag: flag != steps.EXCHANGE and real(a, b, flag),
            )
        self.disk = Disk(self.patch)
        self.count = itertools.count()

    def begin(self, start: Path | None = None) -> tuple[Repository, Path]:
        """The repository of a fresh copy, where nothing was looked at since it was opened."""
        where = self.copy(start or self.base / "template")
        if self.case.prepare is not manual_edit:
            return opened(where), where
        live = where / "conf/Server.xml"
        live.write_text(MINIMAL)
        repository = opened(where)
        live.write_text(MANUAL)
        return repository, where

    def copy(self, start: Path) -> Path:
        """The same files elsewhere; a journal says to which folder it belongs."""
        where = self.base / str(next(self.count))
        shutil.copytree(start, where)
        for journal in where.glob("state/in-place/*"):
            old, new = (json.dumps(str(base / "conf")).encode() for base in (start, where))
            journal.write_bytes(journal.read_bytes().replace(old, new))
        return where

    # -- what must hold ------------------------------------------------------------------------

    def fail(self, fault: Fault) -> bool:
        """Work with a fault that is gone afterwards; whether it was met."""
        repository, where = self.begin()
        is_done = self._try(repository, fault)
        has_met = self.disk.has_met
        if has_met:
            self._after_an_error(repository, where, is_done, fault)
        left(repository)
        shutil.rmtree(where)
        return has_met

    def _try(self, repository: Repository, fault: Fault) -> bool:
        with self.disk.watched(fault):
            try:
                self.case.work(repository)
            except OmeconfError:
                return False
        return True

    def _after_an_error(
        self, repository: Repository, where: Path, is_done: bool, fault: Fault
    ) -> None:
        if fault.lasts:
            repository.adopt()  # what could not be undone then is undone now
        found = on_disk(where)
        assert found in (self.old, self.new), self.told(found)
        if is_done and not self.case.adopts:
            assert found == self.new
        elif not fault.lasts:
            assert found == self.old
        self.agree(repository, where)
        if not litter(where):  # else see test_what_could_not_be_removed
            before = repository.view().revision.number
            assert repository.commit(NEXT).revision.number == before + 1
            self.agree(repository, where)
        self.restarted(repository, where)

    def restarted(self, repository: Repository, where: Path) -> None:
        """A restart changes nothing, and leaves no litter."""
        head, found = repository.view().revision, on_disk(where)
        left(repository)
        again = opened(where)
        assert again.view().revision == head
        assert on_disk(where) == found
        assert litter(where) == []
        self.agree(again, where)
        left(again)

    def agree(self, repository: Repository, where: Path) -> None:
        """Head is what lies on disk, every revision can be had, and none is gone."""
        repository.adopt()
        head = repository.view()
        assert repository.drift is None
        assert (repository.missing, repository.unrecorded) == ("", "")
        assert dict(head.checked.snapshot.files) == on_disk(where)
        assert repository.history.head() == head.revision
        numbers = [r.number for r in repository.history.newest()]
        for number in numbers:
            repository.at(number)
        if self.case.work is not prune:
            assert set(self.numbers) <= set(numbers)

    def die(self, at: int) -> bool:
        """Die at a step, and start again; whether it came so far."""
        repository, where = self.begin()
        has_met = self.killed(lambda: self.case.work(repository), at)
        left(repository)
        if has_met:
            self.recovered(where)
        shutil.rmtree(where)
        return has_met

    def killed(self, work: Callable[[], object], at: int) -> bool:
        """Whether work died at a step."""
        try:
            with self.disk.watched(Fault(at)):
                work()
        except Death:
            return True
        finally:
            self.disk.revive()
        return False

    def recovered(self, where: Path) -> None:
        """What a start after deaths must find and leave."""
        again = opened(where)
        found = on_disk(where)
        assert found in (self.old, self.new), self.told(found)
        assert litter(where) == []
        self.agree(again, where)
        before = again.view().revision.number
        assert again.commit(NEXT).revision.number == before + 1
        self.restarted(again, where)

    def told(self, found: Files) -> str:
        """Which of the files are old, new, or neither."""
        names = sorted(found.keys() | self.old.keys() | self.new.keys())
        return ", ".join(
            f"{name}: "
            + ("old" if found.get(name) == self.old.get(name) else "")
            + ("new" if found.get(name) == self.new.get(name) else "")
            or "neither"
            for name in names
        )


ONE_FILE = ("one file", "in place", "adopting", "adopting and committing", "pruning")
SEVERAL = ("three files", "files that come and go", "in place and exchanged", "three in place")
LINKED = ("no exchange", "three without exchange")


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    with pytest.MonkeyPatch.context() as patch:
        yield Trial(CASES[request.param], tmp_path, patch)


def through(trial: Trial, faults: Iterable[Fault]) -> None:
    """Have every fault, and tell which of them did harm."""
    met, harm = 0, []
    for fault in faults:
        try:
            met += trial.fail(fault) if fault.code else trial.die(fault.at)
        except (AssertionError, OmeconfError) as error:
            step = trial.steps[fault.at - 1] if fault.at <= len(trial.steps) else "?"
            harm.append(f"{fault} ({step}): {type(error).__name__}: {str(error)[:300]}")
    record("disk that fails or stops at a step", trial.base.name, met, len(harm))
    assert not harm, "\n".join(harm)
    assert met


def some(trial: Trial) -> range:
    """Some steps, from the first to about the last; `make torture` has all of them."""
    return range(1, len(trial.steps) + 1, 1 + len(trial.steps) // 16)


all_cases = pytest.mark.parametrize("trial", [*ONE_FILE, *SEVERAL, *LINKED], indirect=True)


@pytest.mark.long
@pytest.mark.parametrize("trial", [*ONE_FILE, *SEVERAL, *LINKED[:1]], indirect=True)
def test_one_error(trial: Trial) -> None:
    """At some steps, one of the errnos by turns."""
    through(trial, [Fault(at, ERRNOS[number % 6]) for number, at in enumerate(some(trial))])


@pytest.mark.long
@all_cases
def test_death(trial: Trial) -> None:
    """At some steps."""
    through(trial, [Fault(at) for at in some(trial)])


@pytest.mark.torture
@pytest.mark.timeout(1200)
@all_cases
def test_every_error(trial: Trial) -> None:
    """Every errno, and death, at every step."""
    last = len(trial.steps) + 20  # the undoing of what was done takes more
    through(trial, [Fault(at, code) for at in range(1, last) for code in (0, *ERRNOS)])


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "trial",
    [*ONE_FILE, *SEVERAL, *LINKED],
    indirect=True,
)
def test_errors_that_last(trial: Trial) -> None:
    """Every errno from a step on, until the work has failed; then the cause is gone."""
    last = len(trial.steps) + 1
    through(trial, [Fault(at, code, True) for at in range(1, last) for code in ERRNOS])


@pytest.mark.torture
@pytest.mark.timeout(1200)
@all_cases
def test_death_after_death(trial: Trial) -> None:
    """And again at every step of the start that cleans up after the first one."""
    met, harm = 0, []
    for at in range(1, len(trial.steps) + 1):
        repository, where = trial.begin()
        assert trial.killed(lambda r=repository: trial.case.work(r), at)  # type: ignore[misc]
        left(repository)
        for again in itertools.count(1):
            copy = trial.copy(where)
            second = closed(copy)
            has_met = trial.killed(second.open, again)
            left(second)
            met += has_met
            try:
                trial.recovered(copy)
            except (AssertionError, OmeconfError) as error:
                harm.append(f"{at}, {again}: {type(error).__name__}: {str(error)[:300]}")
            shutil.rmtree(copy)
            if not has_met:
                break
        shutil.rmtree(where)
    record("death, and death again while recovering", trial.base.name, met, len(harm))
    assert not harm, "\n".join(harm)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/Server.xml").write_text(MINIMAL)
    return tmp_path


def test_what_could_not_be_removed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Displaced files that could not be removed never come back over newer revisions."""
    disk = Disk(monkeypatch)
    repository = opened(base)
    with disk.watched(Fault(1, errno.EIO, lasts=True, only="os.unlink")):
        for value in (4, 5, 7, 8):
            repository.commit(segment(value))
    assert disk.has_met
    assert litter(base) != []
    live = on_disk(base)
    assert b">8<" in live["Server.xml"]
    left(repository)
    left(opened(base))
    assert on_disk(base) == live
    assert litter(base) == []


def test_a_folder_that_cannot_be_listed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are not taken for deleted, however long that lasts."""
    several(base)
    now = [7.0]
    repository = opened(base)
    repository.looking.clock = lambda: now[0]
    number = repository.view().revision.number
    disk = Disk(monkeypatch)
    for _ in range(3):
        fault = Fault(1, errno.EMFILE, lasts=True, only="os.scandir")
        with disk.watched(fault), suppress(OmeconfError):
            repository.adopt()
        assert disk.has_met
        now[0] += 3.0
    assert repository.view().revision.number == number
    assert repository.drift is not None
    repository.adopt()
    assert repository.drift is None
    left(repository)


@pytest.mark.parametrize("manual", [MANUAL, "<Server>"], ids=["good", "broken"])
def test_a_crash_and_an_edit_by_hand(
    base: Path, monkeypatch: pytest.MonkeyPatch, manual: str
) -> None:
    """An acknowledged revision stays, if the next one dies before it is recorded and somebody
    edits the file before the restart."""
    disk = Disk(monkeypatch)
    repository = opened(base)
    number = repository.commit(segment(4)).revision.number
    with disk.watched():
        repository.commit(segment(5))
    number += 1
    with pytest.raises(Death), disk.watched(Fault(disk.steps.index("sqlite BEGIN") + 1)):
        repository.commit(segment(7))
    disk.revive()
    left(repository)
    (base / "conf/Server.xml").write_text(manual)
    again = opened(base)
    assert b">5<" in again.history.files(number)["Server.xml"]
    left(again)
