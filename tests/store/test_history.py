from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from omeconf.core.revision import Origin
from omeconf.errors import NotFound, Unwritable
from omeconf.store.history import History


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


def test_equal_files_are_kept_once(history: History) -> None:
    """A file that does not change costs nothing more."""
    for number in range(5):
        add(history, str(number).encode(), number)
    rows = sqlite3.connect(history.path).execute("SELECT count(*) FROM content").fetchone()
    assert rows == (6,)


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
    """A file that is no history, or one of a newer omeconf, is refused and left alone."""
    bad = tmp_path / "bad"
    bad.write_bytes(b"this is not a database, not at all" * 100)
    with pytest.raises(Unwritable, match="cannot open the history"):
        History(bad)
    newer = tmp_path / "newer"
    sqlite3.connect(newer).execute("PRAGMA user_version = 99")
    with pytest.raises(Unwritable, match="newer omeconf"):
        History(newer)


def test_a_failed_append_is_no_revision(history: History) -> None:
    """If the database refuses, the caller is told, and nothing is recorded."""
    add(history, b"one")
    other = sqlite3.connect(history.path, isolation_level=None)
    other.execute("DROP TABLE file")
    with pytest.raises(Unwritable, match="cannot write the history"):
        add(history, b"two", 1)
    assert other.execute("SELECT count(*) FROM revision").fetchone() == (1,)


def test_prune(history: History) -> None:
    """Old revisions go, by number and by age; what is marked stays, and the newest."""
    for number in range(6):
        add(history, str(number).encode(), number)
    history.set_marks(running=1)
    assert history.prune(keep=3, older_than=0) == 2
    assert [r.number for r in history.newest()] == [6, 5, 4, 1]
    assert history.files(1)["Server.xml"] == b"0"
    assert history.prune(keep=3, older_than=2.0) == 2
    assert [r.number for r in history.newest()] == [6, 1]
    rows = sqlite3.connect(history.path).execute("SELECT count(*) FROM content").fetchone()
    assert rows == (3,)
