"""This member's part in a rollout: it checks, applies, says how it is, keeps or goes back.

Where it stands is on its own disk before anything is done, so that neither a crash nor an etcd
that is away makes an unconfirmed revision stay: when it has heard of nobody that drives for as
long as the rollout says, it goes back by its own clock, a duration that nobody can step.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from typing import Any

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
    duty,
)
from omeconf.daemon.confirm import Armed, Clocks
from omeconf.daemon.fleet.local import Local
from omeconf.daemon.fleet.mirror import Mirror
from omeconf.daemon.fleet.presence import Presence
from omeconf.daemon.hooks import run
from omeconf.errors import Busy, Conflict, GroupAway, NotFound, Unwritable
from omeconf.store.etcd import Compare, Put
from omeconf.store.group import Group

log = logging.getLogger(__name__)

NOTE = "stand"
"""The note in the history that holds where this member stands, and until when."""

VOTE_AGAIN_S = 2.0
"""A check that found that this member cannot take part is made again after so long."""
AGAIN_S = 60.0
"""A confirmed revision that could not be taken up is tried again after so long."""
REFUSED = "its engine refuses what is on its disk, and this, too"
"""Said by a member whose release was changed: it is no reason to stop the others."""
MOST_REASON = 400
"""Characters of a reason that are told to the group."""


class Part:
    """What one member does. All of it on the fleet's thread; what touches files on the writer."""

    def __init__(
        self,
        local: Local,
        mirror: Mirror,
        presence: Presence,
        clocks: Clocks,
    ) -> None:
        self.local = local
        self.mirror = mirror
        self.presence = presence
        self.clocks = clocks
        self.stand: Stand | None = None
        self.armed: Armed | None = None
        """Until when it waits to be confirmed."""
        self.failed = 0
        """A confirmed revision that could not be taken up here; 0 if there is none."""
        self._failed_at, self._why = 0.0, ""
        self.left_out = ""
        """Why it cannot take part in rollouts now; "" if it can."""
        self._voted: tuple[tuple[int, int], float] = ((0, 0), 0.0)
        """In which rollout it was checked last, and when."""
        self._health_due = 0.0
        self._sick = ""
        self._going_back = 0
        """The revision that it tries to go back from; 0 if it does not."""
        self._load()

    @property
    def _group(self) -> Group:
        return self.local.member.group

    # -- what is on disk -------------------------------------------------------------------

    def _load(self) -> None:
        text = self.local.member.history.note(NOTE)
        if not text:
            return
        found = json.loads(text)
        self.stand = Stand(
            int(found["rollout"]), int(found["target"]), int(found["back"]),
            Word.parse(found["word"]),
        )  # fmt: skip
        self.armed = Armed(**found["armed"]) if found["armed"] else None

    def _keep(self, stand: Stand | None, armed: Armed | None) -> None:
        """Have where we stand on disk. Raises Unwritable; then it is as it was."""
        text: str | None = None
        if stand is not None:
            known: dict[str, Any] = {
                "rollout": stand.rollout,
                "target": stand.target,
                "back": stand.back,
                "word": stand.word.as_json(),
                "armed": json.loads(str(armed)) if armed else None,
            }
            text = json.dumps(known)
        self.local.member.history.set_note(NOTE, text)
        self.stand, self.armed = stand, armed

    # -- one step --------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether what is on disk may still be taken back."""
        stand, placed = self.stand, self.local.member.placed
        return bool(stand and stand.is_open and placed and placed.revision.number == stand.target)

    def step(self) -> bool:
        """Do what is to be done now; whether something was. Raises Unwritable."""
        if self.failed and time.monotonic() - self._failed_at > AGAIN_S:
            self.failed = 0
        outcome, output = self._outcome()
        view = self.mirror.view()
        if view.stable < self.local.member.confirmed:
            return False  # etcd was restored in this moment: that is put right first
        placed = self.local.member.placed
        obstacle = self.left_out = self._obstacle(view.stable, outcome, output)
        found = duty(
            self.presence.node,
            view,
            placed=placed.revision.number if placed else 0,
            stand=self.stand,
            outcome=outcome,
            output=output[-MOST_REASON:],
            obstacle=obstacle,
        )
        if found.do is not Do.NOTHING:
            log.debug("fleet: %s %s", found.do, found.word)
            return self._do(found, view)
        return False

    def _do(self, found: Duty, view: View) -> bool:
        word, rollout = found.word, view.rollout
        if found.do is Do.KEEP:
            stand = self.stand
            self._keep(None, None)
            self.failed = 0
            if stand is not None and stand.rollout:
                log.info("revision %d is confirmed by the group", stand.target)
        elif found.do is Do.CATCH_UP:
            return self._catch_up(view.stable)
        elif found.do is Do.CHECK and rollout is not None:
            return self._vote(rollout, view)
        elif found.do is Do.SAY and word is not None:
            stand = self.stand
            if stand is not None and stand.is_open and stand.rollout == word.rollout:
                self._keep(replace(stand, word=word), self.armed)
            return self._say(word, view)
        elif found.do is Do.APPLY and word is not None and rollout is not None:
            self._apply(rollout, word, view)
        elif found.do is Do.GO_BACK and word is not None:
            if word.says is Says.FAILED:
                self._fail(word, view)
            self._go_back(word)
            if word.rollout and word.says is not Says.FAILED:
                self._say(word, view)
        return True

    def _say(self, word: Word, view: View) -> bool:
        """Put on the group's record what we say; False if the rollout is another by now."""
        rollout = view.rollout
        if rollout is None or rollout.id != word.rollout:
            return False
        key = self._group.key("words", self.presence.node)
        text = json.dumps(word.as_json()).encode()
        compare = [
            Compare.unchanged(self._group.key("rollout"), view.changed),
            self.mirror.unchanged(f"words/{self.presence.node}"),
        ]
        done = self._group.etcd.transact(compare, [Put(key, text)])
        if not done.is_done:
            return False
        self.mirror.wrote(done.revision)
        why = f": {word.reason}" if word.reason else ""
        log.info(
            "rollout %d to revision %d: %s %s%s",
            rollout.id,
            rollout.target,
            self.presence.node,
            word.says.value,
            why,
        )
        return True

    def _vote(self, rollout: Rollout, view: View) -> bool:
        """Check, and say what came of it, if that is news; not again and again."""
        asked, now = (rollout.id, rollout.target), time.monotonic()
        if self._voted[0] == asked and now - self._voted[1] < VOTE_AGAIN_S:
            return False
        self._voted = (asked, now)
        word = self._check(rollout)
        return word != view.word(self.presence.node) and self._say(word, view)

    # -- on the writer ---------------------------------------------------------------------

    def _check(self, rollout: Rollout) -> Word:
        def work() -> Word:
            try:
                checked = self.local.member.check_here(rollout.target)
            except (Conflict, NotFound) as error:
                return Word(rollout.id, Says.UNABLE, str(error))
            if checked.is_good:
                return Word(rollout.id, Says.ACCEPTS)
            if self.local.member.is_refused:
                return Word(rollout.id, Says.UNABLE, REFUSED)
            first = checked.errors[0]
            where = f"{first.file}:{first.line}"
            release = self.local.service.settings.engine.release
            reason = f"its check (engine {release}) finds errors: {where}: {first.message}"
            return Word(rollout.id, Says.REFUSES, reason)

        return self.local.do(work)

    def _apply(self, rollout: Rollout, word: Word, view: View) -> None:
        """Put the target on disk, unconfirmed."""

        def work() -> None:
            placed = self.local.member.placed
            back = placed.revision.number if placed else 0
            armed = Armed.after(rollout.policy.confirm_s, back, self.clocks)
            self._keep(Stand(rollout.id, rollout.target, back, word), armed)
            self.local.place(rollout.target)

        self._sick = ""
        try:
            self.local.do(work)
        except (Conflict, Unwritable) as error:
            log.error("Cannot apply revision %d: %s", rollout.target, error)
            stand = self.stand
            says = Says.UNABLE if isinstance(error, Busy) else Says.FAILED
            failed = Word(rollout.id, says, str(error)[:MOST_REASON])
            if stand is not None:
                self._keep(replace(stand, word=failed), None)
            self._say(failed, view)

    def _fail(self, word: Word, view: View) -> None:
        """Say that it failed before anything else: nobody may confirm it meanwhile."""
        if self.stand is not None:
            self._keep(replace(self.stand, word=word), None)
        try:
            if word.rollout and word != view.word(self.presence.node):
                self._say(word, view)
        except GroupAway as error:
            log.warning("Cannot tell the group that this member failed: %s", error)

    def _go_back(self, word: Word) -> None:
        """Put on disk what was there before."""
        stand = self.stand
        assert stand is not None

        def work() -> None:
            self._keep(replace(stand, word=word), None)  # first: it is not applied again
            if stand.back:
                self.local.place(stand.back)

        why = f": {word.reason}" if word.reason else ""
        is_again = self._going_back == stand.target
        self._going_back = stand.target
        log.log(logging.DEBUG if is_again else logging.WARNING,
                "going back from revision %d to %d (%s)%s", stand.target, stand.back,
                word.says.value, why)  # fmt: skip
        if not stand.rollout:
            self._note_failed(stand.target, word.reason)
        self._sick = ""
        self.local.do(work)
        self._going_back = 0

    def _note_failed(self, number: int, why: str) -> None:
        self.failed, self._failed_at, self._why = number, time.monotonic(), why

    def hurry(self) -> int:
        """Try at once what could not be taken up: which revision; 0 if there is no such."""
        number, self.failed = self.failed, 0
        return number

    @property
    def trouble(self) -> str:
        """Why what is confirmed is not on disk here; "" if it is, or will be in a moment."""
        if self.local.member.is_refused and not self.left_out:
            return "its engine refuses what is on its disk"
        if not self.failed:
            return self.left_out
        return (
            f"revision {self.failed} could not be taken up here, and is tried again within "
            f"{AGAIN_S:.0f} s, or by `omeconf retry`: {self._why}"
        )

    def _catch_up(self, stable: int) -> bool:
        if self.failed == stable:
            return False
        stand, placed = self.stand, self.local.member.placed
        number = placed.revision.number if placed else 0
        is_cut_off = stand is not None and stand.is_open and not stand.rollout
        back = stand.back if stand is not None and (self.is_open or is_cut_off) else number

        def work() -> None:
            errors = self.local.member.check_here(stable).errors
            if errors:
                raise Conflict(f"this engine would refuse it: {errors[0].message}")
            word = Word(0, Says.ACCEPTS)
            self._keep(Stand(0, stable, back, word) if back else None, None)
            self.local.place(stable)

        log.info("catching up: revision %d, from %s", stable, number or "nothing")
        self._sick = ""
        try:
            self.local.do(work)
        except (Busy, Conflict, Unwritable) as error:
            if not isinstance(error, Busy | Unwritable):
                self._note_failed(stable, str(error))
            log.error("Cannot take up revision %d: %s", stable, error)
            return False
        return True

    # -- how it is here --------------------------------------------------------------------

    def _outcome(self) -> tuple[Outcome, str]:
        """What has come of the reload of what is on disk; while it may be taken back, health is
        looked at again.
        """
        outcome, output = self.local.outcome()
        if self._sick:
            return Outcome.FAILED, self._sick
        stand, health = self.stand, self.local.service.settings.health
        is_trial = self.is_open and stand is not None and stand.word.says is Says.HEALTHY
        if not (is_trial and outcome is Outcome.HEALTHY and health.run):
            self._health_due = time.monotonic() + max(health.after_s, 1.0)
            return outcome, output
        if time.monotonic() >= self._health_due:
            found = run(health.run, timeout_s=health.timeout_s)
            self._health_due = time.monotonic() + max(health.after_s, 1.0)
            if not found.is_ok:
                self._sick = f"not well any more: {found.output.strip() or found.code}"
                return Outcome.FAILED, self._sick
        return outcome, output

    def _obstacle(self, stable: int, outcome: Outcome, output: str) -> str:
        """Why nothing can be applied here now; "" if it can."""
        member = self.local.member
        placed = member.placed
        if member.held is not None:
            return f"held: {member.held}"
        if member.history.trouble:
            return member.history.trouble
        if placed is None:
            return ""
        if member.drift is not None and not member.is_refused:
            return "its files were edited by hand and have errors"
        if member.own is not None:
            return "it has manual edits of its own"
        if member.missing or member.unrecorded or member.obstacle:
            return member.missing or member.unrecorded or member.obstacle
        engine = self.local.service.engine
        if engine is not None and engine.is_reachable is False and not self.is_open:
            return "its engine is away"
        if outcome is Outcome.FAILED and not self.is_open and placed.revision.number == stable:
            return f"its engine could not take up revision {stable}: {output[-MOST_REASON:]}"
        if self.failed and self.failed == stable and placed.revision.number != stable:
            return f"revision {stable} could not be taken up here"
        return ""

    # -- the clock -------------------------------------------------------------------------

    @property
    def remaining_s(self) -> float | None:
        """Seconds until it goes back by itself; None if nothing waits to be confirmed."""
        if self.armed is None or not self.is_open:
            return None
        return self.armed.remaining_s(self.clocks)

    def tend(self, policy: Policy | None) -> bool:
        """Wait longer while somebody drives; go back once nobody has for too long.

        Whether it went back. Raises Unwritable if it cannot now.
        """
        remaining_s, stand, placed = self.remaining_s, self.stand, self.local.member.placed
        is_closed = stand is not None and bool(stand.rollout) and not stand.is_open
        if stand is not None and is_closed and placed is not None and (
            placed.revision.number == stand.target != stand.back
        ):  # fmt: skip
            self._go_back(stand.word)  # it could not when it tried
            return True
        if remaining_s is None or stand is None:
            return False
        if policy is not None and self._is_driven():
            if remaining_s < policy.confirm_s * 0.75:
                again = Armed.after(policy.confirm_s, stand.back, self.clocks)
                self._keep(stand, again)
            return False
        if remaining_s > 0:
            return False
        why = "heard for too long of nobody that drives"
        if not self.mirror.is_current:
            why += ", since etcd was away"
        word = Word(stand.rollout, Says.EXPIRED, why)
        if self.mirror.is_current:
            view = self.mirror.view()
            rollout = view.rollout
            is_ours = rollout is not None and stand.is_of(rollout)
            if not is_ours or rollout is None or rollout.phase is not Phase.APPLYING:
                return False  # what it is to do is known
            try:
                if not self._say(word, view):
                    return False  # there is news: first see what it is
            except GroupAway:
                pass
        self._go_back(word)
        return True

    def _is_driven(self) -> bool:
        """Whether somebody that drives is certainly there: etcd said so, to us, just now."""
        age_s = time.monotonic() - self.mirror.checked
        return (
            bool(self.mirror.text("driver"))
            and self.presence.is_kept
            and self.mirror.is_current
            and age_s < self.presence.lease_s
        )
