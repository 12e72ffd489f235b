"""A member's history and the group's: one is brought to where the other is, or told why not."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from omeconf.daemon.fleet.drive import Drive
from omeconf.daemon.fleet.local import Local
from omeconf.daemon.fleet.mirror import Mirror
from omeconf.errors import Conflict, Unwritable
from omeconf.store.group import Pointer
from omeconf.store.history import Record
from omeconf.store.lineage import Lineage, goes_on, lineage

log = logging.getLogger(__name__)

UID = "member"
"""The note in the history that tells this member from another of the same name."""


class Meeting:
    """How one member's history goes together with its group's; on the fleet's thread."""

    def __init__(self, local: Local, mirror: Mirror) -> None:
        self.local = local
        self.mirror = mirror
        self.group = local.member.group
        self.uid = self._uid()
        """What tells this member from another of the same name."""
        self.bar = ""
        """Why this is another group than the one the member is of; "" if it is not."""
        self._same: tuple[Pointer | None, str, int] | None = None
        """The group's head and identity, and our newest revision, when they were last the same."""

    def _uid(self) -> str:
        history = self.local.member.history
        found = history.note(UID)
        if found is None:
            found = secrets.token_hex(8)
            try:
                history.set_note(UID, found)
            except Unwritable as error:
                log.warning("Cannot note who this member is: %s", error)
        return found

    def step(self) -> bool:
        """Bring the two together; whether something was done for that.

        Raises Conflict if it is another group, NotReady if there is nothing to begin it with,
        GroupAway, and Unwritable.
        """
        member, mirror = self.local.member, self.mirror
        group_id, head = mirror.text("id"), mirror.pointer("head")
        own = member.history.head()
        asked = (head, group_id, own.number if own else 0)
        if asked == self._same:
            return False
        found = lineage(member.history, group_id, head)
        if found in (Lineage.AHEAD, Lineage.FORKED):
            head = self.group.head()  # what we made just now may not have come round yet
            found = lineage(member.history, group_id, head)
        self.bar, self._same = "", None
        if found is Lineage.SAME:
            self._same = asked
            return False
        if found is Lineage.OTHER:
            self.bar = (
                f"etcd has another group called {self.group.name} than the one this member is of: "
                "look at [fleet] endpoints and group; to join it, stop omeconf and move "
                f"{member.history.path.name} away"
            )
            raise Conflict(self.bar)
        self._go_together(found, group_id, head)
        return True

    def _go_together(self, found: Lineage, group_id: str, head: Pointer | None) -> None:
        member, local = self.local.member, self.local
        if found is Lineage.EMPTY:
            if local.do(member.found):
                log.info("the group %s begins with this member", self.group.name)
            self.mirror.look()
        elif found is Lineage.NEW:
            records = list(self.group.since(0))
            local.do(lambda: self._join(group_id, records))
        elif found is Lineage.BEHIND:
            own = member.history.head()
            records = list(self.group.since(max(own.number - 1, 0) if own else 0))
            if own is not None and not goes_on(own, records):
                self._go_together(Lineage.FORKED, group_id, head)
            else:
                local.do(lambda: local.learn(records))
        elif found is Lineage.AHEAD and head is not None:
            self._heal(head)
        elif found is Lineage.FORKED:
            records = list(self.group.since(0))
            kept = local.do(lambda: self._give_way(group_id, records))
            log.error("etcd was restored from a backup, and has other revisions than this member "
                      "had: those are kept in %s", kept)  # fmt: skip
            local.service.events.emit("fleet", state="forked", kept=str(kept))

    def _join(self, group_id: str, records: list[Record]) -> None:
        self.local.member.join(group_id, records)
        self.local.member.history.set_note(UID, self.uid)
        self.local.service.take_notice(is_told=True)
        head = self.local.member.view().revision.number
        log.info("this member has joined the group %s, at revision %d", self.group.name, head)

    def _give_way(self, group_id: str, records: list[Record]) -> Path | None:
        kept = self.local.member.yield_to_group(group_id, records)
        self.local.member.history.set_note(UID, self.uid)
        self.local.service.take_notice()
        return kept

    def _heal(self, head: Pointer) -> None:
        """Give etcd back what it has lost."""
        member = self.local.member
        own = member.history.head()
        log.warning("etcd has lost the revisions from %d on (it was restored from a backup?): "
                    "they are given back to it", head.number + 1)  # fmt: skip
        numbers = []
        while own is not None and head.number < own.number:
            given = member.heal(head)
            if given is None:
                break
            head = given
            numbers.append(head.number)
        self.local.service.events.emit("fleet", state="healed", revisions=numbers)
        self.mirror.look()

    def put_right(self, drive: Drive) -> bool:
        """Put right what an etcd that was restored from a backup has on record of a time before
        what is known here; whether something was.
        """
        member, view = self.local.member, self.mirror.view()
        confirmed = member.confirmed
        if view.stable > confirmed:
            self.local.do(lambda: member.note_confirmed(view.stable))
        known = self.mirror.pointer("stable")
        if known is not None and view.stable < confirmed:
            log.warning("etcd has revision %d as confirmed, but %d was", view.stable, confirmed)
            stable = Pointer.to(member.history.get(confirmed))
            self.group.raise_stable(known, stable)
            self.mirror.look()
            return True
        rollout = view.rollout
        is_old = rollout is not None and not rollout.has_ended and rollout.target <= view.stable
        if is_old:
            drive.end_old(view)
        return is_old
