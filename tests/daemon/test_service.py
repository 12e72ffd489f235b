from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omeconf.core import path
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.core.revision import Origin
from omeconf.daemon.jobs import State
from omeconf.daemon.results import Committed
from omeconf.daemon.service import Service
from omeconf.errors import Drift, Refused, Unwritable
from omeconf.settings import Health, HistorySettings, Hook, Reload, Settings
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.support import MINIMAL, schema
from tests.support.daemon import DEADLINE_S, wait_for

APP = path.application("default", "app")
OTHER = path.application("default", "other")
Make = Callable[..., Service]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A started service on a minimal configuration; its hook appends to the file `calls`."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/Server.xml").write_text(MINIMAL)
    running: list[Service] = []

    def start(script: str = "", **options: Any) -> Service:
        line = f'echo "$OMECONF_ACTION $OMECONF_APP $OMECONF_REVISION" >> {tmp_path}/calls'
        hook = Hook(run=("sh", "-c", f"{line}; {script or 'true'}"), retries=0)
        settings = dataclasses.replace(Settings(hooks=(hook,)), **options)
        repository = Repository(
            tmp_path / "conf/Server.xml", History(tmp_path / "h"), schema(), clock=lambda: 1.0
        )
        service = Service(repository, settings)
        service.start()
        running.append(service)
        return service

    yield start
    for service in running:
        service.stop(1)


def segment(value: int, where: path.Path = APP) -> Candidate:
    patch = {"publishers": {"llhls": {"segmentDuration": value}}}
    return Candidate(0, (Edit(Verb.MERGE, where, patch),))


def commit(service: Service, candidate: Candidate) -> Committed:
    return service.submit(service.commit, candidate).result(DEADLINE_S)


def ended(committed: Committed) -> State:
    assert committed.job is not None
    return committed.job.done.result(DEADLINE_S).state


def calls(folder: Path) -> list[str]:
    file = folder / "calls"
    return file.read_text().splitlines() if file.exists() else []


def live(folder: Path) -> str:
    return (folder / "conf/Server.xml").read_text()


def test_commit_then_reload(make: Make, tmp_path: Path) -> None:
    """The hook runs for what changed, then what runs is what is newest."""
    service = make()
    assert ended(commit(service, segment(4))) is State.HEALTHY
    assert calls(tmp_path) == ["restart app 2"]
    status = service.submit(service.status).result(DEADLINE_S)
    assert status["revision"] == {"head": 2, "disk": 2, "running": 2, "healthy": 2}
    assert not status["runningIsAssumed"]


def test_first_start_restarts_nothing(make: Make, tmp_path: Path) -> None:
    """The engine is taken to run what is there, and that is said."""
    service = make()
    status = service.submit(service.status).result(DEADLINE_S)
    assert status["runningIsAssumed"]
    assert status["revision"]["running"] == 1
    assert calls(tmp_path) == []


def test_changes_while_a_reload_runs_are_merged(make: Make, tmp_path: Path) -> None:
    """At most one job runs and one waits; the last state is what the engine comes to run."""
    gate = tmp_path / "gate"
    service = make(f"while [ ! -e {gate} ]; do sleep 0.01; done")
    first = commit(service, segment(4))
    wait_for(lambda: calls(tmp_path), "the first call")
    others = [commit(service, segment(n, where)) for n, where in ((5, APP), (7, OTHER), (8, APP))]
    gate.touch()
    assert [ended(c) for c in (first, *others)] == [State.HEALTHY] * 4
    assert len({id(c.job) for c in others}) == 1
    assert calls(tmp_path) == ["restart app 2", "restart app 5", "restart other 5"]


def test_going_back_before_a_reload_restarts_nothing(make: Make, tmp_path: Path) -> None:
    """If the newest is what runs already, there is nothing to do."""
    gate = tmp_path / "gate"
    service = make(f"while [ ! -e {gate} ]; do sleep 0.01; done")
    first = commit(service, segment(4, OTHER))
    wait_for(lambda: calls(tmp_path), "the first call")
    commit(service, segment(4))
    back = commit(service, segment(6))
    gate.touch()
    assert [ended(first), ended(back)] == [State.HEALTHY] * 2
    assert calls(tmp_path) == ["restart other 2"]


def test_edits_on_top_of_one_that_failed(make: Make, tmp_path: Path) -> None:
    """Of the same line: the newer one's reload decides for both, and nobody waits for ever."""
    gate = tmp_path / "gate"
    service = make(f"while [ ! -e {gate} ]; do sleep 0.01; done; [ $OMECONF_REVISION != 2 ]")
    first = commit(service, segment(4))
    wait_for(lambda: calls(tmp_path), "the first call")
    second = commit(service, segment(5))
    gate.touch()
    assert [ended(first), ended(second)] == [State.HEALTHY] * 2
    assert service.view().revision.number == 3
    assert calls(tmp_path) == ["restart app 2", "restart app 3"]


def test_retry_while_a_newer_reload_runs(make: Make, tmp_path: Path) -> None:
    """The engine is not taken back to what failed: the newer one covers it."""
    gate = tmp_path / "gate"
    script = f"[ $OMECONF_REVISION != 2 ] && while [ ! -e {gate} ]; do sleep 0.01; done"
    keep = dataclasses.replace(Settings().reload, on_failure="keep", backoff_s=3600.0)
    service = make(script, reload=keep)
    assert ended(commit(service, segment(4))) is State.FAILED
    last = service.reloader.last
    assert last is not None
    second = commit(service, segment(5))
    wait_for(lambda: len(calls(tmp_path)) == 2, "the second call")
    assert service.submit(service.retry, last.id).result(DEADLINE_S) is second.job
    gate.touch()
    assert ended(second) is State.HEALTHY
    assert calls(tmp_path) == ["restart app 2", "restart app 3"]
    assert service.reloader.pending is None


def test_a_failed_reload_is_reverted(make: Make, tmp_path: Path) -> None:
    """What came over the API is taken back, and the engine told of the way back."""
    service = make('[ "$OMECONF_REVISION" != 2 ]')
    assert ended(commit(service, segment(4))) is State.REVERTED
    assert live(tmp_path) == MINIMAL
    head = service.view().revision
    assert (head.number, head.origin.value) == (3, "rollback")
    wait_for(lambda: service.reloader.last and service.reloader.last.last == 3)
    assert calls(tmp_path) == ["restart app 2", "restart app 3"]


def test_manual_edits_are_not_reverted(make: Make, tmp_path: Path) -> None:
    """A person's edit stays, though the reload failed; a retry carries it out."""
    flag = tmp_path / "well"
    service = make(f"[ -e {flag} ]")
    changed = MINIMAL.replace(">6<", ">4<")
    (tmp_path / "conf/Server.xml").write_text(changed)
    adopted = service.submit(service.tick).result(DEADLINE_S)
    assert adopted is not None
    assert ended(adopted) is State.FAILED
    assert live(tmp_path) == changed
    flag.touch()
    retried = service.reloader.retry()
    assert retried is not None
    assert retried.done.result(DEADLINE_S).state is State.HEALTHY
    assert calls(tmp_path) == ["restart app 2", "restart app 2"]


def test_without_hooks_a_restart_is_needed(make: Make) -> None:
    """Nobody is there to do it, so it is shown until somebody has."""
    service = make(hooks=())
    assert ended(commit(service, segment(4))) is State.WAITING
    status = service.submit(service.status).result(DEADLINE_S)
    assert status["restartNeeded"]
    assert status["revision"]["running"] == 1


def test_health_decides(make: Make, tmp_path: Path) -> None:
    """A hook that says all is well is not believed over the health check."""
    service = make(health=Health(run=("sh", "-c", "echo sick; exit 1"), after_s=0))
    committed = commit(service, segment(4))
    assert ended(committed) is State.REVERTED
    assert committed.job is not None
    assert committed.job.outcomes[-1].output == "sick"
    assert live(tmp_path) == MINIMAL


def test_retries(make: Make, tmp_path: Path) -> None:
    """A hook that fails once may try again."""
    script = f"[ $(wc -l < {tmp_path}/calls) -ge 2 ]"
    line = f'echo "$OMECONF_APP" >> {tmp_path}/calls'
    service = make(hooks=(Hook(run=("sh", "-c", f"{line}; {script}"), retries=2),))
    assert ended(commit(service, segment(4))) is State.HEALTHY
    assert calls(tmp_path) == ["app", "app"]


def test_quiet_time_gathers_changes(make: Make, tmp_path: Path) -> None:
    """With a quiet time several edits make one reload."""
    service = make(reload=Reload(quiet_s=0.2, longest_wait_s=5))
    done = [commit(service, segment(n)) for n in (2, 3, 4)]
    assert {ended(c) for c in done} == {State.HEALTHY}
    assert calls(tmp_path) == ["restart app 4"]


def test_a_restart_catches_up(make: Make, tmp_path: Path) -> None:
    """What was committed but not reloaded before a stop is reloaded at the next start."""
    first = make(hooks=())
    commit(first, segment(4))
    first.stop(1)
    second = make()
    wait_for(lambda: second.reloader.last is not None, "the reload at the start")
    assert calls(tmp_path) == ["restart app 2"]


def test_preview(make: Make, tmp_path: Path) -> None:
    """What a commit would restart is known without making it."""
    service = make()
    edits = segment(4).edits
    found = service.submit(service.preview, edits).result(DEADLINE_S)
    assert [str(item) for item in found.plan.items] == ["restart application default/app"]
    assert live(tmp_path) == MINIMAL


def test_stop_while_a_hook_hangs(make: Make, tmp_path: Path) -> None:
    """The daemon ends within its limit, and the next start carries the reload out."""
    service = make("sleep 60")
    commit(service, segment(4))
    wait_for(lambda: calls(tmp_path), "the call")
    service.stop(0.1)
    again = make()
    wait_for(lambda: again.repository.history.mark("running") == 2, "the reload at the start")


def test_a_failure_with_another_write_behind_it(make: Make, tmp_path: Path) -> None:
    """Only what failed is taken back; the good write that came meanwhile stays and is reloaded."""
    script = f'sleep 0.2; ! grep -q ">77<" {tmp_path}/conf/Server.xml'
    service = make(script)
    bad = commit(service, segment(77))
    wait_for(lambda: calls(tmp_path), "the first call")
    good = commit(service, segment(5, OTHER))
    assert ended(bad) is State.REVERTED
    assert ended(good) is State.HEALTHY
    assert ">77<" not in live(tmp_path)
    assert "<SegmentDuration>5</SegmentDuration>" in live(tmp_path)
    status = service.submit(service.status).result(DEADLINE_S)
    assert status["revision"]["running"] == status["revision"]["head"]


def test_a_manual_edit_adopted_by_a_refused_write(make: Make, tmp_path: Path) -> None:
    """The write is refused, but what it found on disk is reloaded all the same."""
    service = make()
    adopt = service.repository.adopt
    edits = iter([None, MINIMAL.replace(">6<", ">4<")])

    def adopt_late(author: str = "", *, is_thorough: bool = True) -> Any:
        text = next(edits, None)
        if text is not None:
            (tmp_path / "conf/Server.xml").write_text(text)
        return adopt(author, is_thorough=is_thorough)

    service.repository.adopt = adopt_late  # type: ignore[method-assign]
    bad = MINIMAL.replace("<Type>live", "<Type>dead").encode()
    with pytest.raises(Refused):
        service.submit(service.put, "Server.xml", bad, Candidate(0, ())).result()
    wait_for(lambda: calls(tmp_path) == ["restart app 2"], "the reload of the manual edit")


def test_a_mark_that_cannot_be_written(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the wrong moment does not end the reloads."""
    service = make()
    real = service.repository.history.set_marks

    def refuse(**_: object) -> None:
        raise Unwritable("cannot write the history: disk is full")

    monkeypatch.setattr(service.repository.history, "set_marks", refuse)
    assert ended(commit(service, segment(4))) is State.HEALTHY
    assert service.is_alive
    monkeypatch.setattr(service.repository.history, "set_marks", real)
    assert ended(commit(service, segment(5))) is State.HEALTHY
    assert service.repository.history.mark("running") == 3


def test_what_was_being_tried_is_not_forgotten(make: Make, tmp_path: Path) -> None:
    """After a crash in a reload the engine may run it, so going back is a reload too."""
    first = make("sleep 60")
    commit(first, segment(4))
    wait_for(lambda: calls(tmp_path), "the call")
    first.stop(0.1)
    (tmp_path / "conf/Server.xml").write_text(MINIMAL)
    second = make()
    wait_for(lambda: len(calls(tmp_path)) == 2, "the reload at the start")
    assert calls(tmp_path)[1] == "restart app 3"
    wait_for(lambda: second.repository.history.mark("trying") is None)


def test_old_revisions_are_pruned(make: Make) -> None:
    """The history keeps as many revisions as the settings say."""
    service = make(history=HistorySettings(keep=2))
    for value in (2, 3, 4):
        assert ended(commit(service, segment(value))) is State.HEALTHY
    commit(service, segment(5))
    numbers = [r.number for r in service.submit(service.revisions, 9, None).result(DEADLINE_S)]
    assert numbers[:2] == [5, 4]
    assert len(numbers) <= 3


def test_hold_and_resume(make: Make, tmp_path: Path) -> None:
    """Held, nothing is adopted; resumed, what lies there is."""
    service = make()
    assert service.submit(service.hold, "git pull").result(DEADLINE_S) == {"held": "git pull"}
    (tmp_path / "conf/Server.xml").write_text(MINIMAL.replace("1935", "1936"))
    assert service.submit(service.tick).result(DEADLINE_S) is None
    with pytest.raises(Drift, match="git pull"):
        commit(service, segment(4))
    assert service.submit(service.status).result(DEADLINE_S)["held"] == "git pull"
    resumed = service.submit(service.resume).result(DEADLINE_S)
    assert resumed == {"held": None, "revision": 2}


def test_a_revert_that_must_wait(make: Make, tmp_path: Path) -> None:
    """If the files are broken by hand when a reload fails, it is taken back once they are right."""
    service = make(f"while [ -e {tmp_path}/wait ]; do sleep 0.01; done; exit 1")
    (tmp_path / "wait").touch()
    committed = commit(service, segment(4))
    good = live(tmp_path)
    (tmp_path / "conf/Server.xml").write_text(good.replace("<Providers>", "<Providers><No/>"))
    (tmp_path / "wait").unlink()
    assert ended(committed) is State.FAILED
    assert not service.is_settled
    (tmp_path / "conf/Server.xml").write_text(good)
    service.submit(service.tick).result(DEADLINE_S)
    assert live(tmp_path) == MINIMAL
    assert service.is_settled


def test_what_a_crash_left_half_done(make: Make, tmp_path: Path) -> None:
    """All that was tried since the engine was last well counts, not only the last of it."""
    service = make()
    history = service.repository.history
    commit(service, segment(4)).job.done.result(DEADLINE_S)  # type: ignore[union-attr]
    service.stop(5)
    history = History(history.path)
    history.set_marks(running=1, trying=3)
    files = history.files(1)
    history.append(
        parent=2, author="", time=0, message="", origin=Origin.ROLLBACK,
        digest=history.get(1).digest, files=files, base=history.files(2), reverts=(2,),
    )  # fmt: skip
    (tmp_path / "conf/Server.xml").write_bytes(files["Server.xml"])
    history.close()
    again = make()
    wait_for(lambda: calls(tmp_path)[-1:] == ["restart app 3"], "the reload")
    again.submit(lambda: None).result(DEADLINE_S)


def test_all_that_never_ran_well_is_taken_back(make: Make, tmp_path: Path) -> None:
    """A job covers what earlier jobs failed at."""
    service = make("exit 1", reload=Reload(on_failure="keep"))
    assert ended(commit(service, segment(4))) is State.FAILED
    service.settings = dataclasses.replace(service.settings, reload=Reload(on_failure="revert"))
    assert ended(commit(service, segment(3, OTHER))) is State.REVERTED
    assert live(tmp_path) == MINIMAL
    newest = service.submit(service.revisions, 3).result(DEADLINE_S)
    assert [(r.number, r.reload, r.reverts) for r in newest][:2] == [
        (4, "", (2, 3)), (3, "reverted", ())
    ]  # fmt: skip
