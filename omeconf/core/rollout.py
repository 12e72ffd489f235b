"""A rollout: how a group of members comes to run a revision, or goes back, as values.

Two functions decide everything, from what the group has on record and nothing else: `decide`, what
the member that drives does next with a rollout, and `duty`, what a member does next for its own
part. Neither knows a clock: who asks says how long things have been as they are.

    checking -> applying (batch after batch) -> confirmed
        |           |
     refused    reverting -> reverted
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


class Phase(enum.StrEnum):
    """Where a rollout stands."""

    CHECKING = "checking"
    """Each member checks the revision against its own engine and environment."""
    APPLYING = "applying"
    """Batch after batch applies it, unconfirmed."""
    REVERTING = "reverting"
    """Whoever applied it goes back."""
    CONFIRMED = "confirmed"
    """All that are there run it, and keep it."""
    REVERTED = "reverted"
    REFUSED = "refused"
    """A member cannot take it, or somebody ended it: nobody applied it."""


ENDED = (Phase.CONFIRMED, Phase.REVERTED, Phase.REFUSED)


class Says(enum.StrEnum):
    """What a member says in a rollout."""

    ACCEPTS = "accepts"
    """It could apply it."""
    REFUSES = "refuses"
    """Its check found errors."""
    UNABLE = "unable"
    """It cannot take part now: edited by hand, held, its engine away. It is skipped."""
    HEALTHY = "healthy"
    """It runs it, unconfirmed."""
    FAILED = "failed"
    """It could not apply it, or was not well with it, and has gone back."""
    EXPIRED = "expired"
    """It heard nothing for too long, and has gone back."""
    REVERTED = "reverted"
    """It has gone back, as the rollout says."""


IS_BACK = (Says.FAILED, Says.EXPIRED, Says.REVERTED, Says.UNABLE)
"""Who says so runs what it ran before."""


@dataclass(frozen=True, slots=True)
class Word:
    """The last that a member said."""

    rollout: int
    """In which rollout."""
    says: Says
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {"rollout": self.rollout, "says": self.says.value, "reason": self.reason}

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Word:
        """From the record."""
        return cls(int(found["rollout"]), Says(found["says"]), str(found.get("reason", "")))


@dataclass(frozen=True, slots=True)
class Policy:
    """How a group is rolled out to."""

    canary: int = 1
    """So many members are the first batch; 0: there is none."""
    max_unavailable: int = 1
    """So many members are one batch after that."""
    order: tuple[str, ...] = ()
    """Labels: members that have the first one come first, those that have none of them last."""
    vote_s: float = 30.0
    """How long the check of a member may take, in seconds, before it is skipped."""
    apply_s: float = 120.0
    """How long a member may take to apply or to go back, in seconds."""
    soak_s: float = 0.0
    """How long a batch must be healthy, in seconds, before it goes on."""
    confirm_s: float = 60.0
    """After so many seconds in which it hears of nobody that drives, a member goes back."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout, as the group has it on record."""

    id: int
    """Ids begin at 1 and only grow."""
    target: int
    """The revision that all shall run."""
    base: int
    """The one they ran, and go back to."""
    phase: Phase = Phase.CHECKING
    policy: Policy = Policy()
    batches: tuple[tuple[str, ...], ...] = ()
    """Who applies it, in this order; known from the end of the check on."""
    step: int = 0
    """Batches up to this one may apply it."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Members that do not take part, and why; they catch up."""
    reason: str = ""
    """Why it was refused or reverted."""
    settled: str = ""
    """What became of the revisions of one that was not confirmed; "" until that is known."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.phase in ENDED

    @property
    def begun(self) -> tuple[str, ...]:
        """Members that may have applied it."""
        return tuple(node for batch in self.batches[: self.step + 1] for node in batch)

    @property
    def members(self) -> tuple[str, ...]:
        """All that take part."""
        return tuple(node for batch in self.batches for node in batch)

    def as_json(self) -> dict[str, Any]:
        """For the record, and for answers."""
        policy = self.policy
        return {
            "id": self.id,
            "target": self.target,
            "base": self.base,
            "phase": self.phase.value,
            "policy": {
                "canary": policy.canary,
                "maxUnavailable": policy.max_unavailable,
                "order": list(policy.order),
                "voteSeconds": policy.vote_s,
                "applySeconds": policy.apply_s,
                "soakSeconds": policy.soak_s,
                "confirmSeconds": policy.confirm_s,
            },
            "batches": [list(batch) for batch in self.batches],
            "step": self.step,
            "skipped": dict(self.skipped),
            "reason": self.reason,
            "settled": self.settled,
        }

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Rollout:
        """From the record."""
        policy = found["policy"]
        return cls(
            int(found["id"]),
            int(found["target"]),
            int(found["base"]),
            Phase(found["phase"]),
            Policy(
                int(policy["canary"]),
                int(policy["maxUnavailable"]),
                tuple(policy["order"]),
                float(policy["voteSeconds"]),
                float(policy["applySeconds"]),
                float(policy["soakSeconds"]),
                float(policy["confirmSeconds"]),
            ),
            tuple(tuple(batch) for batch in found["batches"]),
            int(found["step"]),
            dict(found["skipped"]),
            str(found["reason"]),
            str(found["settled"]),
        )


@dataclass(frozen=True, slots=True)
class View:
    """What a group has on record at one instant."""

    head: int
    """The newest revision."""
    stable: int
    """The newest that was confirmed: what all shall run."""
    rollout: Rollout | None = None
    """The newest."""
    words: Mapping[str, Word] = field(default_factory=dict)
    """By member."""
    present: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The members that are there, and their labels."""
    driver: str = ""
    """The member that drives; "" while none does."""
    is_paused: bool = False
    """Whether no rollout goes on, or begins."""
    changed: int = 0
    """What tells this record of the rollout from an older or newer one."""
    revision: int = 0
    """The same of the whole record."""

    def word(self, node: str) -> Word | None:
        """What a member has said in the newest rollout."""
        word = self.words.get(node)
        is_said = word is not None and self.rollout is not None and word.rollout == self.rollout.id
        return word if is_said else None


# -- who drives ------------------------------------------------------------------------------


def begin(view: View, policy: Policy, *, is_asked: bool = False) -> Rollout | None:
    """The rollout that is to begin now; None if none is.

    What was refused or reverted is not tried again by itself, only if somebody asks.
    """
    last = view.rollout
    if last is not None and not last.has_ended:
        return None
    is_bad = last is not None and last.phase is not Phase.CONFIRMED
    if (
        is_bad
        and last is not None
        and not is_asked
        and (not last.settled or last.target == view.head)
    ):
        return None
    if view.head <= view.stable or view.is_paused:
        return None
    return Rollout(last.id + 1 if last else 1, view.head, view.stable, policy=policy)


def decide(view: View, *, waited_s: float, steady_s: float) -> Rollout | None:
    """What becomes of the newest rollout now; None if it stays as it is.

    waited_s: for how long it has been as it is; steady_s: for how long no member has said
    anything new either. In seconds, as the one that drives has seen it.
    """
    rollout = view.rollout
    if rollout is None or rollout.has_ended:
        return None
    if rollout.phase is Phase.CHECKING:
        return _checked(view, rollout, waited_s)
    if rollout.phase is Phase.APPLYING:
        return _applied(view, rollout, waited_s, steady_s)
    return _reverted(view, rollout, waited_s)


def abort(rollout: Rollout, reason: str) -> Rollout | None:
    """A rollout that somebody ends; None if it has ended, or is being reverted."""
    if rollout.phase is Phase.CHECKING:
        return replace(rollout, phase=Phase.REFUSED, reason=reason)
    if rollout.phase is Phase.APPLYING:
        return replace(rollout, phase=Phase.REVERTING, reason=reason)
    return None


def batches(members: Mapping[str, tuple[str, ...]], policy: Policy) -> tuple[tuple[str, ...], ...]:
    """Members in the order of their labels, then of their names; the canaries first."""

    def rank(node: str) -> tuple[int, str]:
        places = [policy.order.index(label) for label in members[node] if label in policy.order]
        return min(places, default=len(policy.order)), node

    nodes = sorted(members, key=rank)
    size = max(policy.max_unavailable, 1)
    first, rest = nodes[: policy.canary], nodes[policy.canary :]
    found = [tuple(first)] if first else []
    found += [tuple(rest[start : start + size]) for start in range(0, len(rest), size)]
    return tuple(found)


def _checked(view: View, rollout: Rollout, waited_s: float) -> Rollout | None:
    for node in sorted(view.words):  # also of one that has gone away since
        word = view.word(node)
        if word is not None and word.says is Says.REFUSES:
            return replace(rollout, phase=Phase.REFUSED, reason=f"{node}: {word.reason}")
    words = {node: said for node in view.present if (said := view.word(node)) is not None}
    silent = view.present.keys() - words.keys()
    if (silent and waited_s < rollout.policy.vote_s) or view.is_paused:
        return None
    able = {n: view.present[n] for n, word in words.items() if word.says is Says.ACCEPTS}
    if not able:
        return None  # there may be somebody soon
    skipped = dict.fromkeys(silent, "did not say whether it can")
    skipped |= {node: word.reason for node, word in words.items() if node not in able}
    return replace(
        rollout,
        phase=Phase.APPLYING,
        batches=batches(able, rollout.policy),
        skipped=dict(sorted(skipped.items())),
    )


def _applied(view: View, rollout: Rollout, waited_s: float, steady_s: float) -> Rollout | None:
    begun = {node: word for node in rollout.begun if (word := view.word(node)) is not None}
    for node, word in begun.items():
        if word.says in (Says.FAILED, Says.EXPIRED, Says.REVERTED):
            return _going_back(rollout, f"{node}: {word.reason or word.says}")
    skipped = dict(rollout.skipped)
    healthy, waiting = [], []
    for node in rollout.begun:
        says = begun[node].says if node in begun else None
        if node not in view.present:
            skipped.setdefault(node, "went away")
        elif says is Says.HEALTHY:
            healthy.append(node)
            skipped.pop(node, None)
        elif says is Says.UNABLE:
            skipped[node] = begun[node].reason
        else:
            skipped.pop(node, None)
            waiting.append(node)
    if waiting:
        if waited_s < rollout.policy.apply_s:
            return None
        return _going_back(rollout, f"{waiting[0]}: not healthy in {rollout.policy.apply_s:g} s")
    is_last = rollout.step + 1 == len(rollout.batches)
    if not healthy and (is_last or any(node not in view.present for node in rollout.begun)):
        return _going_back(rollout, f"nobody is left that runs it: {_listed(skipped)}")
    if steady_s < rollout.policy.soak_s or view.is_paused:
        return None
    if not is_last:
        return replace(rollout, step=rollout.step + 1, skipped=skipped)
    return replace(rollout, phase=Phase.CONFIRMED, skipped=skipped)


def _going_back(rollout: Rollout, reason: str) -> Rollout:
    return replace(rollout, phase=Phase.REVERTING, reason=reason)


def _reverted(view: View, rollout: Rollout, waited_s: float) -> Rollout | None:
    words = {node: view.word(node) for node in rollout.begun if node in view.present}
    ahead = sorted(n for n, word in words.items() if word is None or word.says not in IS_BACK)
    if ahead and waited_s < rollout.policy.apply_s:
        return None
    skipped = dict(rollout.skipped)
    skipped |= dict.fromkeys(ahead, "has not said that it went back")
    return replace(rollout, phase=Phase.REVERTED, skipped=skipped)


def _listed(skipped: Mapping[str, str]) -> str:
    return ", ".join(f"{node} {reason}" for node, reason in sorted(skipped.items()))


# -- each member -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a member stands in a rollout: it keeps this on its own disk."""

    rollout: int
    """0: it catches up with what the others have confirmed."""
    target: int
    back: int
    """The revision that was on its disk before; 0: there was none."""
    word: Word
    """What it says, or has to say still."""

    @property
    def is_open(self) -> bool:
        """Whether it runs what may still be taken back."""
        return self.word.says in (Says.ACCEPTS, Says.HEALTHY)

    def is_of(self, rollout: Rollout) -> bool:
        """Whether it is of this one: an etcd that was restored counts some ids twice."""
        return self.rollout == rollout.id and self.target == rollout.target


class Outcome(enum.StrEnum):
    """What has come of making the engine run what lies on disk."""

    RUNNING = "running"
    HEALTHY = "healthy"
    FAILED = "failed"


class Do(enum.StrEnum):
    """What a member may have to do."""

    NOTHING = "nothing"
    CHECK = "check"
    """Check the rollout's target, and say what came of it."""
    APPLY = "apply"
    """Put the target on disk and have it reloaded, unconfirmed."""
    SAY = "say"
    KEEP = "keep"
    """It is confirmed: there is no way back any more, and no need of one."""
    GO_BACK = "go back"
    CATCH_UP = "catch up"
    """Put on disk what the others have confirmed."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What a member has to do now, and what it then says."""

    do: Do = Do.NOTHING
    word: Word | None = None


def duty(
    node: str,
    view: View,
    *,
    placed: int,
    stand: Stand | None,
    outcome: Outcome,
    output: str = "",
    obstacle: str = "",
) -> Duty:
    """What a member does next.

    placed: the revision on its disk (0: none); outcome: what came of its reload, output: what
    that said; obstacle: why nothing can be applied here now, "" if it can.
    """
    rollout = view.rollout
    if stand is not None and placed == stand.target:
        if stand.is_open:
            return _on_trial(node, view, stand, outcome, output)
        if stand.back not in (0, placed) and placed != view.stable:
            return Duty(Do.GO_BACK, stand.word)  # it was to, and something came between
    if rollout is None or rollout.has_ended:
        return _catch_up(view, placed, obstacle)
    if stand is not None and stand.is_open and not stand.rollout:
        caught = _catch_up(view, placed, obstacle)  # it had begun to
        if caught.do is not Do.NOTHING:
            return caught
    word = view.word(node)
    has_said = stand is None or stand.is_open or not stand.is_of(rollout) or word == stand.word
    if stand is not None and not has_said:
        return Duty(Do.SAY, stand.word)
    if rollout.phase is Phase.CHECKING:
        caught = _catch_up(view, placed, obstacle)
        if caught.do is not Do.NOTHING or (not obstacle and outcome is Outcome.RUNNING):
            return caught
        if obstacle:
            unable = Word(rollout.id, Says.UNABLE, obstacle)
            return Duty() if word == unable else Duty(Do.SAY, unable)
        is_due = word is None or word.says is Says.UNABLE
        return Duty(Do.CHECK) if is_due else Duty()
    if node not in rollout.begun or word is None or word.says is not Says.ACCEPTS:
        return Duty()
    if rollout.phase is Phase.REVERTING:
        return Duty(Do.SAY, Word(rollout.id, Says.REVERTED, "had not applied it"))
    if obstacle:
        return Duty(Do.SAY, Word(rollout.id, Says.UNABLE, obstacle))
    return Duty(Do.APPLY, Word(rollout.id, Says.ACCEPTS))


def _on_trial(node: str, view: View, stand: Stand, outcome: Outcome, output: str) -> Duty:
    rollout, number = view.rollout, stand.rollout
    if not number:
        if outcome is Outcome.FAILED:
            return Duty(Do.GO_BACK, Word(0, Says.FAILED, output))
        is_there = outcome is Outcome.HEALTHY or stand.target != view.stable
        return Duty(Do.KEEP) if is_there else Duty()
    if rollout is None or not stand.is_of(rollout):
        return Duty(Do.KEEP) if view.stable == stand.target else Duty(Do.CATCH_UP)
    if rollout.phase is Phase.CONFIRMED:
        return Duty(Do.KEEP)
    if rollout.phase is not Phase.APPLYING:
        return Duty(Do.GO_BACK, Word(number, Says.REVERTED))
    if outcome is Outcome.FAILED:
        return Duty(Do.GO_BACK, Word(number, Says.FAILED, output))
    healthy = Word(number, Says.HEALTHY)
    if outcome is Outcome.HEALTHY and view.word(node) != healthy:
        return Duty(Do.SAY, healthy)  # again, if it was not heard
    return Duty()


def _catch_up(view: View, placed: int, obstacle: str) -> Duty:
    is_behind = view.stable and placed != view.stable and not obstacle
    return Duty(Do.CATCH_UP) if is_behind else Duty()


def labelled(texts: Sequence[str]) -> tuple[str, ...]:
    """Labels as they are compared: without blanks around, each once."""
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
