"""A group of members in memory, as a model: who acts on what, and what is compared when it writes.

The members do what `daemon/fleet/part.py` and `drive.py` do, in the same order, and stop after
each thing that lasts, so that anything may happen between any two of them. etcd is the newest of
many views: a member acts on the one that it has heard of, and what it writes is compared as there.
What must never be is asserted where it would be written.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace

from omeconf.core.rollout import (
    Do,
    Duty,
    Outcome,
    Phase,
    Policy,
    Rollout,
    Says,
    Stand,
    View,
    Word,
    begin,
    decide,
    duty,
)

LEASE_S, LOOK_S, AGAIN_S = 10, 3, 60
NEXT = {
    Phase.CHECKING: {Phase.APPLYING, Phase.REFUSED},
    Phase.APPLYING: {Phase.APPLYING, Phase.REVERTING, Phase.CONFIRMED},
    Phase.REVERTING: {Phase.REVERTED},
}
Turn = Generator[None, None, bool]


class Away(Exception):
    """etcd does not answer."""


class Stuck(Exception):
    """The files cannot be changed now."""


@dataclass(frozen=True)
class Made:
    """A revision: what it has, as the numbers of the edits, and what it takes back."""

    edits: frozenset[int]
    reverts: tuple[int, ...] = ()


@dataclass
class Member:
    """One member. What is durable outlives a crash."""

    node: str
    placed: int = 1
    """Durable, as stand and deadline."""
    stand: Stand | None = None
    deadline: int | None = None
    outcome: Outcome = Outcome.HEALTHY
    failed: int = 0
    again: int = 0
    """When it tries again what failed."""
    is_up: bool = True
    is_linked: bool = True
    is_current: bool = True
    loses_reply: bool = False
    stuck: bool = False
    is_hung: bool = False
    """Its lease is kept up, and that is all."""
    obstacle: str = ""
    cannot_run: set[int] = field(default_factory=set)
    refuses: set[int] = field(default_factory=set)
    view: View = field(default_factory=lambda: View(1, 1))
    checked: int = 0
    contact: int = 0
    expected: int = 0
    turn: Turn | None = None
    seen: tuple[int, Mapping[str, Word], Mapping[str, object]] | None = None
    rollout_since: int = 0
    words_since: int = 0
    drove: int = 0
    idle_s: int = 0
    """For how long it had not looked when it last did, as the driver."""
    moves: int = 0
    mishaps: int = 0
    """Crashes, failures, own clocks that ran out, and what could not be placed."""

    @property
    def is_open(self) -> bool:
        """As `Part.is_open`."""
        return self.stand is not None and self.stand.is_open and self.placed == self.stand.target

    @property
    def is_kept(self) -> bool:
        """Whether its lease is, as far as it knows."""
        return self.node in self.view.present


class Group:
    """A group, its etcd, and time."""

    def __init__(self, count: int, policy: Policy, *, keeps: bool = False) -> None:
        self.policy, self.keeps = policy, keeps
        self.now = 0
        self.is_away = False
        self.made = {1: Made(frozenset())}
        self.confirmed = {1}
        self.was_applying: set[int] = set()
        self.writes = self.good = self.bad = 0
        self.words_changed: dict[str, int] = {}
        self.members = [Member(f"n{number}") for number in range(count)]
        self.true = View(1, 1, present={m.node: () for m in self.members})
        for member in self.members:
            member.view = self.true
        self.since = dict.fromkeys(self.true.present, 0)
        """When each that is there came."""
        self.all_are_well = False
        self.log: list[str] = []

    # -- etcd ----------------------------------------------------------------------------------

    def put(self, **changes: object) -> None:
        """One transaction's outcome."""
        revision = self.true.revision + 1
        if "rollout" in changes:
            changes["changed"] = revision
        self.true = replace(self.true, revision=revision, **changes)  # type: ignore[arg-type]
        self.writes += 1

    def reach(self, member: Member) -> None:
        """Raise Away unless it can talk to etcd."""
        if self.is_away or not member.is_linked:
            raise Away

    def answer(self, member: Member) -> None:
        """What was written has been: it may not hear of that."""
        if member.loses_reply:
            member.loses_reply = False
            raise Away
        member.expected = self.true.revision

    def hear(self, member: Member) -> None:
        """Have its mirror up to date."""
        if member.is_up and member.is_linked and not self.is_away:
            member.view, member.is_current, member.checked = self.true, True, self.now

    def presence(self) -> None:
        """Leases are kept up, end, or begin again."""
        present = dict(self.true.present)
        for member in self.members:
            if member.is_up and member.is_linked and not self.is_away:
                member.contact = self.now
                present.setdefault(member.node, ())
            elif not self.is_away and self.now - member.contact >= LEASE_S:
                present.pop(member.node, None)
        driver = self.true.driver if self.true.driver in present else ""
        self.since = {node: self.since.get(node, self.now) for node in present}
        if present != self.true.present or driver != self.true.driver:
            self.put(present=dict(sorted(present.items())), driver=driver)

    def write(self, member: Member, rollout: Rollout, view: View, *, asked: bool = False) -> bool:
        """As `Drive._write`, or as `Drive._ask`."""
        self.reach(member)
        true = self.true
        if true.changed != view.changed or (not asked and true.driver != member.node):
            return False
        old, more = true.rollout, {}
        newest = max(self.words_changed.values(), default=0)
        is_judged = rollout.phase is Phase.CONFIRMED or (
            rollout.phase is Phase.APPLYING and old is not None and old.phase is Phase.CHECKING
        )
        if is_judged and newest > view.revision:
            return False
        if old is not None and old.id == rollout.id and not old.has_ended:
            assert rollout.phase in NEXT[old.phase], f"{old.phase} -> {rollout.phase}"
        elif old is not None and old.id != rollout.id:
            assert old.has_ended, "two rollouts are under way"
            assert rollout.id > old.id
        if rollout.phase is Phase.APPLYING:
            self.was_applying.add(rollout.id)
            refusing = [w for n in true.present if (w := true.word(n)) and w.says is Says.REFUSES]
            if is_judged:
                assert not refusing, "somebody refuses"
        if rollout.phase is Phase.CONFIRMED:
            self._may_confirm(rollout, view)
            self.confirmed.add(rollout.target)
            more = {"stable": rollout.target}
            self.good += 1
        if rollout.phase is Phase.REVERTING and "not healthy in" in rollout.reason:
            node = rollout.reason.partition(":")[0]
            came = self.since.get(node, 0)
            had_time = self.now - came >= rollout.policy.apply_s
            assert had_time or member.idle_s > LEASE_S, f"{node} had no time"
            assert not self.all_are_well, rollout.reason
        if rollout.phase is Phase.REVERTED and not rollout.settled:
            self._are_back(rollout, view)
        ends_badly = rollout.phase in (Phase.REVERTED, Phase.REFUSED)
        self.bad += ends_badly and not (old is not None and old.phase is rollout.phase)
        self.put(rollout=rollout, **more)
        self.log.append(f"{self.now}: {member.node}: {rollout}")
        if not asked:
            self.answer(member)
        return True

    def _are_back(self, rollout: Rollout, view: View) -> None:
        for member in self.members:
            if member.node not in rollout.begun or member.node not in view.present:
                continue
            word = self.true.word(member.node)
            if "has not said" in rollout.skipped.get(member.node, ""):
                assert not self.all_are_well, f"{member.node} has not said that it is back"
            elif word is None or word.says is not Says.EXPIRED:
                assert member.placed != rollout.target, f"{member.node} is not back"

    def _may_confirm(self, rollout: Rollout, view: View) -> None:
        assert rollout.target >= self.true.stable
        for node in rollout.members:
            word = self.true.word(node)
            says = word.says if word else None
            bad = (Says.FAILED, Says.EXPIRED, Says.REVERTED)
            assert says not in bad, f"{node} says {says}, and it is confirmed"
            is_there = node in view.present
            assert says in (Says.HEALTHY, Says.UNABLE) or not is_there, f"{node} says {says}"
        healthy = [n for n in rollout.members if (w := self.true.word(n)) and w.says == "healthy"]
        assert healthy, "nobody runs what is confirmed"

    # -- a member's turn, as in Fleet._step ----------------------------------------------------

    def take_turn(self, member: Member) -> Turn:
        """One step of its thread."""
        rollout = member.view.rollout if member.is_current else None
        if (yield from self.tend(member, rollout.policy if rollout else self.policy)):
            return True
        if not member.is_current:
            return False
        if self.now - member.checked > LOOK_S:
            self.reach(member)
            self.hear(member)
        if member.view.revision < member.expected:
            return False
        if (yield from self.part(member)):
            return True
        return (yield from self.drive(member))

    def tend(self, member: Member, policy: Policy) -> Turn:
        """As `Part.tend`."""
        stand, view = member.stand, member.view
        rollout = view.rollout
        if stand is not None and self.is_half_back(member) and not member.is_current:
            yield from self.go_back(member, stand.word)
            return True
        if stand is None or member.deadline is None or not member.is_open:
            return False
        is_driven = bool(view.driver) and self.now - member.contact < LEASE_S
        is_fresh = member.is_current and self.now - member.checked < LEASE_S
        if is_driven and is_fresh and member.is_kept:
            if member.deadline - self.now < policy.confirm_s * 0.75:
                member.deadline = self.now + int(policy.confirm_s)
            return False
        if member.deadline > self.now:
            return False
        is_ours = rollout is not None and rollout.id == stand.rollout
        is_waiting = is_ours and rollout is not None and rollout.phase is Phase.APPLYING
        if member.is_current and not is_waiting:
            return False
        word = Word(stand.rollout, Says.EXPIRED, "heard of no driver in time: etcd was away?")
        if member.is_current:
            try:
                if not self.say(member, word, view):
                    return False
            except Away:
                pass
            yield
        member.mishaps += not member.is_current or is_waiting
        yield from self.go_back(member, word)
        return True

    @staticmethod
    def is_half_back(member: Member) -> bool:
        """Whether it has said that it goes back, and has not."""
        stand = member.stand
        is_closed = stand is not None and not stand.is_open and member.placed == stand.target
        return bool(is_closed and stand is not None and stand.back)

    def part(self, member: Member) -> Turn:
        """As `Part.step` and `Part._do`."""
        view, stand = member.view, member.stand
        found = self.duty(member)
        word, rollout = found.word, view.rollout
        if found.do is Do.NOTHING:
            return False
        if found.do is Do.KEEP:
            member.stand = member.deadline = None
        elif found.do is Do.CATCH_UP:
            return (yield from self.catch_up(member, view.stable))
        elif found.do is Do.CHECK and rollout is not None:
            says = self.check(member, rollout)
            yield
            return says != view.word(member.node) and self.say(member, says, view)
        elif found.do is Do.SAY and word is not None:
            if stand is not None and stand.is_open and stand.rollout == word.rollout:
                member.stand = replace(stand, word=word)
                yield
            return self.say(member, word, view)
        elif found.do is Do.APPLY and word is not None and rollout is not None:
            yield from self.apply(member, rollout, word, view)
        elif found.do is Do.GO_BACK and word is not None:
            yield from self.go_back(member, word)
            if word.rollout:
                self.say(member, word, view)
        return True

    def duty(self, member: Member) -> Duty:
        """What it has to do."""
        obstacle = member.obstacle
        is_late = self.now < member.again
        if not obstacle and is_late and member.failed == member.view.stable != member.placed:
            obstacle = f"revision {member.failed} could not be taken up here"
        return duty(
            member.node,
            member.view,
            placed=member.placed,
            stand=member.stand,
            outcome=member.outcome,
            output="it failed",
            obstacle=obstacle,
        )

    def say(self, member: Member, word: Word, view: View) -> bool:
        """As `Part._say`."""
        if view.rollout is None or view.rollout.id != word.rollout:
            return False
        self.reach(member)
        if self.true.changed != view.changed:
            return False
        self.put(words={**self.true.words, member.node: word})
        self.words_changed[member.node] = self.true.revision
        self.answer(member)
        return True

    def check(self, member: Member, rollout: Rollout) -> Word:
        """What it thinks of the target."""
        if member.stuck:
            return Word(rollout.id, Says.UNABLE, "a file lies in the way")
        has_errors = member.refuses & self.made[rollout.target].edits
        return Word(rollout.id, Says.REFUSES if has_errors else Says.ACCEPTS)

    def apply(self, member: Member, rollout: Rollout, word: Word, view: View) -> Turn:
        """As `Part._apply`."""
        assert rollout.id in self.was_applying, "applied what is being checked, or was refused"
        member.deadline = self.now + int(rollout.policy.confirm_s)
        member.stand = Stand(rollout.id, rollout.target, member.placed, word)
        yield
        try:
            self.place(member, rollout.target)
            yield
        except Stuck:
            failed = Word(rollout.id, Says.FAILED, "stuck")
            member.stand, member.deadline = replace(member.stand, word=failed), None
            yield
            self.say(member, failed, view)
        return True

    def go_back(self, member: Member, word: Word) -> Turn:
        """As `Part._go_back`."""
        stand = member.stand
        assert stand is not None
        member.stand, member.deadline = replace(stand, word=word), None
        member.mishaps += word.says is Says.FAILED
        if not stand.rollout:
            member.failed, member.again = stand.target, self.now + AGAIN_S
        yield
        assert stand.back in self.confirmed, f"{stand.back} was never confirmed: {stand}"
        self.place(member, stand.back)
        yield
        return True

    def catch_up(self, member: Member, stable: int) -> Turn:
        """As `Part._catch_up`."""
        if member.failed == stable and self.now < member.again:
            return False
        stand, back = member.stand, member.placed
        if stand is not None and stand.is_open and (member.is_open or not stand.rollout):
            back = stand.back
        member.stand, member.deadline = Stand(0, stable, back, Word(0, Says.ACCEPTS)), None
        yield
        try:
            self.place(member, stable)
        except Stuck:
            member.failed, member.again = stable, self.now + AGAIN_S
            return False
        yield
        return True

    def place(self, member: Member, number: int) -> None:
        """Bring a revision on its disk."""
        if member.stuck:
            member.mishaps += 1
            raise Stuck
        member.placed, member.outcome = number, Outcome.RUNNING
        member.moves += 1
        self.log.append(f"{self.now}: {member.node} has {number} on disk, {member.stand}")

    # -- as in Drive.step ----------------------------------------------------------------------

    def drive(self, member: Member) -> Turn:
        """The driver's part."""
        view = member.view
        if not view.driver:
            self.reach(member)
            if self.true.driver or member.node not in self.true.present:
                return False
            self.put(driver=member.node)
            self.answer(member)
            return True
        if view.driver != member.node or self.now - member.contact >= LEASE_S:
            return False
        member.drove, member.idle_s = self.now, self.now - member.drove
        seen = member.seen or (0, {}, {})
        if seen[0] != view.changed or view.present.keys() - seen[2].keys():
            member.rollout_since = self.now
        if seen[:2] != (view.changed, view.words):
            member.words_since = self.now
        member.seen = (view.changed, view.words, view.present)
        rollout = view.rollout
        if rollout is not None and not rollout.has_ended:
            waited_s, steady_s = self.now - member.rollout_since, self.now - member.words_since
            found = decide(view, waited_s=waited_s, steady_s=steady_s)
            yield
            return found is not None and self.write(member, found, view)
        if rollout is not None and rollout.phase is not Phase.CONFIRMED and not rollout.settled:
            settled = yield from self.settle(member, rollout)
            return self.write(member, replace(rollout, settled=settled), view)
        found = begin(view, self.policy)
        yield
        return found is not None and self.write(member, found, view)

    def settle(self, member: Member, rollout: Rollout) -> Generator[None, None, str]:
        """As `Drive._settle`; a revision is made if head is still what it was."""
        if self.keeps:
            return "kept"
        self.reach(member)
        head = self.true.head
        newer = {n: made for n, made in self.made.items() if n > rollout.base}
        gone: set[int] = set()
        for number in sorted(newer, reverse=True):
            if number not in gone:
                gone.update(newer[number].reverts)
        numbers = [
            number
            for number, made in newer.items()
            if number <= rollout.target
            and number not in gone
            and not (made.reverts and min(made.reverts) > rollout.base)
        ]
        yield
        if not numbers:
            return "nothing to take back"
        self.reach(member)
        if self.true.head != head:
            raise Away  # Busy, in truth: it tries again
        self.commit(self.without(tuple(numbers)), tuple(numbers))
        self.answer(member)
        yield
        return "taken back"

    def without(self, numbers: tuple[int, ...]) -> frozenset[int]:
        """What head has without what some revisions brought."""
        edits = set(self.made[self.true.head].edits)
        for number in numbers:
            before, after = self.made[number - 1].edits, self.made[number].edits
            edits = (edits - (after - before)) | (before - after)
        return frozenset(edits)

    def commit(self, edits: frozenset[int], reverts: tuple[int, ...] = ()) -> None:
        """A new revision of the group."""
        number = self.true.head + 1
        self.made[number] = Made(edits, reverts)
        self.put(head=number)
