from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from omeconf.daemon.pulse import LONGEST_S, WatcherPulse, WriterPulse, _state
from tests.support.daemon import wait_for


class Writer:
    """A writer thread, and a lever that holds it."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.free = threading.Event()

    def submit(self, work: Callable[[], threading.Thread]) -> Future[threading.Thread]:
        return self.pool.submit(work)

    def hold(self) -> Future[bool]:
        """It waits, and does nothing."""
        begun = threading.Event()

        def wait() -> bool:
            begun.set()
            return self.free.wait()

        future = self.pool.submit(wait)
        begun.wait()
        return future

    def compute(self) -> Future[None]:
        """It is at work, until it is let go."""

        def work() -> None:
            while not self.free.is_set():
                sum(range(1000))

        return self.pool.submit(work)


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    yield made
    made.free.set()
    made.pool.shutdown()


def stuck(pulse: WriterPulse, now: float) -> str:
    """What is wrong once the thread has come to rest where it waits."""
    trouble = wait_for(lambda: pulse.trouble(now), "it to be at rest")
    assert isinstance(trouble, str)
    return trouble


def test_at_rest(writer: Writer) -> None:
    """A writer with nothing to do is well, however long."""
    pulse = WriterPulse(writer.submit)
    for now in (0.0, 1.0, 10_000.0):
        assert pulse.trouble(now) == ""
        assert pulse._ping is not None
        pulse._ping.result()


def test_stuck(writer: Writer) -> None:
    """One that waits for something is stuck, with how long; when it goes on, all is well."""
    pulse = WriterPulse(writer.submit)
    held = writer.hold()
    assert pulse.trouble(100.0) == "", "the ping has only been sent"
    assert stuck(pulse, 107.0) == "the writer is stuck, for up to 7 s now"
    writer.free.set()
    held.result()
    assert pulse._ping is not None
    pulse._ping.result()
    assert pulse.trouble(108.0) == ""


def test_at_work(writer: Writer) -> None:
    """One that computes is left alone; but not for ever."""
    pulse = WriterPulse(writer.submit)
    writer.compute()
    assert pulse.trouble(0.0) == ""
    for now in (60.0, LONGEST_S - 1):
        wait_for(lambda now=now: pulse.trouble(now) == "", "it to move")  # type: ignore[misc]
    assert "one piece of work" in pulse.trouble(LONGEST_S + 1)


def test_helped(writer: Writer) -> None:
    """One that waits for a thread which computes for it is at work; as long as that one is."""
    pulse = WriterPulse(writer.submit)
    writer.hold()
    with ThreadPoolExecutor(1, thread_name_prefix="beside") as beside:
        done = threading.Event()

        def compute() -> None:
            while not done.is_set():
                sum(range(1000))

        helper = beside.submit(compute)
        assert pulse.trouble(0.0) == ""
        for now in (60.0, 61.0):
            wait_for(lambda now=now: pulse.trouble(now) == "", "it to move")  # type: ignore[misc]
        done.set()
        helper.result()
        assert stuck(pulse, 62.0)


@pytest.mark.parametrize("state", ["S", "D"])
def test_a_slow_disk(writer: Writer, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """One that the kernel has wait for a disk is left alone, but not for ever, either."""
    pulse = WriterPulse(writer.submit)
    writer.hold()
    assert pulse.trouble(0.0) == ""
    stuck(pulse, 1.0)
    monkeypatch.setattr("omeconf.daemon.pulse._state", lambda _: state)
    assert bool(pulse.trouble(100.0)) == (state == "S")
    assert pulse.trouble(LONGEST_S + 1)


def test_state() -> None:
    """What the kernel says of a thread; of one that is gone, nothing."""
    assert _state(threading.current_thread()) == "R"
    gone = threading.Thread(target=int)
    assert _state(gone) == ""


def test_watcher() -> None:
    """It may rest as long as it does between looks; it may wait for the writer as long as that."""
    pulse = WatcherPulse(2.0)
    assert pulse.trouble(0.0) == ""
    turn, leave = threading.Event(), threading.Event()

    def watch() -> None:
        pulse.turn(100.0)
        turn.set()
        leave.wait()

    thread = threading.Thread(target=watch)
    thread.start()
    turn.wait()
    assert pulse.trouble(102.0) == ""
    trouble = wait_for(lambda: pulse.trouble(109.0), "it to be at rest")
    assert trouble == "the watcher is stuck, for 9 s now"
    pulse.rest_s = 10.0
    assert pulse.trouble(109.0) == ""
    pulse.rest_s = 2.0
    with pulse.waiting():
        assert pulse.trouble(1000.0) == ""
    assert pulse.trouble(time.monotonic()) == ""
    leave.set()
    thread.join()


def test_a_shorter_rest() -> None:
    """It counts from the next turn on: who rests as long as was right before is not stuck."""
    pulse = WatcherPulse(60.0)
    pulse.turn(100.0)
    pulse.turned(2.0)
    assert pulse.rest_s == 60.0
    pulse.turn(130.0)
    assert pulse.rest_s == 2.0
