"""A whole group in memory: members that crash, are cut off, fail and come back, at every point."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omeconf.core.rollout import (
    Do,
    Outcome,
    Phase,
    Policy,
    abort,
    begin,
)
from tests.support.group_model import Away, Group, Member, Stuck

MOST_TURNS = 600
"""So many rounds of all members are enough to come to rest, or it is a livelock."""


class World(Group):
    """A group, and all that may happen to it."""

    # -- what may happen -----------------------------------------------------------------------

    def run(self, member: Member, most: int = 1) -> bool:
        """Have a member go on until after so many things that last; whether there is more."""
        for _ in range(most):
            if not member.is_up or member.is_hung:
                return False
            if member.turn is None:
                member.turn = self.take_turn(member)
            try:
                next(member.turn)
            except StopIteration as end:
                member.turn = None
                return bool(end.value)
            except (Away, Stuck):
                member.turn = None
                return False
        return True

    def crash(self, member: Member) -> None:
        """It is gone from one moment to the next."""
        member.is_up, member.turn, member.is_current = False, None, False
        member.failed, member.seen, member.expected = 0, None, 0
        member.mishaps += 1

    def start(self, member: Member) -> None:
        """It is there again, and reads everything."""
        if not member.is_up:
            member.is_up = True
            if member.outcome is Outcome.FAILED:
                member.outcome = Outcome.RUNNING
            self.presence()
            self.hear(member)

    def finish_reload(self, member: Member, *, is_good: bool = True) -> None:
        """The engine has taken it, or not."""
        if member.is_up and member.outcome is Outcome.RUNNING:
            can = is_good and not member.cannot_run & self.made[member.placed].edits
            member.outcome = Outcome.HEALTHY if can else Outcome.FAILED

    def pass_time(self, seconds: int) -> None:
        """Time goes by."""
        self.now += seconds
        self.presence()

    def happen(self, name: str, which: int, number: int) -> None:
        """Something happens to the group, or to one member."""
        member = self.members[which % len(self.members)]
        self.log.append(f"{self.now}: {name} {member.node} {number}")
        rollout = self.true.rollout
        if name == "step":
            self.run(member)
        elif name == "run":
            self.run(member, 1 + number % 4)
        elif name == "go on":
            for one in self.members:
                self.hear(one)
                self.run(one, 9)
                self.finish_reload(one)
        elif name == "hear":
            self.hear(member)
        elif name == "reload":
            self.finish_reload(member, is_good=number % 4 != 0)
        elif name == "time":
            self.pass_time((1, 4, 11, 31, 61, 121)[number % 6])
        elif name == "commit":
            edit = self.true.head + 1
            self.commit(self.made[self.true.head].edits | {edit})
            if number % 5 == 0:
                member.cannot_run.add(edit)
            elif number % 5 == 1:
                member.refuses.add(edit)
        elif name == "undo" and self.true.head > 1:
            undone = 2 + number % (self.true.head - 1)
            self.commit(self.without((undone,)), (undone,))
        elif name == "crash":
            self.crash(member)
        elif name == "start":
            self.start(member)
        elif name == "cut":
            member.is_linked, member.is_current = False, number % 2 == 0
        elif name == "link":
            member.is_linked = True
            self.presence()
        elif name == "obstacle":
            member.obstacle = "" if member.obstacle else "held"
        elif name == "stuck":
            member.stuck = not member.stuck
        elif name == "sick" and member.is_open and member.outcome is Outcome.HEALTHY:
            member.outcome = Outcome.FAILED
        elif name == "lost reply":
            member.loses_reply = True
        elif name == "lease":
            present = {n: v for n, v in self.true.present.items() if n != member.node}
            driver = "" if self.true.driver == member.node else self.true.driver
            self.since.pop(member.node, None)
            self.put(present=present, driver=driver)
        elif name == "etcd":
            self.is_away = not self.is_away
        elif name == "pause":
            self.put(is_paused=not self.true.is_paused)
        elif name == "abort" and rollout is not None and member.is_linked and member.is_up:
            found = abort(rollout, "aborted")
            if found is not None and not self.is_away:
                self.write(member, found, self.true, asked=True)
        elif name == "ask" and member.is_linked and member.is_up and not self.is_away:
            asked = begin(self.true, self.policy, is_asked=True)
            if asked is not None:
                self.write(member, asked, self.true, asked=True)
        self.check_idle()

    def check_idle(self) -> None:
        """Whoever knows everything, and has nothing to do, has what it should on disk."""
        true = self.true
        for member in self.members:
            is_idle = (
                member.is_up
                and member.is_current
                and member.view is true
                and member.turn is None
                and member.outcome is not Outcome.RUNNING
                and not (member.obstacle or member.stuck or member.failed)
            )
            if not is_idle or self.duty(member).do is not Do.NOTHING:
                continue
            rollout = true.rollout
            allowed = {true.stable}
            if rollout is not None and not rollout.has_ended:
                allowed |= self.confirmed
                if member.node in rollout.begun and rollout.phase is Phase.APPLYING:
                    allowed.add(rollout.target)
            assert member.placed in allowed, f"{member.node} has {member.placed}: {true}"

    # -- the end -------------------------------------------------------------------------------

    def heal(self, end: str = "", one: Member | None = None) -> None:
        """All is well from now on, but for one thing that stays as it is.

        "gone": one member is away; "hung": it is there, and does nothing; "stuck": it cannot take
        anything up, and rollouts are paused; "etcd": etcd is away.
        """
        self.is_away = end == "etcd"
        for member in self.members:
            while member.turn is not None and member.is_up and not member.is_hung:
                self.run(member)  # what it has decided before is not counted
        self.all_are_well = end in ("", "gone")
        self.put(is_paused=end == "stuck")
        for member in self.members:
            is_bad = member is one
            member.obstacle, member.loses_reply, member.seen = "", False, None
            member.stuck, member.is_hung = is_bad and end == "stuck", is_bad and end == "hung"
            member.cannot_run, member.refuses, member.is_linked = set(), set(), True
            if self.is_away:
                member.is_current = False
            if is_bad and end == "gone":
                self.crash(member)
            if not (is_bad and end == "gone"):
                self.start(member)
        if end == "hung" and one is not None and self.true.driver == one.node:
            self.put(driver="")  # it lets go of that when its thread does nothing
        self.presence()

    def come_to_rest(self) -> None:
        """Go on until nothing changes any more."""
        quiet = 0
        for _ in range(MOST_TURNS):
            before = (self.writes, [(m.placed, m.stand, m.outcome) for m in self.members])
            self.happen("go on", 0, 0)
            after = (self.writes, [(m.placed, m.stand, m.outcome) for m in self.members])
            quiet = quiet + 1 if before == after else 0
            if quiet > 30:
                return
            self.pass_time(1 if quiet < 3 else 7)
        raise AssertionError(f"it does not come to rest: {self.true}")

    def check_alone(self) -> None:
        """What is so while etcd is away: by its own clock everybody went back."""
        for member in self.members:
            assert member.placed in self.confirmed, (
                f"{member.node} has {member.placed}, {member.stand}"
            )

    def check_rest(self) -> None:
        """What is so once all is well, and at rest."""
        true = self.true
        last = true.rollout
        assert last is None or last.has_ended
        if true.head != true.stable:
            if not self.keeps:
                assert self.made[true.head].edits == self.made[true.stable].edits, "bad head"
            is_forgotten = last is None or last.phase is Phase.CONFIRMED
            assert not is_forgotten, "head is not rolled out"
            is_settled = last is not None and last.settled and last.target == true.head
            assert is_settled, "it is not settled"
        for member in self.members:
            if not member.is_up or member.is_hung:
                continue
            assert member.placed == true.stable, f"{member.node} has {member.placed}: {true}"
            assert not member.is_open, f"{member.node} still waits: {member.stand}"
            most = self.good + 2 * self.bad + 2 * member.mishaps
            assert member.moves <= most, f"{member.node} moved {member.moves} times, not {most}"


ACTIONS = (
    *("run",) * 6, *("go on",) * 5, *("hear",) * 3, *("reload",) * 3, *("time",) * 4,
    *("commit",) * 3, "undo", "crash", "start", "start", "cut", "link", "link", "obstacle", "stuck",
    "sick", "lost reply", "lease", "etcd", "pause", "abort", "ask",
)  # fmt: skip
FINE = (
    *("step",) * 20, *("hear",) * 10, *("reload",) * 8, *("time",) * 2, *("go on",) * 2,
    *("link",) * 3, *("start",) * 3, "commit", "crash", "crash", "sick", "lost reply", "cut",
)  # fmt: skip
"""One thing after another, each by itself."""
POLICIES = (
    Policy(vote_s=30, apply_s=120, confirm_s=60),
    Policy(canary=0, max_unavailable=2, soak_s=20, confirm_s=60),
    Policy(canary=2, max_unavailable=3, vote_s=5, apply_s=30, confirm_s=20),
)
ENDS = ("", "gone", "hung", "stuck", "etcd")
Action = tuple[str, int, int]


def play(count: int, kind: int, absent: int, actions: list[Action]) -> None:
    """Have it all happen; then all is well, first without one member, then with all."""
    world = World(count, POLICIES[kind % len(POLICIES)], keeps=kind >= 5)
    try:
        for name, which, number in actions:
            world.happen(name, which, number)
        end = ENDS[absent % len(ENDS)]
        one = world.members[absent % count]
        if absent % 2:
            one = next((m for m in world.members if m.node == world.true.driver), one)
        if end:
            world.heal(end, one)
            world.come_to_rest()
        if end in ("gone", "hung"):
            world.check_rest()
        elif end == "etcd":
            world.check_alone()
        world.heal()
        world.come_to_rest()
        world.check_rest()
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *world.log[-80:]])) from error


def wander(seed: int) -> None:
    """A long way at random."""
    dice = random.Random(seed)
    kinds = dice.choice((ACTIONS, FINE))
    actions: list[Action] = [("commit", 0, dice.randrange(12))] * (kinds is FINE)
    actions += [("go on", 0, 0)] * (kinds is FINE) * dice.randrange(6)
    actions += [
        (dice.choice(kinds), dice.randrange(5), dice.randrange(12))
        for _ in range(dice.randrange(10, 150))
    ]
    play(dice.choice((2, 2, 3, 3, 4, 5)), dice.randrange(6), dice.randrange(15), actions)


STEPS = st.lists(
    st.tuples(st.sampled_from((*ACTIONS, *FINE)), st.integers(0, 4), st.integers(0, 11)),
    max_size=50,
)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(2, 5), st.integers(0, 5), st.integers(0, 14), STEPS)
def test_whatever_happens(count: int, kind: int, absent: int, actions: list[Action]) -> None:
    """The group comes to rest on what is confirmed, whatever happens before."""
    play(count, kind, absent, actions)


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_at_random(first: int) -> None:
    """The same on longer ways."""
    for seed in range(first, first + 100):
        try:
            wander(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 13000, 2000))
def test_long_at_random(first: int) -> None:
    """The same, very often."""
    for seed in range(first, first + 2000):
        try:
            wander(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
