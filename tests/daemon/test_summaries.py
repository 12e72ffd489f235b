"""What each revision changed, in short."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omeconf.daemon import summaries
from omeconf.daemon.summaries import MOST
from omeconf.store.history import History
from tests.support.api import APP, OWN, SECRET, SERVER, ApiInProcess
from tests.support.daemon import wait_for


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path) as made:
        yield made


def shown(api: ApiInProcess) -> list[dict[str, Any]]:
    """The revisions with their changes, newest first."""
    answer = api.call("GET", f"{OWN}/revisions?changes=true")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["revisions"]
    return found


def values(revision: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["old"], each["new"]) for each in revision["changes"]]


def test_an_edit_by_api_and_one_by_hand(api: ApiInProcess) -> None:
    """Both have theirs; the first revision, which changed nothing, has none."""
    api.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 5}}})
    api.file.write_text(api.text.replace(">5<", ">4<").replace(SECRET, "fresh-fresh"))
    api.service.submit(api.service.tick).result()
    manual, edit, first = shown(api)
    assert values(edit) == [("6", "5")]
    assert values(manual) == [("***", "***"), ("5", "4")]
    assert (first["changes"], first["changesMore"]) == (None, 0)
    assert all("changes" not in each for each in api.service.submit(
        lambda: [r.as_json() for r in api.service.revisions(9)]).result())  # fmt: skip


def test_an_edit_on_top_of_one_by_hand(api: ApiInProcess) -> None:
    """Two revisions at once are told apart."""
    api.file.write_text(SERVER.replace(">6<", ">4<"))
    api.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 3}}})
    newest, manual, _ = shown(api)
    assert (values(newest), values(manual)) == ([("4", "3")], [("6", "4")])


def test_many_changes(api: ApiInProcess) -> None:
    """The first are named, the others counted."""
    names = [f"n{number}" for number in range(MOST + 3)]
    api.call("POST", f"{APP.rpartition('/')[0]}", [{"name": n, "type": "live"} for n in names])
    newest = shown(api)[0]
    assert (len(newest["changes"]), newest["changesMore"]) == (MOST, 3)


def test_lost_ones_are_found_out_again(api: ApiInProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that an older release never kept; but not of a large configuration."""
    api.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 5}}})
    history = api.service.repository.history
    wait_for(lambda: history.summaries([2]))
    api.stop()
    database = sqlite3.connect(history.path)
    database.executescript("DROP TABLE summary; PRAGMA user_version = 2")
    database.close()
    api.start()
    monkeypatch.setattr(summaries, "SMALL", 10)
    assert shown(api)[0]["changes"] is None
    monkeypatch.undo()
    assert values(shown(api)[0]) == [("6", "5")]
    assert list(api.service.repository.history.summaries([1, 2])) == [2]


def test_of_a_revision_that_is_gone(tmp_path: Path) -> None:
    """Nothing is kept, and nothing fails."""
    history = History(tmp_path / "h")
    history.set_summary(7, "{}")
    assert history.summaries([7]) == {}
