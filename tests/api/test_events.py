"""/omeconf/v1/events over a real daemon: what happens, once, in order, and resumable."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omeconf.api import events as module
from omeconf.daemon.events import KEPT, Events
from tests.support.api import APP, LISTENING, OWN, ApiInProcess, basic
from tests.support.daemon import DEADLINE_S, TOKEN, Daemon, wait_for

EVENTS = f"{OWN}/events"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path, LISTENING) as made:
        yield made


class Stream:
    """One listener; `next` waits for an event: id, kind, data."""

    def __init__(self, daemon: Daemon, *, last: str = "", query: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=DEADLINE_S)
        headers = {"Authorization": basic(TOKEN), **({"Last-Event-ID": last} if last else {})}
        self.connection.request("GET", EVENTS + query, headers=headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        assert self.answer.headers["Content-Type"].startswith("text/event-stream")
        assert self.block() == ["retry: 1000"]

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def block(self) -> list[str]:
        """The lines up to the next empty one; none at the end of the stream."""
        lines: list[str] = []
        while line := self.answer.readline().decode().rstrip("\n"):
            lines.append(line)
        return lines

    def next(self) -> tuple[int, str, dict[str, Any]]:
        """The next event."""
        found = dict(line.split(": ", 1) for line in self.block())
        return int(found.get("id", 0)), found["event"], json.loads(found["data"])

    def until(self, kind: str, **wanted: Any) -> list[tuple[int, str, dict[str, Any]]]:
        """All events up to one of a kind with these data."""
        found = []
        while True:
            found.append(self.next())
            if found[-1][1] == kind and wanted.items() <= found[-1][2].items():
                return found


def patch(daemon: Daemon, kind: str, query: str = "") -> None:
    answer = daemon.call("PATCH", APP + query, {"type": kind})
    assert answer.status == 200, answer.json


def test_everything_that_happens(daemon: Daemon) -> None:
    """Revisions, reloads, drift and confirms come, with ids that only grow."""
    with Stream(daemon) as stream:
        patch(daemon, "vod")
        found = stream.until("reload", state="healthy")
        assert [kind for _, kind, _ in found] == ["revision", "reload", "reload"]
        revision = found[0][2]
        assert revision["revision"]["number"] == 2
        assert revision["revision"]["author"] == "api"
        assert [each["new"] for each in revision["changes"]] == ["vod"]
        assert revision["plan"][0]["application"] == "app"
        good = daemon.text
        daemon.write(good.replace("<Bind>", "<Bind><Foo/>"))
        found += stream.until("drift")
        assert found[-1][2]["violations"][0]["code"] == "unknown-element"
        daemon.write(good)
        found += stream.until("settled")
        patch(daemon, "live", "?confirm=60")
        found += stream.until("confirm", state="armed")
        assert daemon.call("POST", f"{OWN}/confirm").status == 200
        found += stream.until("confirm", state="confirmed")
        daemon.write(daemon.text.replace("<Type>live", "<Type>vod", 1))
        found += stream.until("revision")
        assert found[-1][2]["revision"]["origin"] == "file"
        ids = [number for number, _, _ in found]
        assert ids == sorted(set(ids))
        assert ids[0] > 0


def test_resuming(daemon: Daemon) -> None:
    """Whoever comes back with the last id gets all since, once, and then what is new."""
    with Stream(daemon) as stream:
        patch(daemon, "vod")
        first = stream.until("reload", state="healthy")
    patch(daemon, "live")
    with Stream(daemon, last=str(first[0][0])) as stream, Stream(daemon, query="?after=0") as all_:
        patch(daemon, "vod")
        found = list(first[:1])
        while len(revisions := [data for _, kind, data in found if kind == "revision"]) < 3:
            found.append(stream.next())
        assert [each["revision"]["number"] for each in revisions] == [2, 3, 4]
        ids = [number for number, _, _ in found]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert all_.next() == (0, "gap", {})
        assert [all_.next() for _ in found] == found


def test_over_a_restart(daemon: Daemon) -> None:
    """Events of the daemon before are gone: that is told, and ids go on growing."""
    with Stream(daemon) as stream:
        patch(daemon, "vod")
        last = stream.until("reload", state="healthy")[-1][0]
        daemon.stop()
        assert stream.block() == []
        assert stream.answer.readline() == b""
    daemon.start()
    with Stream(daemon, last=str(last)) as stream:
        assert stream.next() == (0, "gap", {})
        patch(daemon, "live")
        assert stream.next()[0] > last


def test_the_daemon_stops(daemon: Daemon) -> None:
    """Listeners do not hold up the end: their streams are whole, and it is at once."""
    with Stream(daemon) as one, Stream(daemon) as other:
        assert daemon.stop() == 0
        for stream in (one, other):
            assert stream.answer.readline() == b""
            assert stream.answer.isclosed()
    assert "Traceback" not in daemon.log


def test_the_head_of_it(daemon: Daemon) -> None:
    """HEAD ends at once, as everywhere."""
    answer = daemon.call("HEAD", EVENTS)
    assert (answer.status, answer.json) == (200, None)
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_who_leaves_is_forgotten(daemon: Daemon) -> None:
    """As many listen as may; more are told to come again, and can when some have gone."""
    streams = []
    while (stream := try_to_listen(daemon)) is not None:
        streams.append(stream)
        assert len(streams) <= module.MOST_LISTENERS
    assert len(streams) > 90
    for stream in streams:
        stream.__exit__()
    wait_for(lambda: try_to_listen(daemon))


def try_to_listen(daemon: Daemon) -> Stream | None:
    """One more listener; None if there are too many."""
    try:
        return Stream(daemon)
    except AssertionError:
        return None


def test_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than may listen are 503 with Retry-After."""
    with ApiInProcess(tmp_path) as api:
        monkeypatch.setattr(module, "MOST_LISTENERS", api.service.events.listening)
        answer = api.call("GET", EVENTS)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("after", ["x", "1.5", "9" * 5000])
def test_ids_that_are_none(tmp_path: Path, after: str) -> None:
    """400, wherever it comes from."""
    with ApiInProcess(tmp_path) as api:
        assert api.call("GET", f"{EVENTS}?after={after}").status_code == 400
        assert api.call("GET", EVENTS, headers={"Last-Event-ID": after}).status_code == 400


def test_too_long_ago(tmp_path: Path) -> None:
    """Of what is not kept any more it is told that something is missing."""
    with ApiInProcess(tmp_path) as api:
        events = api.service.events
        for number in range(KEPT + 5):
            events.emit("held", reason=str(number))
        kept, is_whole = events.listen(print, 0)
        assert (len(kept), is_whole) == (KEPT, False)
        assert events.listen(print, kept[0].id - 1) == (kept, True)
        assert events.listen(print, kept[0].id - 2)[1] is False


def test_an_id_that_is_yet_to_come() -> None:
    """The clock was set back: nothing is known of it, so all that is kept comes, with a gap."""
    events = Events(lambda: 1000.0)
    events.emit("revision")
    missed, is_whole = events.listen(lambda _: None, 10**15)
    assert ([event.kind for event in missed], is_whole) == (["revision"], False)


def test_many_at_once(daemon: Daemon) -> None:
    """Twenty listeners see the same events, and cost nothing when they are gone."""
    streams = [Stream(daemon) for _ in range(20)]
    patch(daemon, "vod")
    found = [stream.until("reload", state="healthy") for stream in streams]
    assert all(each == found[0] for each in found)
    for stream in streams:
        stream.__exit__()
    wait_for(lambda: daemon.call("GET", f"{OWN}/health/live").status == 200)
