"""A watch of etcd: what happens to keys, from a revision on, until it is closed.

One thread reads, another one takes; any may close. A connection on which nothing comes is no
failure: then the member is asked how it is, so that one that hangs or is cut off is noticed, and
one that has lost its leader ends the watch itself.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from omeconf.errors import Compacted, OmeconfError
from omeconf.store.etcd_http import Failed, Problem, Stream, answered, away, problem_of
from omeconf.store.etcd_values import Batch, batch, below, inner, number, text

if TYPE_CHECKING:
    from omeconf.store.etcd import Etcd

IDLE_S = 10.0
"""After so long without a word the member is asked how it is, and a batch without events comes."""
MOST_WAITING = 16
"""Messages read and not taken yet; then no more is read. One has 2 MB at most, or one event."""


class Watch:
    """Batches of events below a prefix, from a revision on.

    ```python
    with etcd.watch("/group/", found.revision + 1) as watch:
        for batch in watch:
            ...
    ```
    It begins with the block, at the first endpoint that answers: GroupAway or GroupRefused if none
    does. The iteration ends when the watch is closed. It raises GroupAway when the member goes
    away or loses its leader: begin another watch behind the last batch's revision; and Compacted if
    the revision to begin at is not kept any more: read everything anew.
    """

    def __init__(self, etcd: Etcd, prefix: str, revision: int, *, idle_s: float = IDLE_S) -> None:
        """idle_s: how long nothing may come before the member is asked how it is."""
        self.endpoint = ""
        """The one that is watched."""
        self.idle_s = idle_s
        self._etcd = etcd
        self._prefix = prefix
        self._reached = max(revision - 1, 0)
        self._revision = revision
        self._changed = threading.Condition()
        self._source: _Source | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        deadline = time.monotonic() + self._etcd.timeout_s
        failures: dict[str, Failed] = {}
        order = self._etcd.in_turn()
        for index, endpoint in enumerate(order):
            left_s = deadline - time.monotonic()
            share_s = max(left_s / (len(order) - index), 0.001)
            try:
                self._begin(endpoint, time.monotonic() + share_s)
            except Failed as failed:
                failures[endpoint] = failed
            except (TypeError, ValueError) as error:
                failures[endpoint] = Failed(f"answers oddly: {error}", is_undone=True)
            else:
                self.endpoint = self._etcd.endpoint = endpoint
                return self
        raise away(failures)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        assert self._source is not None, "a watch begins with its block"
        while True:
            try:
                message = self._take(self._source, None)
                if self._is_closed:
                    raise StopIteration
                found = None if message is None else self._understood(message)
            except Failed as failed:
                raise away({self.endpoint: failed}) from failed
            except (TypeError, ValueError) as error:
                raise away(
                    {self.endpoint: Failed(f"answers oddly: {error}", is_undone=True)}
                ) from error
            if found is not None:
                if found.events or found.revision:
                    self._reached = max(self._reached, found.revision)
                    return Batch(self._reached, found.events)
            elif self._source.is_fine:
                self._source.is_fine = False
                return Batch(self._reached, ())

    def close(self) -> None:
        """End the watch, from any thread and at once: an iteration that waits ends."""
        with self._changed:
            self._is_closed = True
            if self._source is not None:
                self._source.stream.cut()
            self._changed.notify_all()

    def _begin(self, endpoint: str, deadline: float) -> None:
        """Watch at an endpoint. Raises Failed if it does not begin in time."""
        for is_again in (False, True):
            left_s = max(deadline - time.monotonic(), 0.001)
            token = self._etcd.token(endpoint, left_s)
            request = {
                **below(self._prefix),
                "progress_notify": True,
                "fragment": True,
                **({"start_revision": str(self._revision)} if self._revision else {}),
            }
            body = {"create_request": request}
            stream = self._etcd.stream(endpoint, "/watch", body, token)
            source = _Source(stream, self._changed)
            with self._changed:
                self._source = source
                if self._is_closed:
                    return
            source.start()
            try:
                first = self._take(source, deadline)
                if self._is_closed or first is None:
                    return
                if not first.get("canceled"):
                    if not self._revision:
                        self._reached = number(inner(first, "header"), "revision")
                    return
                problem = _cancelled(first)
                if problem.is_of_token and self._etcd.user and not is_again:
                    self._etcd.forget(token)
                    stream.cut()
                    continue
                raise self._etcd.told(problem, endpoint)
            except (Failed, OmeconfError):
                stream.cut()
                raise

    def _take(self, source: _Source, deadline: float | None) -> dict[str, Any] | None:
        """The next message; None if the watch is closed, or the member said that it is fine.

        Raises Failed; with a deadline if there is none by then.
        """
        with self._changed:
            while not self._is_closed:
                if source.messages:
                    message = source.messages[0]
                    if isinstance(message, Exception):
                        raise message
                    source.messages.popleft()
                    self._changed.notify_all()
                    return message
                if source.is_fine:
                    return None
                if deadline is not None:
                    left_s = deadline - time.monotonic()
                    if left_s <= 0:
                        raise Failed("does not begin to watch in time", is_undone=True)
                    self._changed.wait(left_s)
                elif not self._changed.wait(self.idle_s) and not source.is_asked:
                    source.is_asked = True
                    threading.Thread(
                        target=self._ask, args=(source,), name="etcd-watch-idle", daemon=True
                    ).start()
        return None

    def _ask(self, source: _Source) -> None:
        """Ask the member how it is."""
        limit_s = self._etcd.timeout_s
        found: Exception | None = None
        try:
            self._etcd.ask_one(
                self.endpoint, "/maintenance/status", {}, connect_s=limit_s, whole_s=limit_s,
                needs_leader=False,
            )  # fmt: skip
        except (Failed, OmeconfError) as error:
            found = error
        with self._changed:
            source.is_asked = False
            if found is None:
                source.is_fine = True
            else:
                source.messages.append(found)
            self._changed.notify_all()

    def _understood(self, message: dict[str, Any]) -> Batch:
        """A message as a batch. Raises Compacted, or what else ended the watch."""
        if message.get("canceled"):
            compacted = number(message, "compact_revision")
            if compacted:
                raise Compacted(
                    f"{self.endpoint}: revision {self._revision} was compacted: the oldest kept"
                    f" is {compacted}",
                    revision=compacted,
                )
            raise self._etcd.told(_cancelled(message), self.endpoint)
        return batch(message)


class _Source:
    """The thread that reads a stream, and what it has read."""

    def __init__(self, stream: Stream, changed: threading.Condition) -> None:
        self.stream = stream
        self.messages: deque[dict[str, Any] | Exception] = deque()
        """An error is the last."""
        self.is_asked = False
        """Whether the member is being asked how it is."""
        self.is_fine = False
        """Whether it has said so, and nobody has taken notice."""
        self._changed = changed

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, name="etcd-watch", daemon=True).start()

    def _run(self) -> None:
        try:
            for line in self.stream.lines():
                if line.strip():
                    self._add(_result(line))
            self._add(Failed("ended the watch", is_undone=True))
        except (Failed, OmeconfError) as error:
            self._add(error)
        except TypeError as error:
            self._add(Failed(f"answers oddly: {error}", is_undone=True))

    def _add(self, message: dict[str, Any] | Exception) -> None:
        with self._changed:
            while len(self.messages) >= MOST_WAITING and not self.stream.is_cut:
                self._changed.wait()
            self.messages.append(message)
            self._changed.notify_all()


def _result(line: bytes) -> dict[str, Any]:
    """What a line of a stream has. Raises Failed."""
    form = answered(200, line)
    if isinstance(form, Problem):
        raise Failed(form.message, is_undone=True, is_passing=True)
    return inner(form, "result")


def _cancelled(message: dict[str, Any]) -> Problem:
    """Why etcd ended a watch: `rpc error: code = NAME desc = TEXT`, or a text alone."""
    reason = text(message, "cancel_reason")
    codes = {"PermissionDenied": 7, "Unauthenticated": 16, "NotFound": 5, "ResourceExhausted": 8}
    code = next((code for name, code in codes.items() if f"code = {name} " in reason), 14)
    return problem_of({"message": reason or "ended the watch", "code": code})
