"""A group of ten on three etcd, and what may befall it; afterwards all is well each time.

What "well" means is in `Fleet.wrong`: one revision on all disks, confirmed; every commit that was
acknowledged in every history; and no application restarted more often than needed.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from omeconf.core.rollout import Phase
from tests.support.daemon import wait_for
from tests.support.fleet import CONFIRM_S, Fate, Fleet, Record
from tests.support.member import Member, need_faketime
from tests.support.network import need_network

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.xdist_group("members"),
    pytest.mark.timeout(300),
]

TRIES = 6
"""How often a short state is tried to be caught."""


# -- commits ---------------------------------------------------------------------------------


def test_commits_go_everywhere(fleet: Fleet) -> None:
    """A commit at any member is answered once all run it."""
    for name in ("m0", "m4", "m9"):
        made = fleet.commit(fleet.members[name])
        assert (made.fate, made.said[:6]) == (Fate.MADE, "200 ok"), made
        assert all(member.has(made.app) for member in fleet.members.values())
    fleet.settled()


def test_commits_at_the_same_time(fleet: Fleet) -> None:
    """Members that commit at the same moment: what is acknowledged is there, and nothing twice."""
    writers = [fleet.members[name] for name in ("m1", "m5", "m8")]
    barrier = threading.Barrier(len(writers))

    def write(member: Member) -> None:
        for _ in range(5):
            barrier.wait(60)
            fleet.commit(member)

    threads = [threading.Thread(target=write, args=(member,)) for member in writers]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    made = fleet.rounds[-1].commits
    assert len(made) == 15
    assert sum(commit.fate is Fate.MADE for commit in made) >= 12, made
    fleet.settled()


def test_manual_edit_goes_to_all(fleet: Fleet) -> None:
    """A file edited by hand on one member is a commit of the group."""
    made = fleet.edit(fleet.members["m6"])
    wait_for(lambda: all(member.has(made.app) for member in fleet.members.values()), "the edit")
    fleet.settled()
    assert all(member.has(made.app) for member in fleet.members.values())


def test_a_new_member_joins(fleet: Fleet) -> None:
    """It begins with an empty folder, and has all of the group; nothing is restarted for that."""
    fleet.commit(fleet.members["m0"])
    fleet.settled()
    new = fleet.add("m10").start()
    try:
        fleet.wait(lambda record: "m10" in record.members, "the new member")
        wait_for(lambda: new.conf.exists() and new.files() == fleet.members["m0"].files(), "files")
        assert new.calls == []
        made = fleet.commit(new)
        assert made.fate is Fate.MADE
        wait_for(lambda: [call.action for call in new.hook_calls(made.app)], "its reload")
    finally:
        fleet.remove("m10")
    fleet.settled()


# -- etcd ------------------------------------------------------------------------------------


def test_etcd_leader_is_killed_under_load(fleet: Fleet) -> None:
    """Twice, while three members commit; nobody else is disturbed by it."""
    with fleet.under_load([fleet.members[name] for name in ("m2", "m5", "m9")]) as made:
        for _ in range(2):
            _more(made, 4)
            leader = fleet.cluster.leader()
            fleet.cluster.kill(leader)
            _more(made, 4)
            fleet.cluster.restart(leader)
    assert sum(commit.fate is Fate.MADE for commit in made) >= 8, made
    fleet.settled()


def _more(made: list[Any], count: int) -> None:
    wanted = len(made) + count
    wait_for(lambda: len(made) >= wanted, f"{count} commits more")


def test_all_etcd_down_in_a_rollout(fleet: Fleet) -> None:
    """For longer than confirm_s: whoever applied it goes back by its own clock."""
    members = list(fleet.members.values())
    fleet.excuse(*members)
    fleet.members["m5"].be_slow(1)
    running = fleet.committing(fleet.members["m2"])
    fleet.wait(_applies(2), "the third batch")
    for server in fleet.cluster.servers:
        server.kill()
    app = fleet.rounds[-1].commits[-1].app
    began = time.monotonic()
    assert sum(member.has(app) for member in members) >= 4
    fleet.members["m5"].be_slow(0)
    wait_for(lambda: not any(member.has(app) for member in members), "all to go back")
    assert time.monotonic() - began < CONFIRM_S + 6
    for server in fleet.cluster.servers:
        server.start(wait=False)
    running.result()
    fleet.settled()
    assert fleet.commit(fleet.members["m7"]).fate is Fate.MADE
    fleet.settled()


# -- the driver ------------------------------------------------------------------------------


def _applies(step: int) -> Callable[[Record], bool]:
    return lambda record: (
        record.phase is Phase.APPLYING and record.rollout is not None
        and record.rollout.step == step
    )  # fmt: skip


def _all_healthy(record: Record) -> bool:
    rollout = record.rollout
    return (
        rollout is not None
        and rollout.phase is Phase.APPLYING
        and rollout.step + 1 == len(rollout.batches)
        and all(record.says.get(node) == "healthy" for node in rollout.members)
    )


@pytest.mark.parametrize("step", [0, 1, 3])
def test_driver_is_killed_while_a_batch_applies(fleet: Fleet, step: int) -> None:
    """The first, one in the middle, the last: another member goes on."""
    driver = fleet.driver()
    slow = fleet.members[("m0", "m2", "m4", "m8")[step]]
    slow.be_slow(1)
    running = fleet.committing(fleet.others(driver)[4])
    fleet.wait(_applies(step), f"batch {step + 1}")
    _killed(fleet, driver)
    slow.be_slow(0)
    running.result()
    fleet.settled()


def _killed(fleet: Fleet, driver: Member) -> None:
    """Kill the driver, and start it once there is another."""
    fleet.kill(driver)
    fleet.wait(lambda record: record.driver not in ("", driver.name), "another that drives")
    driver.start()


def test_driver_is_killed_when_all_are_healthy(fleet: Fleet) -> None:
    """And nothing is left to do but to confirm it."""
    driver = fleet.driver()
    slow = fleet.others(driver)[-1]
    slow.be_slow(1)
    running = fleet.committing(fleet.others(driver)[0])
    fleet.wait(
        lambda record: _applies(3)(record) and record.says.get(driver.name) == "healthy",
        "the last batch",
    )
    fleet.pause(driver)
    fleet.wait(_all_healthy, "all to be healthy")
    _killed(fleet, driver)
    slow.be_slow(0)
    assert running.result().fate is Fate.MADE
    fleet.settled()


def test_driver_is_killed_in_the_check(fleet: Fleet) -> None:
    """While members still check the revision."""
    for _ in range(TRIES):
        driver = fleet.driver()
        last = fleet.record().rollout
        number = last.id if last else 0
        running = fleet.committing(fleet.others(driver)[3])
        fleet.wait(lambda r, n=number: r.rollout is not None and r.rollout.id > n, "a rollout")  # type: ignore[misc]
        fleet.kill(driver)
        found = fleet.record()
        fleet.wait(lambda r, d=driver: r.driver not in ("", d.name), "another that drives")  # type: ignore[misc]
        driver.start()
        running.result()
        fleet.settled()
        if found.phase is Phase.CHECKING:
            return
    pytest.fail("a rollout that is being checked was never caught")


@pytest.mark.parametrize("phase", [Phase.REVERTING, Phase.REVERTED])
def test_driver_is_killed_on_the_way_back(fleet: Fleet, phase: Phase) -> None:
    """While members go back, and after that, before the revision is taken back."""
    for _ in range(TRIES):
        driver = fleet.driver()
        refuses, slow, at = fleet.others(driver)[-3:]
        app = fleet.new_app()
        refuses.refuse(app)
        if phase is Phase.REVERTING:
            slow.be_slow(0.5)
        running = fleet.committing(at, app)
        fleet.wait(
            lambda r: r.phase is phase and r.rollout is not None and not r.rollout.settled, phase
        )
        fleet.kill(driver)
        found = fleet.record()
        fleet.wait(lambda r, d=driver: r.driver not in ("", d.name), "another that drives")  # type: ignore[misc]
        slow.be_slow(0)
        driver.start()
        assert running.result().fate is Fate.BACK
        fleet.settled()
        assert not any(member.has(app) for member in fleet.members.values())
        if found.phase is phase and found.rollout is not None and not found.rollout.settled:
            return
    pytest.fail(f"a rollout was never caught {phase}")


def test_driver_hangs_for_longer_than_its_lease(fleet: Fleet) -> None:
    """Another drives; when the first one goes on, it changes nothing."""
    driver = fleet.driver()
    slow = fleet.others(driver)[3]
    slow.be_slow(1)
    running = fleet.committing(fleet.others(driver)[5])
    fleet.wait(lambda record: record.phase is Phase.APPLYING, "a batch")
    fleet.pause(driver)
    fleet.wait(lambda record: record.driver not in ("", driver.name), "another that drives")
    found = fleet.wait(
        lambda record: record.rollout is not None and record.rollout.has_ended
        and (record.phase is Phase.CONFIRMED or record.head == record.stable), "the end of it",
    )  # fmt: skip
    slow.be_slow(0)
    driver.resume()
    fleet.wait(lambda record: driver.name in record.present, "the first one to be back")
    running.result()
    fleet.settled()
    after = fleet.record()
    assert (after.rollout, after.head) == (found.rollout, found.head)
    assert after.driver == found.driver


# -- members ---------------------------------------------------------------------------------


def test_cut_off_in_a_batch(fleet: Fleet) -> None:
    """The others confirm it; the one cut off goes back by its clock, and catches up later."""
    need_network()
    away = fleet.members["m5"] if fleet.driver().name != "m5" else fleet.members["m4"]
    away.be_slow(1)
    app = fleet.new_app()
    running = fleet.committing(fleet.members["m8"], app)
    wait_for(lambda: away.hook_calls(app), "its reload")
    fleet.cut(away)
    assert running.result().fate is Fate.MADE
    away.be_slow(0)
    assert away.has(app)
    wait_for(lambda: not away.has(app), "it to go back")
    more = fleet.commit(fleet.members["m8"])
    fleet.heal(away)
    fleet.settled()
    done = [call.action for call in away.hook_calls(app) if call.state == "done"]
    assert done == ["create", "delete", "create"]
    assert [call.action for call in away.hook_calls(more.app) if call.state == "done"] == ["create"]


@pytest.mark.parametrize("how", ["cut off", "killed", "hangs"])
def test_away_for_several_commits(fleet: Fleet, how: str) -> None:
    """It has all of them when it is back, with one restart for each application."""
    away = fleet.others(fleet.driver())[5]
    if how == "cut off":
        need_network()
        fleet.cut(away)
    elif how == "killed":
        fleet.kill(away)
    else:
        fleet.pause(away)
    made = [fleet.commit(fleet.others(away)[at]) for at in (1, 4, 7)]
    assert all(commit.fate is Fate.MADE for commit in made)
    if how == "cut off":
        fleet.heal(away)
    elif how == "killed":
        away.start()
    else:
        away.resume()
    fleet.settled()
    for commit in made:
        begun = [call.action for call in away.hook_calls(commit.app) if call.state == "begun"]
        assert begun == ["create"]


@pytest.mark.parametrize("name", ["m0", "m2", "m9"])
def test_an_engine_refuses(fleet: Fleet, name: str) -> None:
    """The canary's, one in the middle, one of the last: all go back, and the commit is answered."""
    app = fleet.new_app()
    fleet.members[name].refuse(app)
    made = fleet.commit(fleet.members["m4"], app)
    assert made.fate is Fate.BACK
    assert f"{name}: refused, as the test wants it" in made.said
    fleet.settled()
    assert not any(member.has(app) for member in fleet.members.values())


def test_an_engine_dies_after_applying(fleet: Fleet) -> None:
    """While the last batch is at it, an engine that was well is not any more: all go back."""
    app = fleet.new_app()
    dies = fleet.members["m1"]
    fleet.members["m9"].be_slow(3)
    running = fleet.committing(fleet.members["m4"], app)
    fleet.wait(lambda r: _applies(3)(r) and r.says.get("m1") == "healthy", "the last batch")
    dies.die_of(app)
    made = running.result()
    fleet.members["m9"].be_slow(0)
    assert made.fate is Fate.BACK
    assert re.search("m1: .*died, as the test wants it", made.said), made
    fleet.settled()


@pytest.mark.parametrize("days", [400, -400])
def test_a_clock_is_wrong(fleet: Fleet, days: int) -> None:
    """By more than a year, ahead or behind: the member takes part as any other."""
    need_faketime()
    wrong = fleet.others(fleet.driver())[4]
    fleet.kill(wrong)
    wrong.set_clock(days)
    wrong.start()
    year = time.gmtime(time.time() + days * 86400).tm_year
    assert wrong.log.splitlines()[-1].startswith(str(year))
    fleet.settled()
    assert fleet.commit(wrong).fate is Fate.MADE
    assert fleet.commit(fleet.others(wrong)[2]).fate is Fate.MADE
    app = fleet.new_app()
    fleet.others(wrong)[-1].refuse(app)
    assert fleet.commit(wrong, app).fate is Fate.BACK
    fleet.settled()
    fleet.kill(wrong)
    wrong.set_clock(0)
    wrong.start()
    assert fleet.commit(wrong).fate is Fate.MADE
    fleet.settled()


def test_a_wrong_clock_drives_and_is_cut_off(fleet: Fleet) -> None:
    """One that is a year ahead drives; cut off in a batch, it goes back when it should."""
    need_faketime()
    need_network()
    wrong = fleet.driver()
    fleet.kill(wrong)
    wrong.set_clock(400)
    wrong.start()
    fleet.settled()
    for other in fleet.others(wrong):
        if fleet.driver() is wrong:
            break
        if fleet.driver() is other:
            other.pause()
            fleet.excuse(other)
            fleet.wait(lambda r, o=other: r.driver not in ("", o.name), "another that drives")  # type: ignore[misc]
            other.resume()
    fleet.settled()
    app = fleet.new_app()
    slow = fleet.others(wrong)[2]
    slow.be_slow(2)
    running = fleet.committing(fleet.others(wrong)[6], app)
    fleet.wait(lambda r: r.says.get(wrong.name) == "healthy" or _applies(1)(r), "a batch")
    fleet.cut(wrong)
    began = time.monotonic()
    slow.be_slow(0)
    running.result()
    wait_for(lambda: not wrong.has(app), "it to go back")
    assert time.monotonic() - began < CONFIRM_S + 6
    fleet.heal(wrong)
    fleet.settled()
    fleet.kill(wrong)
    wrong.set_clock(0)
    wrong.start()
    fleet.settled()


# -- what an operator does -------------------------------------------------------------------


def _ask(fleet: Fleet, node: str, verb: str) -> Any:
    answer = fleet.members[node].ask("POST", f"/omeconf/v1/fleet/{verb}")
    assert answer.status in (200, 202), answer.json
    return answer.json


def test_paused_and_resumed(fleet: Fleet) -> None:
    """While rollouts are paused, commits are made and wait."""
    _ask(fleet, "m1", "pause")
    made = fleet.commit(fleet.members["m3"])
    assert (made.fate, made.said[:11]) == (Fate.MADE, "200 pending"), made
    assert not any(member.has(made.app) for member in fleet.members.values())
    _ask(fleet, "m8", "resume")
    fleet.settled()
    assert all(member.has(made.app) for member in fleet.members.values())


def test_paused_between_two_batches(fleet: Fleet) -> None:
    """Longer than confirm_s: nobody goes back, since somebody drives."""
    fleet.members["m2"].be_slow(1)
    running = fleet.committing(fleet.members["m3"])
    fleet.wait(_applies(1), "the second batch")
    _ask(fleet, "m7", "pause")
    fleet.members["m2"].be_slow(0)
    app = running.result().app
    ends = time.monotonic() + CONFIRM_S
    while time.monotonic() < ends:
        assert fleet.members["m0"].has(app)
        assert not fleet.members["m9"].has(app)
        time.sleep(0.2)
    _ask(fleet, "m2", "resume")
    fleet.settled()
    assert all(member.has(app) for member in fleet.members.values())


def test_aborted(fleet: Fleet) -> None:
    """In the middle of it: all go back, and the commit is answered."""
    fleet.members["m5"].be_slow(1)
    running = fleet.committing(fleet.members["m3"])
    fleet.wait(_applies(2), "the third batch")
    _ask(fleet, "m9", "abort")
    made = running.result()
    fleet.members["m5"].be_slow(0)
    assert made.fate is Fate.BACK
    assert "aborted by" in made.said
    fleet.settled()
    assert not any(member.has(made.app) for member in fleet.members.values())
