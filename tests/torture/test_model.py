"""Everything that can happen to a configuration, in any order, against a model of plain bytes.

A rule that does not apply does nothing, instead of having a precondition: at which step a death
comes depends on time, and Hypothesis wants the same rules each time it runs a history.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from omeconf.core import path
from omeconf.core.check import Checked, check
from omeconf.core.edit import Candidate, Edit, Verb, apply
from omeconf.core.merge import merge
from omeconf.core.revision import Origin
from omeconf.core.snapshot import Snapshot, digest
from omeconf.daemon.service import Service
from omeconf.errors import Conflict, Drift, NotFound, OmeconfError, Refused
from omeconf.settings import Settings
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.daemon.test_confirm import Time
from tests.support import Memory, schema
from tests.support.daemon import DEADLINE_S
from tests.torture.faults import Death, Disk, Fault
from tests.torture.test_failing_disk import HOST, left, litter, on_disk

Files = dict[str, bytes]
APPS = ("a", "b", "c", "d", "e")
APP = """				<Application>
					<Name>{0}</Name>
					<Type>live</Type>
					<Publishers>
						<LLHLS>
							<SegmentDuration>6</SegmentDuration> <!-- {0} -->
						</LLHLS>
					</Publishers>
				</Application>
"""
TEXT = f"""<?xml version="1.0" encoding="UTF-8"?>
<Server version="8">
	<Type>origin</Type>
	<IP>*</IP>
	<Bind>
		<Providers>
			<RTMP>
				<Port>1935</Port>
			</RTMP>
		</Providers>
	</Bind>
	<VirtualHosts>
		<VirtualHost include="h/*.xml" />
		<VirtualHost>
			<Name>default</Name>
			<Host><Names><Name>*</Name></Names></Host>
			<Applications>
{"".join(map(APP.format, APPS[:3]))}			</Applications>
		</VirtualHost>
	</VirtualHosts>
</Server>
"""
NEVER = 10.0**9


@dataclass(frozen=True, slots=True)
class Made:
    """A revision, as the model has it."""

    files: Files
    parent: int
    origin: Origin
    reverts: tuple[int, ...] = ()


@dataclass(slots=True)
class Model:
    """What must be on disk and in the history."""

    live: Files
    made: dict[int, Made] = field(default_factory=dict)
    held: bool = False
    since: int | None = None
    """The way back, while something waits to be confirmed."""
    deadline: float = NEVER
    last: int = 0

    @property
    def head(self) -> Made:
        return self.made[self.last]

    @property
    def is_good(self) -> bool:
        return is_good(self.live)

    def make(self, files: Files, origin: Origin, reverts: tuple[int, ...] = ()) -> None:
        """A revision, if the files are not the newest one's already."""
        if self.made and files == self.head.files:
            return
        self.made[self.last + 1] = Made(dict(files), self.last, origin, reverts)
        self.last += 1
        self.live = dict(files)

    def looks(self, now: float) -> None:
        """Somebody looks: what is overdue is taken back, and good edits by hand are adopted."""
        if self.held:
            return
        if self.is_good:
            self.make(self.live, Origin.FILE)
            if self.since is not None and self.deadline <= now:
                self.expires()

    def open_since(self, number: int) -> tuple[int, ...]:
        """What was made over the API since a revision, and is not taken back."""
        newer = {n: each for n, each in self.made.items() if n > number}
        gone = {n for each in newer.values() for n in each.reverts}
        return tuple(
            n
            for n, each in sorted(newer.items())
            if n not in gone and each.origin is not Origin.FILE and not each.reverts
        )

    def expires(self) -> None:
        assert self.since is not None
        numbers = self.open_since(self.since)
        try:
            files = self.without(numbers)
        except Conflict:
            files = self.live  # it stays, and the alarm is raised
        if not is_good(files):
            return
        self.since, self.deadline = None, NEVER
        if files != self.live:
            self.make(files, Origin.ROLLBACK, numbers)

    def without(self, numbers: tuple[int, ...]) -> Files:
        """The files with some revisions taken back."""
        files: dict[str, bytes | None] = dict(self.live)
        for number in reversed(numbers):
            after = self.made[number].files
            before = self.made[self.made[number].parent].files
            for name in before.keys() | after.keys():
                base, one, other = after.get(name), files.get(name), before.get(name)
                if base == one:
                    files[name] = other
                elif base is None or one is None or other is None:
                    if base != other and one != other:
                        raise Conflict(name)
                else:
                    files[name] = merge(base, one, other)
        return {name: data for name, data in files.items() if data is not None}


class Recorded(Memory):
    """Files in memory; every folder is there."""

    def names(self, folder: str) -> tuple[str, ...]:
        return super().names(folder) or ()


def checked(files: Files) -> Checked:
    return check(Snapshot.take(Recorded(files), folder="/etc/ome"), schema())


def is_good(files: Files) -> bool:
    return checked(files).is_good


class Machine(RuleBasedStateMachine):
    """The real thing and the model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.disk = Disk(self.patch)
        self.where = Path(tempfile.mkdtemp(prefix="omeconf-torture-"))
        (self.where / "conf/h").mkdir(parents=True)
        self.time = Time()
        self.model = Model({"Server.xml": TEXT.encode()})
        self.markers = 0
        self.litter: set[str] = set()
        self.write("Server.xml", TEXT.encode())

    @initialize()
    def first_start(self) -> None:
        self.start()
        self.model.looks(self.time.boot)

    # -- the real thing ------------------------------------------------------------------------

    def start(self) -> None:
        repository = Repository(
            self.where / "conf/Server.xml",
            History(self.where / "h.sqlite"),
            schema(),
            clock=lambda: self.time.wall,
            state=self.where / "state",
        )
        self.service = Service(repository, Settings(), self.time.clocks())
        repository.afterwards = lambda work: work()  # so that it is done, too
        self.service.start()
        self.litter.clear()

    def end(self) -> None:
        """Stop, or clear away what a death has left in this process."""
        self.service.confirmation.stop()
        self.service.reloader.stop(DEADLINE_S)
        self.service._writer.shutdown()
        left(self.service.repository)
        self.disk.revive()

    def teardown(self) -> None:
        """Every revision can be had at the end."""
        try:
            if hasattr(self, "service"):
                for number in self.model.made:
                    self.service.repository.at(number)
                self.end()
        finally:
            self.patch.undo()
            shutil.rmtree(self.where, ignore_errors=True)

    def do(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> OmeconfError | None:
        """Have it done; the error with which it was answered."""
        try:
            self.service.submit(work, *args, **kwargs).result(DEADLINE_S)
        except OmeconfError as error:
            return error
        return None

    def write(self, name: str, data: bytes | None) -> None:
        """A save by hand, by renaming."""
        target = self.where / "conf" / name
        if data is None:
            target.unlink()
            self.model.live.pop(name)
            return
        new = self.where / "new"
        new.write_bytes(data)
        new.rename(target)
        self.model.live[name] = data

    # -- over the API --------------------------------------------------------------------------

    def commits(self, edit: Edit, confirm_s: float | None, *, dies_at: int | None = None) -> None:
        """An edit over the API, whatever comes of it."""
        candidate = Candidate(0, (edit,))
        after = self.after(lambda: self.edited(edit), confirm_s)
        if dies_at is None:
            error = self.do(self.service.commit, candidate, confirm_s=confirm_s)
            self.settle(error, after)
        else:
            self.dies(
                dies_at,
                after,
                lambda: self.service.commit(candidate, confirm_s=confirm_s),
                confirm_s,
            )

    def edited(self, edit: Edit) -> Files:
        """The files with an edit, by the pure core; a value by plain text."""
        text = self.model.live["Server.xml"].decode()
        name = edit.path.last.key
        if edit.verb is Verb.MERGE:
            assert isinstance(edit.value, dict)
            value = edit.value["publishers"]["llhls"]["segmentDuration"]
            if f"<Name>{name}</Name>" not in text:
                raise NotFound(str(name))
            place = re.compile(rf"(<Name>{name}</Name>.*?<SegmentDuration>)\d+", re.DOTALL)
            return {**self.model.live, "Server.xml": place.sub(rf"\g<1>{value}", text, 1).encode()}
        before = checked(self.model.live)
        assert before.root is not None
        return dict(apply(before.snapshot, before.root, edit).files)

    def after(
        self, work: Callable[[], Files], confirm_s: float | None, origin: Origin = Origin.API
    ) -> Model | OmeconfError:
        """The model as it is if an edit succeeds, or why it cannot; looks are taken in both."""
        model = self.model
        if model.deadline <= self.time.boot:
            self.look()
        if confirm_s is None and model.since is not None:
            return Conflict("confirm it first")
        model.looks(self.time.boot)
        if model.held or not model.is_good:
            return Drift("", ())
        try:
            files = work()
        except OmeconfError as error:
            return error
        if not is_good(files):
            return Refused("", ())
        then = Model(dict(model.live), dict(model.made), False, model.since, model.deadline)
        then.last = model.last
        if confirm_s is not None:
            then.since = model.last if model.since is None else model.since
            then.deadline = self.time.boot + confirm_s
        then.make(files, origin)
        if model.since is None and then.last == model.last:
            then.since, then.deadline = None, NEVER
        return then

    def settle(self, error: OmeconfError | None, after: Model | OmeconfError) -> None:
        """The answer is what the model says."""
        if isinstance(after, Model):
            assert error is None, error
            self.model = after
        else:
            assert isinstance(error, type(after)), (error, after)

    def dies(
        self,
        at: int,
        after: Model | OmeconfError,
        work: Callable[[], Any],
        confirm_s: float | None,
    ) -> None:
        """Die at a step of something, and start again: it was done, or it was not."""

        def watched() -> None:
            with self.disk.watched(Fault(at)):
                work()

        try:
            error = self.do(watched)
        except Death:
            pass
        else:
            self.settle(error, after)
        self.end()
        self.start()
        found, armed = (
            self.service.repository.view().revision.number,
            self.service.confirmation.armed,
        )
        before = self.model
        if isinstance(after, Model) and found == after.last and found != before.last:
            self.model = after
        elif armed is not None and confirm_s is not None:  # nothing was made, but it is armed
            before.since = before.last if before.since is None else before.since
            before.deadline = armed.boot_deadline
        self.look()

    @rule(
        name=st.sampled_from(APPS),
        value=st.integers(1, 9),
        confirm_s=st.sampled_from([None, None, None, 60.0]),
    )
    def edit(self, name: str, value: int, confirm_s: float | None) -> None:
        """One application gets another value."""
        patch = {"publishers": {"llhls": {"segmentDuration": value}}}
        self.commits(Edit(Verb.MERGE, path.application("default", name), patch), confirm_s)

    @rule(name=st.sampled_from(APPS[3:]), confirm_s=st.sampled_from([None, None, 60.0]))
    def create(self, name: str, confirm_s: float | None) -> None:
        """An application comes."""
        value = {
            "name": name,
            "type": "live",
            "publishers": {"llhls": {"segmentDuration": 6}},
        }
        self.commits(Edit(Verb.CREATE, path.application("default", name), value), confirm_s)

    @rule(name=st.sampled_from(APPS[2:]), confirm_s=st.sampled_from([None, None, 60.0]))
    def delete(self, name: str, confirm_s: float | None) -> None:
        """An application goes."""
        self.commits(Edit(Verb.DELETE, path.application("default", name)), confirm_s)

    @rule(
        name=st.sampled_from(APPS),
        value=st.integers(1, 9),
        at=st.integers(1, 60),
        confirm_s=st.sampled_from([None, 60.0]),
    )
    def crash(self, name: str, value: int, at: int, confirm_s: float | None) -> None:
        """The process dies at some step of an edit, and another one starts."""
        patch = {"publishers": {"llhls": {"segmentDuration": value}}}
        edit = Edit(Verb.MERGE, path.application("default", name), patch)
        self.commits(edit, confirm_s, dies_at=at)

    @rule(
        back=st.integers(0, 12),
        at=st.sampled_from([None, None, *range(1, 100, 3)]),
        confirm_s=st.sampled_from([None, None, 60.0]),
    )
    def rollback(self, back: int, at: int | None, confirm_s: float | None) -> None:
        """The files of some revision that is kept, with a death at some step or without."""
        numbers = sorted(self.model.made)
        number = numbers[-1 - back % len(numbers)]
        wanted = dict(self.model.made[number].files)
        after = self.after(lambda: wanted, confirm_s, Origin.ROLLBACK)
        if at is None:
            error = self.do(self.service.rollback, number, "me", confirm_s=confirm_s)
            self.settle(error, after)
        else:
            self.dies(
                at,
                after,
                lambda: self.service.rollback(number, "me", confirm_s=confirm_s),
                confirm_s,
            )

    @rule()
    def confirm(self) -> None:
        """What waits is kept; if nothing waits, that is an error."""
        error = self.do(self.service.confirm)
        assert (error is None) == (self.model.since is not None)
        self.model.since, self.model.deadline = None, NEVER

    # -- by hand -------------------------------------------------------------------------------

    @rule(port=st.integers(1936, 1999), is_seen=st.booleans())
    def manual_edit(self, port: int, is_seen: bool) -> None:
        """Another value is changed by hand, and seen at once or later."""
        text = self.model.live["Server.xml"].decode()
        self.write("Server.xml", re.sub(r"<Port>\d+", f"<Port>{port}", text).encode())
        if is_seen:
            self.look()

    @rule(is_seen=st.booleans())
    def broken_edit(self, is_seen: bool) -> None:
        """The file is broken by hand."""
        if b"<Nonsense/>" in self.model.live["Server.xml"]:
            return
        data = self.model.live["Server.xml"]
        self.write("Server.xml", data.replace(b"<Bind>", b"<Nonsense/><Bind>"))
        if is_seen:
            self.look()

    @rule()
    def repair(self) -> None:
        """And repaired."""
        if b"<Nonsense/>" not in self.model.live["Server.xml"]:
            return
        self.write("Server.xml", self.model.live["Server.xml"].replace(b"<Nonsense/>", b""))
        self.look()

    @rule(name=st.sampled_from(["one", "two"]))
    def included_file(self, name: str) -> None:
        """An included file comes, or goes."""
        file = f"h/{name}.xml"
        self.markers += 1
        data = f"{HOST.format(name)}<!-- {self.markers} -->\n".encode()
        self.write(file, None if file in self.model.live else data)
        self.look()

    # -- around it -----------------------------------------------------------------------------

    @rule()
    def look(self) -> None:
        """As the watcher does, twice: what is overdue waits for a broken file, and then a turn."""
        assert self.do(self.service.tick) is None
        assert self.do(self.service.tick) is None
        self.model.looks(self.time.boot)

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        """And somebody looks."""
        self.time.passes(seconds)
        self.look()

    @rule()
    def hold(self) -> None:
        """Nothing is adopted from now on."""
        self.look()
        assert self.do(self.service.hold, "by hand") is None
        self.model.looks(self.time.boot)
        self.model.held = True

    @rule()
    def resume(self) -> None:
        """And again."""
        if not self.model.held:
            return
        assert self.do(self.service.resume) is None
        self.model.held = False
        self.look()

    @rule(keep=st.integers(1, 8))
    def prune(self, keep: int) -> None:
        """Old revisions are forgotten; the newest, its parent and what runs are kept."""
        if self.model.since is not None:
            return
        history = self.service.repository.history
        marked = {history.mark("running"), history.mark("healthy"), history.mark("trying")}
        assert self.do(lambda: history.prune(keep=keep, older_than=0.0)) is None
        kept = {r.number for r in history.newest()}
        last = self.model.last
        wanted = {last, self.model.head.parent, *marked, *range(last - keep + 1, last + 1)}
        assert wanted & self.model.made.keys() <= kept <= self.model.made.keys()
        self.model.made = {n: made for n, made in self.model.made.items() if n in kept}

    @rule()
    def restart(self) -> None:
        """Stopped and started."""
        self.end()
        self.start()
        self.look()

    @rule(kind=st.sampled_from(["half", "never recorded", "journal"]))
    def left_lying(self, kind: str) -> None:
        """Temporaries of a process that died; they go at the next start and change nothing."""
        data = self.model.live["Server.xml"].replace(b"<Type>origin", b"<Type>edge")
        whose, token = hashlib.sha256(b"Server.xml").hexdigest()[:16], secrets.token_hex(4)
        name = f".omeconf-Server.xml-{whose}-{token}-{digest({'Server.xml': data})[:16]}"
        place = self.where / "conf" / f"{name}.tmp"
        if kind == "half":
            place, data = place.with_suffix(".part"), data[: len(data) // 2]
        elif kind == "journal":
            place = self.where / f"state/in-place/Server.xml-{whose}-{token}.part"
            place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".tmp" and self.model.live != self.model.head.files:
            return  # see test_a_crash_and_an_edit_by_hand
        place.write_bytes(data)
        self.litter.add(str(place))
        if place.suffix == ".tmp":
            self.restart()

    @invariant()
    def the_disk(self) -> None:
        """The files are the model's, byte for byte, and nothing else lies there."""
        assert on_disk(self.where) == self.model.live
        assert set(litter(self.where)) <= self.litter

    @invariant()
    def the_history(self) -> None:
        """Every revision is there with its files; what was acknowledged is head's ancestor."""
        if not hasattr(self, "service"):
            return
        history = self.service.repository.history
        found = {r.number: (r.parent, r.origin, r.reverts) for r in history.newest()}
        assert {n: each[0] for n, each in found.items()} == {
            n: each.parent for n, each in self.model.made.items()
        }
        for number, made in self.model.made.items():
            assert found[number][1] is made.origin, (number, made.origin)
            assert history.files(number) == made.files, number
            if made.origin is Origin.FILE:  # what a save takes back is a guess, which we follow
                self.model.made[number] = replace(made, reverts=found[number][2])
            else:
                assert found[number][2] == made.reverts
        self.service.repository.at(self.model.last)

    @invariant()
    def the_head(self) -> None:
        """It is what lies on disk, unless that is broken, held, or not seen yet."""
        if not hasattr(self, "service"):
            return
        repository = self.service.repository
        head = repository.view()
        assert head.revision.number == self.model.last
        assert dict(head.checked.snapshot.files) == self.model.head.files
        armed = self.service.confirmation.armed
        assert (armed.since if armed else None) == self.model.since
        assert (repository.held is not None) == self.model.held


def run(examples: int, steps: int, *, is_fixed: bool) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.generate,),
            database=None,
            derandomize=is_fixed,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_few_histories() -> None:
    """Always the same ones."""
    run(12, 20, is_fixed=True)


@pytest.mark.torture
@pytest.mark.timeout(2400)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_many_histories() -> None:
    """Always the same ones, too; `OMECONF_TORTURE_RANDOM=1` for others each time."""
    run(400, 50, is_fixed=not os.environ.get("OMECONF_TORTURE_RANDOM"))
    print("torture: model: 400 histories of 50 steps, 0 lost")
