"""One member of a group: it meets the group, goes with it, and tells how things stand."""

from __future__ import annotations

import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import Any

from omeconf import __version__
from omeconf.core.rollout import Phase, Rollout
from omeconf.daemon.confirm import Clocks
from omeconf.daemon.fleet.drive import Drive
from omeconf.daemon.fleet.local import Local
from omeconf.daemon.fleet.mirror import ROUND_S, Mirror
from omeconf.daemon.fleet.part import Part
from omeconf.daemon.fleet.presence import Presence
from omeconf.daemon.hooks import Outcome as Said
from omeconf.daemon.jobs import Job, State
from omeconf.daemon.service import Service
from omeconf.errors import BadSettings, Conflict, GroupAway, NotReady, OmeconfError, Unwritable
from omeconf.settings import Fleet as FleetSettings
from omeconf.settings import Settings
from omeconf.store.etcd import Etcd, Put
from omeconf.store.group import Group, Pointer
from omeconf.store.history import Record
from omeconf.store.member import GROUP, Lineage, Member

log = logging.getLogger(__name__)

PAUSE_S = 1.0
"""How long a step waits if nothing happens."""
SHORT_PAUSE_S = 0.2
"""The same while a rollout is under way, or etcd is away."""
RECORD_S = 2.0
"""While a rollout is under way it is put on record no more often how a member is."""
SLOW_S = 1.0
"""An etcd that takes longer for an answer is called slow."""
LOOK_S = 10.0
"""How often etcd is asked whether the watch has told everything."""
HANGS_S = 30.0
"""A step that takes longer, or three leases, hangs: another is to drive."""
UID = "member"
"""The note in the history that tells this member from another of the same name."""


def node_of(settings: FleetSettings) -> str:
    """The name of this member."""
    return settings.node or socket.gethostname().partition(".")[0]


def group_of(settings: Settings) -> Group:
    """The group in etcd that the settings name. Raises BadSettings or GroupRefused."""
    fleet = settings.fleet
    password = ""
    if fleet.password_file:
        try:
            password = Path(fleet.password_file).read_text().strip()
        except OSError as error:
            raise BadSettings(f"cannot read {fleet.password_file}: {error.strerror}") from error
    tls = fleet.tls
    etcd = Etcd(
        fleet.endpoints,
        user=fleet.user,
        password=password,
        ca=tls.ca,
        certificate=tls.certificate,
        key=tls.key,
        timeout_s=fleet.timeout_s,
    )
    return Group(etcd, fleet.group)


class Fleet:
    """What a daemon does as a member. A thread of its own takes one step after another."""

    def __init__(self, service: Service, member: Member, clocks: Clocks | None = None) -> None:
        settings = service.settings.fleet
        self.local = Local(service, member)
        self.group = member.group
        self.node = node_of(settings)
        self.uid = self._uid()
        """What tells this member from another of the same name."""
        self.mirror = Mirror(self.group, self._heard)
        self._beat = time.monotonic()
        """When the last step began."""
        self.presence = Presence(
            self.group,
            self.node,
            self.uid,
            settings.labels,
            settings.lease_s,
            self.notice,
            self._hangs,
        )
        member.away, member.announce = self._away, service.announce
        member.barred = self._barred
        service.confirmation.is_shared = True
        self.part = Part(self.local, self.mirror, self.presence, clocks or Clocks())
        self.drive = Drive(self.local, self.mirror, self.presence)
        self._logged = ""
        """What was logged last of that."""
        self.trouble = ""
        """Why it does not go with the group now; "" if it does."""
        self._recorded = 0.0
        """When it was put on record how this member is."""
        self._waiting: list[tuple[int, Job]] = []
        """Who waits for a revision to be confirmed."""
        self._shown: tuple[object, ...] = ()
        """What was last told as an event."""
        self._lineage: tuple[Pointer | None, str, int, Lineage] | None = None
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="fleet", daemon=True)

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

    def _hangs(self) -> bool:
        return time.monotonic() - self._beat > max(3 * self.presence.lease_s, HANGS_S)

    def _barred(self) -> str:
        if self.presence.is_taken:
            return self.presence.trouble
        is_other = self._lineage is not None and self._lineage[3] is Lineage.OTHER
        return self.trouble if is_other else ""

    def _away(self) -> str:
        return "" if self.mirror.is_current else self.mirror.trouble or "it was not met yet"

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to be a member."""
        self.mirror.start()
        self.presence.start()
        self._thread.start()

    def stop(self) -> None:
        """Be a member no more."""
        self._stopping = True
        self.notice()
        if self._thread.is_alive():
            self._thread.join(10.0)
        self.mirror.stop()
        self.presence.stop()
        self.group.etcd.close()
        with self._guard:
            waiting, self._waiting = self._waiting, []
        for _, job in waiting:
            _end(job, State.PENDING)

    def _heard(self, names: Iterable[str] | None = None) -> None:
        """Something on record is new; names: what, if that is known. What other members say is of
        interest to the one that drives.
        """
        own = f"/{self.node}"
        if names is None or self.mirror.text("driver") == self.node or any(
            not name.startswith(("words/", "members/")) or name.endswith(own) for name in names
        ):  # fmt: skip
            self.notice()

    def notice(self) -> None:
        """Something is new: take a step."""
        self._wake.set()

    @property
    def is_alive(self) -> bool:
        """Whether its threads are at work."""
        return self._thread.is_alive()

    def _loop(self) -> None:
        while not self._stopping:
            self._wake.clear()
            is_busy, self._beat = False, time.monotonic()
            try:
                is_busy = self._step()
                if self.presence.trouble and self.mirror.is_current:
                    self._in_trouble(self.presence.trouble)
            except (OmeconfError, RuntimeError) as error:  # also: the writer is shut down
                self._in_trouble(str(error))
            except Exception as error:  # the thread must outlive it
                log.exception("Cannot go with the group")
                self.trouble = str(error)
            self._tell()
            if not is_busy:
                self._wake.wait(self._pause_s)

    @property
    def _pause_s(self) -> float:
        rollout = self.mirror.view().rollout if self.mirror.is_current else None
        is_under_way = rollout is not None and not rollout.has_ended
        return SHORT_PAUSE_S if is_under_way or not self.mirror.is_current else PAUSE_S

    def _in_trouble(self, why: str) -> None:
        if why != self._logged and not self._stopping:
            log.warning("Cannot go with the group: %s", why)
        self.trouble = self._logged = why

    # -- one step --------------------------------------------------------------------------

    def _step(self) -> bool:
        """Do the next thing; whether there may be more to do at once."""
        policy = self.drive.policy
        rollout = self.mirror.view().rollout if self.mirror.is_current else None
        if self.part.tend(rollout.policy if rollout else policy):
            return True
        if not self.mirror.is_current:
            self.trouble = self.mirror.trouble or "the group has not been met yet"
            return False
        if self._is_look_due():
            self.mirror.look()
            with suppress(OmeconfError):  # it need not tell how it is
                self.group.etcd.status()
        if self.mirror.is_behind:
            return False
        if self._meet():
            return True
        if self.trouble:
            return False
        self._answer()
        if not self.presence.is_ours:
            return False
        if self._is_restored():
            return True
        if self.part.step() or self.drive.step():
            return True
        self._put_on_record()
        return False

    def _is_look_due(self) -> bool:
        is_soon = self.part.is_open or bool(self.group.etcd.full)
        every = min(LOOK_S, self.presence.lease_s / 3) if is_soon else LOOK_S
        return time.monotonic() - self.mirror.checked > every

    def _meet(self) -> bool:
        """Have our history go together with the group's; whether something was done for that."""
        member, mirror = self.local.member, self.mirror
        group_id, head = mirror.text("id"), mirror.pointer("head")
        own = member.history.head()
        known = self._lineage
        asked = (head, group_id, own.number if own else 0)
        if known is not None and known[:3] == asked and known[3] is Lineage.SAME:
            self.trouble = ""
            return False
        found = member.lineage(group_id, head)
        if found in (Lineage.AHEAD, Lineage.FORKED):
            head = self.group.head()  # what we made just now may not have come round yet
            found = member.lineage(group_id, head)
        self._lineage = (*asked, found)
        if found is Lineage.SAME:
            self.trouble = ""
            return False
        if found is Lineage.OTHER:
            self._in_trouble(
                f"etcd has another group called {self.group.name} than the one this member is of: "
                "look at [fleet] endpoints and group; to join it, stop omeconf and move "
                f"{member.history.path.name} away"
            )
            return False
        self.trouble = ""
        return self._go_together(found, group_id, head)

    def _go_together(self, found: Lineage, group_id: str, head: Pointer | None) -> bool:
        member, local = self.local.member, self.local
        if found is Lineage.EMPTY:
            try:
                is_ours = local.do(member.found)
            except NotReady as error:
                self._in_trouble(str(error))
                return False
            if is_ours:
                log.info("the group %s begins with this member", self.group.name)
            self.mirror.look()
        elif found is Lineage.NEW:
            records = list(self.group.since(0))
            local.do(lambda: self._join(group_id, records))
        elif found is Lineage.BEHIND:
            own = member.history.head()
            records = list(self.group.since(max(own.number - 1, 0) if own else 0))
            if own is not None and not member.goes_on(own, records):
                return self._go_together(Lineage.FORKED, group_id, head)
            local.do(lambda: local.learn(records))
        elif found is Lineage.AHEAD and head is not None:
            self._heal(head)
        elif found is Lineage.FORKED:
            records = list(self.group.since(0))
            kept = local.do(lambda: self._give_way(group_id, records))
            log.error("etcd was restored from a backup, and has other revisions than this member "
                      "had: those are kept in %s", kept)  # fmt: skip
            local.service.events.emit("fleet", state="forked", kept=str(kept))
        return True

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

    def _is_restored(self) -> bool:
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
            self.drive.end_old(view)
        return is_old

    def _put_on_record(self) -> None:
        """Have on record how this member is, when that has changed."""
        rollout = self.mirror.view().rollout
        is_under_way = rollout is not None and not rollout.has_ended
        if is_under_way and time.monotonic() - self._recorded < RECORD_S:
            return  # all members hear of it: once a rollout is enough
        name, text = f"members/{self.node}", json.dumps(self.own())
        if self.mirror.text(name) != text and self.presence.is_kept:
            put = Put(self.group.key(name), text.encode())
            self._recorded = time.monotonic()
            done = self.group.etcd.transact([self.mirror.unchanged(name)], [put])
            if done.is_done:
                self.mirror.wrote(done.revision)

    def own(self) -> dict[str, Any]:
        """How this member is, as the others see it."""
        member, service = self.local.member, self.local.service
        placed, running = member.placed, service.reloader.running
        stand = self.part.stand
        drift = ""
        if member.drift is not None and not member.is_refused:
            count = len(member.drift.errors)
            drift = f"edited by hand, with {count} error{'s' * (count > 1)}"
        elif member.own is not None:
            drift = "edited by hand, and kept on this member"
        return {
            "omeconf": __version__,
            "engine": service.settings.engine.release,
            "labels": list(service.settings.fleet.labels),
            "disk": placed.revision.number if placed else None,
            "running": running.revision.number if running else None,
            "healthy": member.history.mark("healthy"),
            "confirmed": not self.part.is_open or bool(stand and not stand.rollout),
            "drift": drift or None,
            "trouble": (member.unrecorded or member.missing or member.held or self.part.trouble)
            or None
            if placed
            else None,
        }

    # -- who waits -------------------------------------------------------------------------

    @property
    def is_on_trial(self) -> bool:
        """Whether what is on disk may still be taken back."""
        return self.part.is_open

    def covering(self, number: int) -> Job:
        """What ends when a revision is confirmed by the group, or taken back."""
        job = Job(f"rollout-{number}", number, None, made=self.local.member.clock(), _last=number)
        job.state = State.RUNNING
        with self._guard:
            self._waiting.append((number, job))
        self.notice()
        return job

    def _answer(self) -> None:
        """Tell those who wait for what has been decided."""
        with self._guard:
            waiting = list(self._waiting)
        if not waiting:
            return
        view = self.mirror.view()
        rollout = view.rollout
        first = min(number for number, _ in waiting)
        newest = self.local.member.history.head()
        if newest is None or newest.number < view.head:
            return  # what takes it back may not have come round yet
        count = newest.number - first
        newer = self.local.member.history.newest(limit=count) if count > 0 else []
        undone = {n: r.message for r in newer for n in r.reverts}
        for number, job in waiting:
            state, said = None, ""
            if number in undone:
                state, said = State.REVERTED, undone[number]
            elif view.stable >= number:
                state = State.HEALTHY
            elif rollout is not None and rollout.settled and rollout.base < number <= (
                rollout.target
            ):  # fmt: skip
                state, said = State.FAILED, rollout.reason
            if state is not None:
                if said:
                    job.outcomes.append(Said("fleet", None, said))
                with self._guard:
                    self._waiting.remove((number, job))
                _end(job, state)

    def _tell(self) -> None:
        """Make an event of what has changed."""
        view = self.mirror.view()
        rollout, events = view.rollout, self.local.service.events
        trouble = self.trouble or self.group.etcd.full
        shown = (rollout, view.is_paused, tuple(view.present), view.driver, trouble)
        if shown == self._shown:
            return
        before, self._shown = self._shown, shown
        if rollout is not None and (not before or before[0] != rollout):
            events.emit("rollout", **rollout.as_json(), paused=view.is_paused)
        if not before or before[1:] != shown[1:]:
            events.emit("fleet", state=self.state, trouble=trouble or None,
                        present=sorted(view.present), driver=view.driver or None,
                        paused=view.is_paused)  # fmt: skip

    # -- how things stand ------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``ok``; or ``away``, ``trouble``, ``slow``."""
        if not self.mirror.is_current:
            return "away"
        if self.trouble or self.group.etcd.full:
            return "trouble"
        return "slow" if self.presence.took_s > SLOW_S else "ok"

    def as_json(self) -> dict[str, Any]:
        """How the group stands, in short: for status."""
        view = self.mirror.view()
        rollout = view.rollout
        return {
            "group": self.group.name,
            "node": self.node,
            "state": self.state,
            "trouble": self.trouble or self.group.etcd.full or self.part.trouble or None,
            "head": view.head or None,
            "confirmed": view.stable or None,
            "driver": view.driver or None,
            "rollout": rollout.phase.value if rollout is not None else None,
            "paused": view.is_paused,
        }

    def standing(self) -> dict[str, Any]:
        """How the group and every member of it stands."""
        view, mirror = self.mirror.view(), self.mirror
        known = {**{node: {} for node in view.present}, **mirror.below("members")}
        known[self.node] = self.own()
        rollout = view.rollout
        members = []
        for node, found in sorted(known.items()):
            word = view.word(node)
            members.append(
                {
                    "node": node,
                    "present": node in view.present,
                    **found,
                    "says": word.as_json() if word else None,
                    "skipped": rollout.skipped.get(node) if rollout else None,
                }
            )
        paused = mirror.text("paused")
        remaining_s = self.part.remaining_s
        return {
            **self.as_json(),
            "endpoint": self.group.etcd.endpoint,
            "members": members,
            "rollout": _progress(rollout, self) if rollout is not None else None,
            "paused": json.loads(paused) if paused else None,
            "goesBackInSeconds": None if remaining_s is None else round(max(remaining_s, 0.0), 1),
        }

    # -- what anybody may ask for, on any thread but the writer ----------------------------

    def roll_out(self, by: str) -> Rollout:
        """Begin a rollout to the newest revision. Raises as `Drive.roll_out`, and GroupAway."""
        self._must_be_met()
        found = self.drive.roll_out(by)
        self._comes_round(lambda: self._rollout_id >= found.id)
        return found

    def pause(self, by: str, reason: str) -> dict[str, Any]:
        """Have no rollout go on, or begin, until `resume`. Raises GroupAway."""
        self._must_be_met()
        found = self.drive.pause(by, reason)
        self._comes_round(lambda: "paused" in self.mirror.items)
        return found

    def resume(self) -> None:
        """End a pause. Raises Conflict if there is none, and GroupAway."""
        self._must_be_met()
        self.drive.resume()
        self._comes_round(lambda: "paused" not in self.mirror.items)

    def abort(self, by: str) -> Rollout:
        """End the rollout that is under way. Raises as `Drive.abort`, and GroupAway."""
        self._must_be_met()
        changed = self.mirror.view().changed
        found = self.drive.abort(by)
        self._comes_round(lambda: self.mirror.view().changed > changed)
        return found

    def forget(self, node: str) -> None:
        """Have a member that is away for good on no list. Raises NotFound, Conflict, GroupAway."""
        self._must_be_met()
        self.drive.forget(node)
        self._comes_round(lambda: node not in self.mirror.below("members"))

    @property
    def _rollout_id(self) -> int:
        rollout = self.mirror.view().rollout
        return rollout.id if rollout is not None else 0

    def _must_be_met(self) -> None:
        """Raise if what is known of the group is old, or is not of the group we are of."""
        if not self.mirror.is_current:
            raise GroupAway(self.mirror.trouble or "the group has not been met yet")
        if self.local.member.history.note(GROUP) != self.mirror.text("id"):
            raise Conflict(self.trouble or "this member has not joined the group yet")

    def _comes_round(self, is_there: Callable[[], bool]) -> None:
        """Wait until our watch has told what we wrote, so that who looks next sees it."""
        deadline = time.monotonic() + ROUND_S
        while not is_there() and time.monotonic() < deadline and not self._stopping:
            time.sleep(0.005)


def _progress(rollout: Rollout, fleet: Fleet) -> dict[str, Any]:
    view = fleet.mirror.view()
    done = [n for n in rollout.begun if (w := view.word(n)) is not None and w.says == "healthy"]
    total = len(rollout.members)
    is_done = rollout.phase is Phase.CONFIRMED
    return {
        **rollout.as_json(),
        "healthy": sorted(rollout.members) if is_done else done,
        "members": total,
    }


def _end(job: Job, state: State) -> None:
    job.state = state
    with suppress(InvalidStateError):
        job.done.set_result(job)
