"""One member of a group: what it does there, one step after another, and may be asked to do."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from omeconf.core.rollout import Rollout
from omeconf.daemon.confirm import Clocks
from omeconf.daemon.fleet.drive import Drive
from omeconf.daemon.fleet.local import Local
from omeconf.daemon.fleet.meeting import Meeting
from omeconf.daemon.fleet.mirror import ROUND_S, Mirror
from omeconf.daemon.fleet.part import Part
from omeconf.daemon.fleet.presence import Presence
from omeconf.daemon.fleet.standing import Standing
from omeconf.daemon.fleet.waiting import Waiting
from omeconf.daemon.jobs import Job
from omeconf.daemon.service import Service
from omeconf.errors import BadSettings, Conflict, GroupAway, OmeconfError
from omeconf.settings import Fleet as FleetSettings
from omeconf.settings import Settings
from omeconf.store.etcd import Etcd
from omeconf.store.group import Group
from omeconf.store.lineage import GROUP
from omeconf.store.member import Member

log = logging.getLogger(__name__)

PAUSE_S = 1.0
"""How long a step waits if nothing happens."""
SHORT_PAUSE_S = 0.2
"""The same while a rollout is under way, or etcd is away."""
LOOK_S = 10.0
"""How often etcd is asked whether the watch has told everything."""
NOT_MET = "the group has not been met yet"
HANGS_S = 30.0
"""A step that takes longer, or three leases, hangs: another is to drive."""


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
            raise BadSettings(
                f"fleet.password_file: cannot read {fleet.password_file}: {error.strerror}"
            ) from error
        if not password:
            raise BadSettings(f"fleet.password_file: {fleet.password_file} is empty")
        plain = [url for url in fleet.endpoints if not url.startswith("https:")]
        if plain:
            log.warning("The password for etcd goes to %s as plain text: give https://", plain[0])
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
        self.mirror = Mirror(self.group, self._heard)
        self.meeting = Meeting(self.local, self.mirror)
        self._beat = time.monotonic()
        """When the last step began."""
        self.presence = Presence(
            self.group,
            self.node,
            self.meeting.uid,
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
        self.stands = Standing(self.local, self.mirror, self.presence, self.part)
        self.waiting = Waiting(member.history, self._placed)
        self._logged = ""
        """What was logged last of that."""
        self.trouble = ""
        """Why it does not go with the group now; "" if it does."""
        self._shown: tuple[object, ...] = ()
        """What was last told as an event."""
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="fleet", daemon=True)

    def _placed(self) -> int:
        placed = self.local.member.placed
        return placed.revision.number if placed is not None else 0

    def _hangs(self) -> bool:
        return time.monotonic() - self._beat > max(3 * self.presence.lease_s, HANGS_S)

    def _barred(self) -> str:
        if self.presence.is_taken:
            return self.presence.trouble
        return self.meeting.bar

    def _away(self) -> str:
        return "" if self.mirror.is_current else self.mirror.trouble or NOT_MET

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
        self.waiting.stop()

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

    def hurry(self) -> Job | None:
        """Try at once what is confirmed and could not be taken up here; None if there is none."""
        number = self.part.hurry()
        return self._waited_for(number, is_going=True) if number else None

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
            self.trouble = self.mirror.trouble or NOT_MET
            return False
        if self._is_look_due():
            self.mirror.look()
            with suppress(OmeconfError):  # it need not tell how it is
                self.group.etcd.status()
        if self.mirror.is_behind:
            return False
        is_new = self.meeting.step()
        self.trouble = ""
        if is_new:
            return True
        self.waiting.answer(self.mirror.view())
        if not self.presence.is_ours:
            return False
        if self.meeting.put_right(self.drive) or self.part.step() or self.drive.step():
            return True
        self.stands.put_on_record()
        return False

    def _is_look_due(self) -> bool:
        is_soon = self.part.is_open or bool(self.group.etcd.full)
        every = min(LOOK_S, self.presence.lease_s / 3) if is_soon else LOOK_S
        return time.monotonic() - self.mirror.checked > every

    # -- how things stand ------------------------------------------------------------------

    @property
    def is_on_trial(self) -> bool:
        """Whether what is on disk may still be taken back."""
        return self.part.is_open

    def _tell(self) -> None:
        """Make an event of what has changed."""
        view = self.mirror.view()
        rollout, events = view.rollout, self.local.service.events
        trouble = self._hindrance
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

    def covering(self, number: int) -> Job:
        """What ends when a revision is confirmed by the group, or taken back."""
        is_auto = self.local.service.settings.fleet.rollout == "auto"
        return self._waited_for(number, is_going=is_auto and not self.mirror.view().is_paused)

    def _waited_for(self, number: int, *, is_going: bool) -> Job:
        job = self.waiting.add(number, self.local.member.clock(), is_going=is_going)
        self.notice()
        return job

    @property
    def _hindrance(self) -> str:
        """Why it does not go with the group, or nothing can be written there; "" if neither."""
        return self.trouble or self.group.etcd.full

    @property
    def state(self) -> str:
        """``ok``; or ``away``, ``trouble``, ``slow``."""
        return self.stands.state(self._hindrance)

    def as_json(self) -> dict[str, Any]:
        """How the group stands, in short: for status."""
        return self.stands.short(self._hindrance)

    def standing(self) -> dict[str, Any]:
        """How the group and every member of it stands."""
        return self.stands.whole(self._hindrance)

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
            raise GroupAway(self.mirror.trouble or NOT_MET)
        if self.local.member.history.note(GROUP) != self.mirror.text("id"):
            raise Conflict(self.trouble or "this member has not joined the group yet")

    def _comes_round(self, is_there: Callable[[], bool]) -> None:
        """Wait until our watch has told what we wrote, so that who looks next sees it."""
        deadline = time.monotonic() + ROUND_S
        while not is_there() and time.monotonic() < deadline and not self._stopping:
            time.sleep(0.005)
