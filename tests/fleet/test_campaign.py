"""Random faults against a group; a short campaign here, a long one by `make torture-fleet`."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.fleet.campaign import Campaign
from tests.support.fleet import KEPT, Fleet
from tests.support.member import need_faketime

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.xdist_group("members"),
    pytest.mark.timeout(3 * 3600),
]

SEED = "OMECONF_FLEET_SEED"
"""The seed of another run, to have the same faults."""
ROUNDS = "OMECONF_FLEET_ROUNDS"
SHORT = 15
"""Rounds unless told: each kind of fault once, and some twice."""


def test_campaign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After every round all is well, and every kind of fault was there.

    Without namespaces nobody is cut off.
    """
    need_faketime()
    seed = int(os.environ.get(SEED) or random.randrange(2**32))
    KEPT.mkdir(exist_ok=True)
    story = KEPT / "campaign.txt"
    story.write_text("")

    def say(text: str) -> None:
        with capsys.disabled(), story.open("a") as file:
            file.write(f"{text}\n")
            print(text, flush=True)

    say(f"\n{SEED}={seed}")
    with Fleet(tmp_path) as fleet:
        campaign = Campaign(fleet, seed, say)
        try:
            campaign.run(int(os.environ.get(ROUNDS) or SHORT))
        finally:
            say(campaign.figures())
    assert not campaign.missing()
