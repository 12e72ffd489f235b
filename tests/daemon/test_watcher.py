from __future__ import annotations

import ctypes
import errno
import os
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers.api import EventQueue
from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init

from omeconf.daemon.bursts import MASK, Bursts
from omeconf.daemon.watcher import Watcher
from tests.support.daemon import DEADLINE_S, wait_for

OVERFLOW = struct.pack("iIII", -1, InotifyConstants.IN_Q_OVERFLOW, 0, 0)
"""The event of a queue that holds no more."""


class Watched:
    """A folder with a file in it, and what a watcher has seen there."""

    def __init__(
        self, folder: Path, *more: Path, look_every_s: float = 30.0, settle_s: float = 0.02
    ) -> None:
        self.file = folder / "Server.xml"
        self.file.write_text("0")
        self.seen: list[str] = []
        self.is_done = True
        self.raises = False
        self.watcher = Watcher(
            lambda: [folder, *more],
            lambda: self.file.stat().st_mtime_ns if self.file.exists() else None,
            self.look,
            settle_s=settle_s,
            look_every_s=look_every_s,
        )
        self.watcher.start()

    def look(self) -> bool:
        if self.raises:
            raise ValueError("told to")
        self.seen.append(self.file.read_text() if self.file.exists() else "gone")
        return self.is_done


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.watcher.stop()


def in_place(file: Path, text: str) -> None:
    file.write_text(text)


def rename_over(file: Path, text: str) -> None:
    other = file.with_name("other")
    other.write_text(text)
    other.rename(file)


def from_elsewhere(file: Path, text: str) -> None:
    (file.parent / "sub").mkdir(exist_ok=True)
    other = file.parent / "sub/other"
    other.write_text(text)
    other.rename(file)


def sed(file: Path, text: str) -> None:
    subprocess.run(["sed", "-i", f"s/.*/{text}/", str(file)], check=True)


def unlink_and_create(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


def copy_over(file: Path, text: str) -> None:
    other = file.with_name("other")
    other.write_text(text)
    shutil.copy(other, file)


def same_size_and_time(file: Path, text: str) -> None:
    before = file.stat()
    file.write_text(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


SAVES = (
    in_place, rename_over, from_elsewhere, sed, unlink_and_create, copy_over, same_size_and_time,
)  # fmt: skip


@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.__name__)
def test_every_way_of_saving(watched: Watched, save: Callable[[Path, str], None]) -> None:
    """However an editor saves, the saved text is seen, and seen last."""
    for text in ("1", "2", "3"):
        save(watched.file, text)
        wait_for(lambda t=text: watched.seen and watched.seen[-1] == t, text)  # type: ignore[misc]


def test_a_slow_writer_is_not_seen_half_way(watched: Watched) -> None:
    """While the file is being written there is nothing to look at."""
    with watched.file.open("w") as file:
        for piece in "abcdef":
            file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    wait_for(lambda: watched.seen, "the whole text")
    assert set(watched.seen) == {"abcdef"}


def test_without_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be watched, a look every so often finds the edit."""
    monkeypatch.setattr(Watcher, "_watch", lambda _: None)
    watched = Watched(tmp_path, look_every_s=0.05)
    wait_for(lambda: watched.seen == ["0"], "the first look")
    watched.file.write_text("1")
    wait_for(lambda: watched.seen[-1] == "1", "the look")
    assert not watched.watcher.hears
    assert watched.watcher.is_alive
    watched.watcher.stop()


def test_a_look_that_is_not_done(tmp_path: Path) -> None:
    """What could not be taken up is looked at again, though nothing has changed."""
    watched = Watched(tmp_path, look_every_s=0.02)
    watched.is_done = False
    wait_for(lambda: len(watched.seen) > 3, "several looks")
    watched.is_done = True
    watched.watcher.stop()


def test_a_dead_listener_is_replaced(tmp_path: Path) -> None:
    """If the thread that hears of events dies, another takes its place, and nothing is missed."""
    watched = Watched(tmp_path, look_every_s=0.05)
    listener = watched.watcher._bursts
    assert listener is not None
    listener.stop()
    listener.join()
    watched.file.write_text("1")
    wait_for(lambda: watched.seen and watched.seen[-1] == "1", "what was written meanwhile")
    wait_for(lambda: watched.watcher.hears, "a new listener")
    assert watched.watcher._bursts is not listener
    watched.watcher.stop()


class Counted(EventQueue):
    """A queue that knows how often something was put into it."""

    count = 0

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self.count += 1
        super().put(item, block, timeout)


def test_a_burst_is_one_event(tmp_path: Path) -> None:
    """However much happens in the folder before it rests, it is told of once (or twice, where the
    machine stalls), not thousands of times."""
    told = Counted()
    bursts = Bursts(told, [tmp_path], settle_s=0.5)
    bursts.start()
    for number in range(1000):
        (tmp_path / f"file{number}").write_text("x")
    told.get(timeout=DEADLINE_S)
    bursts.close()
    assert told.count <= 3


def test_what_never_rests(tmp_path: Path) -> None:
    """A folder in which something happens all the time is told of all the same."""
    told = EventQueue()
    bursts = Bursts(told, [tmp_path], settle_s=0.02)
    bursts.start()

    def happens() -> bool:
        (tmp_path / "file").write_text("x")
        return not told.empty()

    deadline = time.monotonic() + DEADLINE_S
    while not happens():
        assert time.monotonic() < deadline
    bursts.close()


def test_a_closed_listener_leaves_nothing_open(tmp_path: Path) -> None:
    """Neither descriptors nor threads are left, also of one that could not start."""
    before = set(Path("/proc/self/fd").iterdir()), threading.active_count()
    bursts = Bursts(EventQueue(), [tmp_path, tmp_path / "missing"], settle_s=0.02)
    bursts.start()
    assert set(bursts.deaf) == {tmp_path / "missing"}
    bursts.close()
    bursts.close()
    Bursts(EventQueue(), [tmp_path], settle_s=0.02).close()
    assert (set(Path("/proc/self/fd").iterdir()), threading.active_count()) == before


def test_an_overflow_is_one_more_event(tmp_path: Path) -> None:
    """More happens than the kernel keeps: what is saved behind that is seen all the same."""
    watched = Watched(tmp_path, look_every_s=600.0, settle_s=1.0)
    beside = inotify_init()  # nobody reads it, so it shows that a queue overflowed
    inotify_add_watch(beside, os.fsencode(tmp_path), MASK)
    kept = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    noise = [tmp_path / "a", tmp_path / "b"]
    for number in range(kept + 1000):  # not the same twice in turn: that would be kept once
        noise[number % 2].write_bytes(b"")
    watched.file.write_text("1")
    os.set_blocking(beside, False)
    events = b""
    with suppress(BlockingIOError):
        while True:
            events += os.read(beside, 1 << 20)
    os.close(beside)
    assert OVERFLOW in events
    wait_for(lambda: watched.seen and watched.seen[-1] == "1", "what was saved")
    watched.watcher.stop()


def test_a_look_that_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next look is taken as if nothing had been seen."""
    watched = Watched(tmp_path, look_every_s=0.02)
    watched.raises = True
    watched.file.write_text("1")
    wait_for(lambda: "Cannot look at the configuration folder" in caplog.text, "the defect")
    watched.raises = False
    count = len(watched.seen)
    wait_for(lambda: len(watched.seen) > count and watched.seen[-1] == "1", "the next look")
    assert watched.watcher.is_alive
    watched.watcher.stop()


def test_a_folder_that_cannot_be_watched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are; it is said once."""
    (tmp_path / "deaf").mkdir()

    def add(handle: int, path: bytes, mask: int) -> int:
        if not path.endswith(b"deaf"):
            return inotify_add_watch(handle, path, mask)
        ctypes.set_errno(errno.ENOSPC)
        return -1

    monkeypatch.setattr("omeconf.daemon.bursts.inotify_add_watch", add)
    watched = Watched(tmp_path, tmp_path / "deaf", look_every_s=0.05)
    for text in ("1", "2"):
        watched.file.write_text(text)
        wait_for(lambda t=text: watched.seen and watched.seen[-1] == t)  # type: ignore[misc]
    assert watched.watcher.hears
    assert caplog.text.count("Cannot watch") == 1
    watched.watcher.stop()
    assert "deaf" in caplog.text


def test_other_times(watched: Watched) -> None:
    """Shorter times count at once: a watcher that rests for the old ones is woken."""
    assert not watched.seen
    watched.watcher.times(0.02, 20.0)
    wait_for(lambda: watched.seen, "a look although nothing happened")
