from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from omeconf.store.beside import start


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_beside(pool: ThreadPoolExecutor) -> None:
    """Work is done by another thread, and whoever asked goes on meanwhile."""
    may_end = threading.Event()
    waiting = start(pool, lambda: may_end.wait(30) and threading.current_thread())
    assert not waiting.done()
    may_end.set()
    assert waiting.result() is not threading.current_thread()


def test_without_an_executor() -> None:
    """Work is done when `start` returns."""
    assert start(None, threading.current_thread).done()
    assert start(None, threading.current_thread).result() is threading.current_thread()


def test_an_executor_that_refuses(pool: ThreadPoolExecutor) -> None:
    """What is shut down does nothing more: the work is done at once."""
    pool.shutdown()
    assert start(pool, threading.current_thread).result() is threading.current_thread()


def test_no_thread_to_be_had(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is done at once, and not again when there are threads."""
    done_by: list[threading.Thread] = []

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        start(pool, lambda: done_by.append(threading.current_thread())).result()
    assert done_by == [threading.current_thread()]
    assert start(pool, threading.current_thread).result() is not threading.current_thread()
    assert len(done_by) == 1, "the pool has come past what it had kept"


def test_errors(pool: ThreadPoolExecutor) -> None:
    """What the work raises is raised by the result, whoever did it."""
    for executor in (pool, None):
        failed = start(executor, lambda: int("many"))
        with pytest.raises(ValueError, match="many"):
            failed.result()
