"""Somebody saves the file by hand at step 1, 2, 3 and so on of a commit, and we may die since.

A person's save is never lost: it is in the history, and live at the end, since nobody saved after
it (but a rollback, which is asked to, may take it back). What was acknowledged over the API is in
the history too.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omeconf.core.revision import Origin
from omeconf.errors import OmeconfError
from omeconf.store.repository import Repository
from tests.torture import record
from tests.torture.test_failing_disk import CASES, Trial, left, litter, opened, some

MARKER = "<!-- theirs -->"


class Editor:
    """A person's editor, which begins to save at one step and is done at another."""

    def __init__(self, file: Path, *, begins: int, ends: int, is_fresh: bool) -> None:
        """is_fresh: it reads the file as it begins to save, not before the commit."""
        self.file = file
        self.begins = begins
        self.ends = ends
        self.buffer = "" if is_fresh else file.read_text()
        self.handle: int | None = None
        self.is_done = False

    def turn(self, step: int) -> None:
        """Do what is due at a step."""
        if step >= self.begins and self.handle is None and not self.is_done:
            self.begin()
        if step >= self.ends and not self.is_done:
            self.end()

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    @property
    def saved(self) -> bytes:
        """What is saved."""
        text = self.buffer or self.file.read_text()
        return text.replace("</Server>", f"{MARKER}</Server>").encode()


class Replaces(Editor):
    """Writes another file, and renames it at once."""

    def begin(self) -> None:
        self.handle = -1

    def end(self) -> None:
        new = self.file.with_name("new~")
        new.write_bytes(self.saved)
        new.rename(self.file)
        self.is_done = True


class Truncates(Editor):
    """Opens the file for writing, which empties it, and writes when it is done."""

    def begin(self) -> None:
        self.text = self.saved
        self.handle = os.open(self.file, os.O_WRONLY | os.O_TRUNC)

    def end(self) -> None:
        assert self.handle is not None
        os.write(self.handle, self.text)
        os.close(self.handle)
        self.is_done = True


class MovesAway(Editor):
    """Renames the old file to a backup, and writes a new one when it is done, as vim does."""

    def begin(self) -> None:
        self.text = self.saved
        self.file.rename(self.file.with_name("Server.xml~"))
        self.handle = -1

    def end(self) -> None:
        self.file.write_bytes(self.text)
        self.file.with_name("Server.xml~").unlink()
        self.is_done = True


EDITORS: tuple[type[Editor], ...] = (Replaces, Truncates, MovesAway)
WORK = {name: CASES[name] for name in ("one file", "three files")}


@pytest.fixture(params=["one file", "three files"])
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # as the daemon does
    with pytest.MonkeyPatch.context() as patch:
        yield Trial(WORK[request.param], tmp_path, patch)


def saves(
    trial: Trial,
    kind: type[Editor],
    begins: int,
    ends: int,
    *,
    is_fresh: bool,
    dies: int | None = None,
) -> str:
    """What was lost in one run; "" if nothing was."""
    repository, where = trial.begin()
    file = where / "conf/Server.xml"
    editor = kind(file, begins=begins, ends=ends, is_fresh=is_fresh)
    trial.disk.before = editor.turn
    try:
        made = run(trial, repository, dies)
    finally:
        trial.disk.before = None
    if not editor.is_done:
        editor.turn(1_000_000)
    left(repository)
    again = opened(where)
    try:
        trial.agree(again, where)
        if again.view().revision.origin is not Origin.ROLLBACK:  # else it was taken back by it
            assert MARKER in file.read_text(), "the save is not live"
        kept = [again.history.files(r.number) for r in again.history.newest()]
        assert any(MARKER.encode() in files["Server.xml"] for files in kept), "not in the history"
        assert litter(where) == []
        if made is not None:
            assert made in {r.digest for r in again.history.newest()}, "the commit is gone"
    except (AssertionError, OmeconfError) as error:
        who = f"{kind.__name__} {begins}-{ends}{' fresh' if is_fresh else ''}"
        return f"{who}, death at {dies}: {type(error).__name__} {str(error)[:200]}"
    finally:
        left(again)
        shutil.rmtree(where)
    return ""


def run(trial: Trial, repository: Repository, dies: int | None) -> str | None:
    """The digest of the revision that was acknowledged; None if none was."""
    work: Callable[[Repository], object] = trial.case.work
    if dies is not None:
        trial.killed(lambda: _quietly(work, repository), dies)
        return None
    with trial.disk.watched():
        if _quietly(work, repository):
            return repository.view().revision.digest
    return None


def _quietly(work: Callable[[Repository], object], repository: Repository) -> bool:
    try:
        work(repository)
    except OmeconfError:
        return False
    return True


@pytest.mark.long
@pytest.mark.parametrize("kind", EDITORS, ids=lambda kind: kind.__name__)
def test_a_save_at_every_step(trial: Trial, kind: type[Editor]) -> None:
    """At once, of what is there or of an older buffer."""
    lost = [
        saves(trial, kind, at, at, is_fresh=bool(number % 2))
        for number, at in enumerate(some(trial))
    ]
    assert not any(lost), "\n".join(filter(None, lost))


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", EDITORS[1:], ids=lambda kind: kind.__name__)
def test_a_slow_save(trial: Trial, kind: type[Editor]) -> None:
    """It begins at one step, and ends at any other."""
    pairs = itertools.combinations_with_replacement(some(trial), 2)
    lost = [saves(trial, kind, *pair, is_fresh=True) for pair in pairs]
    record("a slow save", trial.base.name, len(lost), sum(map(bool, lost)))
    assert not any(lost), "\n".join(filter(None, lost))


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", EDITORS, ids=lambda kind: kind.__name__)
def test_a_save_and_a_death(trial: Trial, kind: type[Editor]) -> None:
    """Whatever came first, at every pair of steps."""
    pairs = itertools.combinations_with_replacement(some(trial), 2)
    lost = [
        saves(trial, kind, at, at, is_fresh=is_fresh, dies=dies)
        for at, dies in pairs
        for is_fresh in (True, False)
    ]
    record("a save and a death", trial.base.name, len(lost), sum(map(bool, lost)))
    assert not any(lost), "\n".join(filter(None, lost))
