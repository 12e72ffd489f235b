"""Work beside whoever asks for it: on another thread, or at once where none is to be had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def start(executor: Executor | None, work: Callable[[], T]) -> Future[T]:
    """Have work done by an executor; without one it is done before this returns.

    So it is, too, if the executor takes no more: it is shut down, or there is no thread for it.
    What the work raises is raised by the result.
    """
    done: Future[T] = Future()
    untaken = threading.Lock()

    def run() -> None:
        if not untaken.acquire(blocking=False):  # a pool keeps what it found no thread for
            return
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    with suppress(RuntimeError):
        if executor is not None:
            executor.submit(run)
            return done
    run()
    return done
