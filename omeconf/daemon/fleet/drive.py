"""What the member that holds the lease does: it begins rollouts, takes them on, and settles them.

Each step is one transaction that asks whether this member still drives and whether the rollout is
what it was, so that one who was thought dead and comes back changes nothing. All there is to know
is on record: another goes on from there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omeconf.core.revision import Origin, Revision
from omeconf.core.rollout import Phase, Policy, Rollout, View, Word, abort, begin, decide
from omeconf.daemon.fleet.local import Local
from omeconf.daemon.fleet.mirror import Mirror
from omeconf.daemon.fleet.presence import Presence
from omeconf.errors import Busy, Conflict, NotFound, OmeconfError, Refused
from omeconf.store.etcd import Compare, Delete, Put
from omeconf.store.group import Group, Pointer

log = logging.getLogger(__name__)

PRUNE_EVERY_S = 600.0
"""How often the group's old revisions are looked at."""
AGAIN_S = 10.0
"""How long to wait before a rollout that changes nothing, and failed, is tried again."""
NOTHING = "nothing to take back"
TAKEN_BACK = "taken back by revision"
OWN = "omeconf"
"""The author of what is done without being asked."""


class Drive:
    """The driver's part of one member; on the fleet's thread."""

    def __init__(self, local: Local, mirror: Mirror, presence: Presence) -> None:
        self.local = local
        self.mirror = mirror
        self.presence = presence
        self._seen: tuple[int, Mapping[str, Word]] = (0, {})
        """Rollout and words as they were last time."""
        self._present: set[str] = set()
        self._rollout_since = self._words_since = 0.0
        self._prune_due = 0.0

    @property
    def _group(self) -> Group:
        return self.local.member.group

    @property
    def drives(self) -> bool:
        """Whether this member is the one."""
        return self.mirror.text("driver") == self.presence.node and self.presence.is_kept

    @property
    def policy(self) -> Policy:
        """How this member would roll out."""
        fleet = self.local.service.settings.fleet
        return Policy(
            canary=fleet.canary,
            max_unavailable=fleet.max_unavailable,
            order=fleet.order,
            vote_s=fleet.vote_s,
            apply_s=fleet.apply_s,
            soak_s=fleet.soak_s,
            confirm_s=fleet.confirm_s,
        )

    def step(self) -> bool:
        """Do what is to be done now, if we drive; whether something was. Raises Unwritable."""
        if not self.mirror.text("driver"):
            if not self.presence.drive():
                return False
            log.info("this member drives the group's rollouts now")
            return True
        if not self.drives:
            return False
        view, now = self.mirror.view(), time.monotonic()
        self._look_at_clock(view, now)
        rollout = view.rollout
        if rollout is not None and not rollout.has_ended:
            found = decide(
                view, waited_s=now - self._rollout_since, steady_s=now - self._words_since
            )
            return found is not None and self._write(found, view)
        if rollout is not None and rollout.phase is not Phase.CONFIRMED and not rollout.settled:
            return self._write(replace(rollout, settled=self._settle(rollout)), view)
        if self.local.service.settings.fleet.rollout == "auto":
            found = begin(view, self.policy, is_asked=self._is_again(rollout, now))
            if found is not None:
                return self._write(found, view)
        self._prune(view.stable)
        return False

    def _is_again(self, last: Rollout | None, now: float) -> bool:
        """Whether it is time to try once more what is only to bring all to one revision: it has
        nothing that could be taken back.
        """
        is_harmless = last is not None and last.settled == NOTHING
        return is_harmless and now - self._rollout_since > AGAIN_S

    def end_old(self, view: View) -> None:
        """End a rollout that an etcd restored from a backup still has under way; any member may."""
        rollout = view.rollout
        assert rollout is not None
        ended = replace(rollout, phase=Phase.REFUSED, settled="kept",
                        reason="its target was confirmed long ago: etcd was restored")  # fmt: skip
        try:
            self._ask(ended, view)
        except Busy:
            self.mirror.look()  # another was faster

    def _look_at_clock(self, view: View, now: float) -> None:
        """Note when rollout and words were last seen to change."""
        seen = (view.changed, view.words)
        if seen[0] != self._seen[0] or view.present.keys() - self._present:
            self._rollout_since = now  # who has just come has its time, too
        self._present = set(view.present)
        if seen != self._seen:
            self._words_since = now
        self._seen = seen

    def _write(self, rollout: Rollout, view: View) -> bool:
        """Put a rollout on record as it is to be; False if it is another by now."""
        key, text = self._group.key, json.dumps(rollout.as_json()).encode()
        mine = self.presence.node.encode()
        compares = [
            Compare.value(key("driver"), mine),
            Compare.unchanged(key("rollout"), view.changed),
        ]
        operations: list[Put | Delete] = [Put(key("rollout"), text)]
        # nobody may have refused, or gone back by a clock of its own, meanwhile
        is_decided = view.rollout is not None and rollout.phase in (
            Phase.CONFIRMED, Phase.APPLYING
        )  # fmt: skip
        if is_decided and view.rollout is not None and view.rollout.id == rollout.id:
            compares.append(Compare.none_newer(key("words/"), view.revision))
        if rollout.phase is Phase.CONFIRMED:
            revision = self.local.member.history.get(rollout.target)
            operations.append(Put(key("stable"), Pointer.to(revision).encode()))
        done = self._group.etcd.transact(compares, operations)
        if not done.is_done:
            return False
        self.mirror.wrote(done.revision)
        if rollout.settled:
            log.info("rollout %d: its revisions: %s", rollout.id, rollout.settled)
            return True
        log.info("rollout %d to revision %d: %s%s", rollout.id, rollout.target,
                 _where(rollout), f": {rollout.reason}" if rollout.reason else "")  # fmt: skip
        return True

    # -- what a failed one leaves ----------------------------------------------------------

    def _settle(self, rollout: Rollout) -> str:
        """Take back the revisions of a rollout that failed; what came of that."""
        if self.local.service.settings.reload.on_failure == "keep":
            return "kept"

        def work() -> str:
            numbers = self._to_take_back(rollout)
            if not numbers:
                undoing = self._undoing(rollout)
                return f"{TAKEN_BACK} {undoing}" if undoing else NOTHING
            names = ", ".join(map(str, numbers))
            why = f"rollout {rollout.id} was {rollout.phase.value}: {rollout.reason}"
            head = self.local.take_back(
                numbers,
                OWN,
                f"revert of {names}: {why}",
                back=rollout.base,
                newest=rollout.target,
            )
            return f"{TAKEN_BACK} {head.revision.number}"

        try:
            return self.local.do(work)
        except Busy:
            raise
        except (Conflict, NotFound, Refused) as error:
            log.error("Cannot take back what rollout %d brought: %s", rollout.id, error)
            return f"cannot be taken back: {error}"

    def _undoing(self, rollout: Rollout) -> int:
        """The revision that took its target back before this; 0 if none has."""
        newer = self.local.member.history.newest(limit=1000)
        found = (r.number for r in newer if rollout.target in r.reverts)
        return max(found, default=0)

    def _to_take_back(self, rollout: Rollout) -> list[int]:
        """What of the rollout's revisions is in effect; not what only takes others of them back."""
        newest_first = self.local.member.history.newest(limit=1000)
        newer = [r for r in newest_first if r.number > rollout.base]
        undone: set[int] = set()
        for revision in newer:
            if revision.number not in undone:  # what is taken back itself takes nothing back
                undone.update(revision.reverts)

        def is_undoing(revision: Revision) -> bool:
            reverts = revision.reverts
            is_own = revision.origin is Origin.ROLLBACK and bool(reverts)
            return is_own and min(reverts) > rollout.base

        return sorted(
            r.number
            for r in newer
            if r.number <= rollout.target and r.number not in undone and not is_undoing(r)
        )

    # -- what anybody may ask for ----------------------------------------------------------

    def roll_out(self, by: str) -> Rollout:
        """Begin a rollout to the newest revision, also of what failed. Raises Conflict."""
        view = self.mirror.view()
        if view.is_paused:
            raise Conflict("rollouts are paused: `omeconf fleet resume` ends that")
        if view.rollout is not None and not view.rollout.has_ended:
            raise Conflict(f"rollout {view.rollout.id} is under way: {_where(view.rollout)}")
        found = begin(view, self.policy, is_asked=True)
        if found is None:
            raise Conflict(f"revision {view.stable} is the newest, and is confirmed")
        self._ask(found, view)
        log.info("rollout %d to revision %d: asked for by %s", found.id, found.target, by)
        return found

    def pause(self, by: str, reason: str) -> dict[str, Any]:
        """Have no rollout go on, or begin, until `resume`."""
        known = json.loads(self.mirror.text("paused") or "{}")
        found = {"by": by, "reason": reason or known.get("reason", "")}
        put = Put(self._group.key("paused"), json.dumps(found).encode())
        if not self._group.etcd.transact([self.mirror.unchanged("paused")], [put]).is_done:
            raise Busy("somebody else has just paused or resumed: look, and try again")
        return found

    def resume(self) -> None:
        """End a pause. Raises Conflict if there is none."""
        if "paused" not in self.mirror.items:
            raise Conflict("rollouts are not paused")
        delete = Delete(self._group.key("paused"))
        if not self._group.etcd.transact([self.mirror.unchanged("paused")], [delete]).is_done:
            raise Busy("somebody else has just paused or resumed: look, and try again")

    def abort(self, by: str) -> Rollout:
        """End the rollout that is under way: all go back. Raises Conflict if there is none."""
        view = self.mirror.view()
        rollout = view.rollout
        found = abort(rollout, f"aborted by {by}") if rollout is not None else None
        if found is None:
            raise Conflict("no rollout is under way that could be aborted")
        self._ask(found, view)
        return found

    def forget(self, node: str) -> None:
        """Have a member that will not come back on no list any more. Raises NotFound, Conflict."""
        if node in self.mirror.view().present:
            raise Conflict(
                f"{node} is there: stop it first; it counts as away after lease_s at most"
            )
        if node not in self.mirror.below("members"):
            raise NotFound(f"the group has no member {node}")
        key = self._group.key
        compares = [Compare.absent(key("alive", node))]
        deletes = [Delete(key("members", node)), Delete(key("words", node))]
        if not self._group.etcd.transact(compares, deletes).is_done:
            raise Busy(f"{node} has just come back")

    def _ask(self, rollout: Rollout, view: View) -> None:
        key, text = self._group.key("rollout"), json.dumps(rollout.as_json()).encode()
        compares = [Compare.unchanged(key, view.changed)]
        done = self._group.etcd.transact(compares, [Put(key, text)])
        if not done.is_done:
            raise Busy("the rollout has just gone on: look, and try again")
        self.mirror.wrote(done.revision)

    # -- old revisions ---------------------------------------------------------------------

    def _prune(self, stable: int) -> None:
        """Forget old revisions of the group by the same rules as those of a history."""
        now = time.monotonic()
        if now < self._prune_due:
            return
        self._prune_due = now + PRUNE_EVERY_S
        history, keep = self.local.member.history, self.local.service.settings.history
        newest = history.head()
        if newest is None:
            return
        before = history.now(self.local.member.clock()) - keep.keep_days * 86400
        first = min(history.first_kept(keep=keep.keep, older_than=before), stable)
        if first > 1:
            try:
                gone = self._group.prune(first)
            except OmeconfError as error:
                log.warning("Cannot prune the group's revisions: %s", error)
            else:
                if gone:
                    log.info("%d old revisions of the group are gone", gone)


def _where(rollout: Rollout) -> str:
    """Where a rollout stands, in a few words."""
    if rollout.phase is Phase.APPLYING:
        return f"batch {rollout.step + 1} of {len(rollout.batches)}"
    return rollout.phase.value
