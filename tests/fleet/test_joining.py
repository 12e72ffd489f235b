"""Daemons' services that join a group, in one process with a real etcd."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from omeconf.errors import Conflict
from omeconf.store.head import Head
from omeconf.store.lineage import GROUP
from omeconf.store.member import Member
from tests.support import MINIMAL, here
from tests.support.daemon import wait_for
from tests.support.etcd import HASTY, EtcdServer, need_etcd
from tests.support.here import Here

pytestmark = pytest.mark.fleet


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EtcdServer]:
    need_etcd()
    found = EtcdServer(tmp_path, options=HASTY).start()
    yield found
    found.stop()


def test_two_with_one_state_folder(server: EtcdServer, tmp_path: Path) -> None:
    """As with machines that are cloned: they cannot be told apart but by their leases."""
    one = Here(tmp_path / "one", server, "one", MINIMAL)
    first = Here(tmp_path / "first", server, "other", None)
    first.stop()
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    first.start()
    wait_for(lambda: first.fleet.presence.is_ours, "it is there")
    second = Here(tmp_path / "second", server, "other", None)
    wait_for(lambda: "is a copy of ours" in first.fleet.trouble, "the first is told")
    assert not first.fleet.presence.is_ours
    assert second.fleet.presence.is_ours
    second.stop()
    wait_for(lambda: first.fleet.presence.is_ours, "it takes part again")
    first.stop()
    one.stop()


def test_an_engine_that_ran_something_else_is_reloaded(
    server: EtcdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the daemon was started anew before the group's revision could be brought here."""
    one = Here(tmp_path / "one", server, "one", MINIMAL)

    def refuse(_: Member, number: int) -> Head:
        raise Conflict(f"not now: {number}")

    with monkeypatch.context() as patched:
        patched.setattr(Member, "place", refuse)
        patched.setattr(here, "wait_for", lambda *_: None)
        other = Here(tmp_path / "other", server, "other", MINIMAL.replace(">app<", ">mine<"))
        wait_for(lambda: other.member.history.note(GROUP) is not None, "joined")
        other.stop()
    other.start()
    assert other.text == MINIMAL
    wait_for(lambda: other.service.reloader.last is not None, "reloaded")
    job = other.service.reloader.last
    assert job is not None
    assert sorted(str(item) for item in job.plan.items) == [
        "create application default/app",
        "delete application default/mine",
    ]
    other.stop()
    one.stop()
