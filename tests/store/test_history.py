from __future__ import annotations

import random
import sqlite3
import stat
from pathlib import Path

import pytest

from omeconf.core.revision import Origin
from omeconf.errors import NotFound, Unwritable
from omeconf.store.history import COPY_EVERY, History


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "state" / "history.sqlite")


def add(history: History, data: bytes, parent: int = 0, message: str = "m") -> int:
    return history.append(
        parent=parent,
        author="me",
        time=1.5,
        message=message,
        origin=Origin.API,
        digest=data.hex(),
        files={"Server.xml": data, "same.xml": b"same" * 100},
    ).number


def test_append_and_read(history: History) -> None:
    """What was recorded is there again, also after the file is opened anew."""
    assert history.head() is None
    assert [add(history, b"one"), add(history, b"two", 1)] == [1, 2]
    again = History(history.path)
    head = again.head()
    assert head is not None
    assert (head.number, head.parent, head.origin) == (2, 1, Origin.API)
    assert again.files(1)["Server.xml"] == b"one"
    assert [revision.number for revision in again.newest()] == [2, 1]
    assert [revision.number for revision in again.newest(limit=5, below=2)] == [1]
    with pytest.raises(NotFound, match="there is no revision 7"):
        again.files(7)


def grow(history: History, count: int, big: bytes) -> dict[int, bytes]:
    """Revisions that each change one line of a large file."""
    made: dict[int, bytes] = {}
    files: dict[str, bytes] = {}
    for number in range(1, count + 1):
        base, files = files, {"Server.xml": big + b"value %d\n" % number + big, "same.xml": b"s"}
        history.append(
            parent=number - 1, author="", time=float(number), message="", origin=Origin.API,
            digest="", files=files, base=base if number > 1 else None,
        )  # fmt: skip
        made[number] = files["Server.xml"]
    return made


def test_the_record_is_small(history: History) -> None:
    """A revision is recorded as what changed, whatever the size of the file."""
    big = random.Random(1).randbytes(100_000)
    made = grow(history, 99, big)
    database = sqlite3.connect(history.path)
    (largest,) = database.execute("SELECT max(length(patch)) FROM change").fetchone()
    assert largest < 60
    assert database.execute("SELECT count(*) FROM copy").fetchone() == (2,)
    assert {number: history.files(number)["Server.xml"] for number in made} == made


def test_full_copies_now_and_then(history: History) -> None:
    """No state is further than so many patches from a full copy."""
    made = grow(history, 2 * COPY_EVERY + 1, b"x\n")
    copies = sqlite3.connect(history.path).execute(
        "SELECT revision FROM copy WHERE name = 'same.xml'"
    )
    assert [number for (number,) in copies] == [1, COPY_EVERY, 2 * COPY_EVERY]
    for number in (1, 99, 100, 101, 201):
        assert history.files(number)["Server.xml"] == made[number]


def test_files_come_and_go(history: History) -> None:
    """An included file that is new, or gone, is part of the record."""
    states: list[dict[str, bytes]] = [
        {"a": b"1", "b": b"2"}, {"a": b"1"}, {"a": b"1", "c": b"", "d": b"3"}, {"a": b"", "d": b"4"}
    ]  # fmt: skip
    for number, files in enumerate(states, 1):
        history.append(
            parent=number - 1, author="", time=0, message="", origin=Origin.FILE, digest="",
            files=files, base=states[number - 2] if number > 1 else None, reverts=(1, 2),
        )  # fmt: skip
    assert [history.files(number) for number in range(1, 5)] == states
    assert history.get(4).reverts == (1, 2)


def test_a_backup(history: History, tmp_path: Path) -> None:
    """VACUUM INTO makes a whole copy while the history is open; VACUUM changes nothing."""
    made = grow(history, 120, b"line\n" * 50)
    database = sqlite3.connect(history.path, isolation_level=None)
    database.execute("VACUUM INTO ?", (str(tmp_path / "backup"),))
    history.prune(keep=60, older_than=0)
    database.execute("VACUUM")
    backup = History(tmp_path / "backup")
    assert {number: backup.files(number)["Server.xml"] for number in made} == made
    assert history.files(61)["Server.xml"] == made[61]


def test_the_outcome_of_a_reload(history: History) -> None:
    """It is kept with the revisions that the reload covered."""
    grow(history, 3, b"")
    history.set_job("a", 1.0, "{}", covers=(2, 3), outcome="healthy")
    assert [r.reload for r in History(history.path).newest()] == ["healthy", "healthy", ""]


def test_notes(history: History) -> None:
    """A text under a name outlives the daemon."""
    history.set_note("hold", "since noon")
    assert History(history.path).note("hold") == "since noon"
    history.set_note("hold", None)
    assert history.note("hold") is None


def test_withdraw(history: History) -> None:
    """A revision that could not be published leaves no trace, and its number is free again."""
    add(history, b"one")
    add(history, b"two", 1)
    history.withdraw(2)
    head = history.head()
    assert head is not None
    assert head.number == 1
    assert add(history, b"three", 1) == 2


def test_marks(history: History) -> None:
    """Which revision runs, and which is well, outlives the daemon."""
    assert history.mark("running") is None
    history.set_marks(running=3, trying=3)
    history.set_marks(running=4, trying=None)
    again = History(history.path)
    assert (again.mark("running"), again.mark("trying")) == (4, None)


def test_only_the_owner_may_read(history: History) -> None:
    """The history holds old secrets."""
    add(history, b"one")
    for file in history.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """The history of a newer omeconf is refused and left alone; so is a folder."""
    newer = tmp_path / "newer"
    sqlite3.connect(newer).execute("PRAGMA user_version = 99")
    with pytest.raises(Unwritable, match="newer omeconf"):
        History(newer)
    folder = History(tmp_path)
    assert "cannot open the history" in folder.trouble
    assert folder.head() is None
    with pytest.raises(Unwritable, match="cannot open the history"):
        add(folder, b"one")
    assert not folder.reopen()


@pytest.mark.parametrize("damage", ["no database", "middle", "cut"])
def test_a_damaged_history_is_set_aside(tmp_path: Path, damage: str) -> None:
    """It is kept under another name, and a new one begins."""
    path = tmp_path / "history.sqlite"
    history = History(path)
    grow(history, 50, random.Random(2).randbytes(20_000))
    history.close()
    data = path.read_bytes()
    path.write_bytes(
        {
            "no database": b"this is not a database, not at all" * 100,
            "middle": data[:8000] + b"\xff" * 8000 + data[16000:],
            "cut": data[: len(data) // 2],
        }[damage]
    )
    damaged = path.read_bytes()
    again = History(path)
    assert again.head() is None
    assert again.set_aside is not None
    assert again.set_aside.read_bytes() == damaged
    assert add(again, b"one") == 1
    again.close()
    assert History(path).set_aside is None


def test_damage_that_shows_later(history: History) -> None:
    """A patch that does not fit is reported, never served."""
    grow(history, 3, b"line\n")
    database = sqlite3.connect(history.path, isolation_level=None)
    database.execute("UPDATE change SET patch = ? WHERE revision = 2", (b"junk",))
    assert history.files(1)
    with pytest.raises(Unwritable, match="the history is damaged"):
        history.files(3)


def test_a_failed_append_is_no_revision(history: History) -> None:
    """If the database refuses, the caller is told, and nothing is recorded."""
    add(history, b"one")
    other = sqlite3.connect(history.path, isolation_level=None)
    other.execute("DROP TABLE copy")
    with pytest.raises(Unwritable, match="cannot write the history"):
        add(history, b"two", 1)
    assert other.execute("SELECT count(*) FROM revision").fetchone() == (1,)


def test_prune(history: History) -> None:
    """Old revisions go, by number and by age; what is marked stays, and the newest."""
    made = grow(history, 6, b"line\n")
    history.set_marks(running=1)
    assert history.prune(keep=3, older_than=0) == 2
    assert [r.number for r in history.newest()] == [6, 5, 4, 1]
    assert [history.files(n)["Server.xml"] for n in (1, 4, 5, 6)] == [made[n] for n in (1, 4, 5, 6)]
    assert history.prune(keep=3, older_than=7.0) == 1
    assert [r.number for r in history.newest()] == [6, 5, 1]
    assert history.files(6)["Server.xml"] == made[6]


def test_prune_waits_for_a_batch(history: History) -> None:
    """A full copy is not written for every commit."""
    grow(history, 29, b"")
    assert history.prune(keep=20, older_than=0, at_once=False) == 9
    grow_by_one = history.head()
    assert grow_by_one is not None
    assert history.prune(keep=20, older_than=0, at_once=False) == 0
    assert history.prune(keep=19, older_than=0, at_once=False) == 1
    assert history.prune(keep=18, older_than=0) == 1
