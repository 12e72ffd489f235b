"""Groups with settings or engines of their own: what is not the same for all of them."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from omeconf.core.rollout import Phase
from tests.support import MINIMAL, network
from tests.support.etcd import MUST_RUN
from tests.support.fleet import Fate, Fleet
from tests.support.member import SETTINGS

pytestmark = [pytest.mark.fleet, pytest.mark.xdist_group("members")]

BARE = re.sub(r"<Publishers ?>.*?</Publishers ?>", "", MINIMAL, flags=re.DOTALL)
"""What every engine from 0.12 on takes."""
NOTHING: dict[str, Any] = {"providers": {}, "publishers": {}, "outputProfiles": {}}
"""An application that every engine takes."""
SOAK_S = 2.0


def test_a_member_has_an_older_engine(tmp_path: Path) -> None:
    """What it cannot take is refused by its own check, and nobody applies it."""
    with Fleet(tmp_path, n_etcd=1, n_members=4, releases={"m2": "0.12"}, server_xml=BARE) as fleet:
        made = fleet.commit(fleet.members["m1"], more=NOTHING)
        assert made.fate is Fate.MADE
        fleet.settled()
        newer = {**NOTHING, "publishers": {"llhls": {"segmentDuration": 6}}}
        made = fleet.commit(fleet.members["m1"], more=newer)
        assert made.fate is Fate.BACK
        assert "m2: its check (engine 0.12) finds errors" in made.said
        fleet.settled()
        assert not any(member.hook_calls(made.app) for member in fleet.members.values())
        assert fleet.commit(fleet.members["m2"], more=NOTHING).fate is Fate.MADE
        fleet.settled()


def test_each_batch_is_looked_at_for_a_while(tmp_path: Path) -> None:
    """With soak_s the next batch begins later; who dies meanwhile brings all back."""
    settings = SETTINGS.replace("max_unavailable = 3", f"max_unavailable = 3\nsoak_s = {SOAK_S}")
    with Fleet(tmp_path, n_etcd=1, n_members=4, settings=settings) as fleet:
        began = time.monotonic()
        assert fleet.commit(fleet.members["m3"]).fate is Fate.MADE
        assert time.monotonic() - began >= 2 * SOAK_S
        fleet.settled()

        app = fleet.new_app()
        running = fleet.committing(fleet.members["m3"], app)
        fleet.wait(lambda record: record.says.get("m0") == "healthy", "the canary to be healthy")
        fleet.members["m0"].die_of(app)
        made = running.result()
        assert made.fate is Fate.BACK
        assert re.search("m0: .*died, as the test wants it", made.said), made
        fleet.settled()
        assert not any(member.hook_calls(app) for member in fleet.others(fleet.members["m0"]))


def test_rolled_out_by_hand(tmp_path: Path) -> None:
    """With rollout = "manual" commits wait until somebody asks, and go out together."""
    settings = SETTINGS.replace("wait_s = 8", "wait_s = 1") + 'rollout = "manual"\n'
    with Fleet(tmp_path, n_etcd=1, n_members=4, settings=settings) as fleet:
        made = [fleet.commit(fleet.members[name]) for name in ("m0", "m3")]
        assert [(each.fate, each.said[:11]) for each in made] == [(Fate.MADE, "200 pending")] * 2
        assert not any(member.calls for member in fleet.members.values())
        assert fleet.record().rollout is None
        asked = fleet.members["m2"].ask("POST", "/omeconf/v1/fleet/rollout")
        assert asked.status == 202, asked.json
        fleet.settled()
        assert fleet.record().phase is Phase.CONFIRMED


def test_without_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there can be none, a fleet is on loopback, and nobody can be cut off."""
    monkeypatch.setattr(network, "why_not", lambda: "not root")
    monkeypatch.delenv(MUST_RUN, raising=False)
    with Fleet(tmp_path, n_etcd=1, n_members=3) as fleet:
        assert fleet.commit(fleet.members["m1"]).fate is Fate.MADE
        fleet.settled()
        assert fleet.record().phase is Phase.CONFIRMED
        with pytest.raises(pytest.skip.Exception, match="nobody can be cut off: not root"):
            fleet.cut(fleet.members["m1"])
        fleet.settled()


def test_what_a_crashed_run_has_left() -> None:
    """The next network of its number removes it."""
    network.need_network()
    left = network.Network().start()
    left.add("host")
    assert left._lock is not None
    left._lock.close()  # as if the process were gone
    with network.Network() as new:
        assert new.number <= left.number
        if new.number == left.number:
            assert f"{left.bridge}-host" not in network.run("ip", "netns", "list")
        new.add("host")
