"""How one member is, and how its group stands, as seen there: on record, and for who asks."""

from __future__ import annotations

import json
import time
from typing import Any

from omeconf import __version__
from omeconf.core.rollout import Phase, Rollout, View
from omeconf.daemon.fleet.local import Local
from omeconf.daemon.fleet.mirror import Mirror
from omeconf.daemon.fleet.part import Part
from omeconf.daemon.fleet.presence import Presence
from omeconf.store.etcd import Put

RECORD_S = 2.0
"""While a rollout is under way it is put on record no more often how a member is."""
SLOW_S = 1.0
"""An etcd that takes longer for an answer is called slow."""


class Standing:
    """How things stand, from what this member knows."""

    def __init__(self, local: Local, mirror: Mirror, presence: Presence, part: Part) -> None:
        self.local = local
        self.mirror = mirror
        self.presence = presence
        self.part = part
        self._recorded = 0.0
        """When it was put on record how this member is."""

    def own(self) -> dict[str, Any]:
        """How this member is, as the others see it."""
        member, service = self.local.member, self.local.service
        placed, running = member.placed, service.reloader.running
        stand, broken = self.part.stand, member.drift  # the writer may change them meanwhile
        drift = ""
        if broken is not None and not member.is_refused:
            count = len(broken.errors)
            drift = f"edited by hand, with {count} error{'s' * (count > 1)}"
        elif member.own is not None:
            drift = "edited by hand, and kept on this member"
        held = f"held: {member.held}" if member.held is not None else ""
        trouble = member.unrecorded or member.missing or held or self.part.trouble
        return {
            "omeconf": __version__,
            "engine": service.settings.engine.release,
            "labels": list(service.settings.fleet.labels),
            "disk": placed.revision.number if placed else None,
            "running": running.revision.number if running else None,
            "healthy": member.history.mark("healthy"),
            "confirmed": not self.part.is_open or bool(stand and not stand.rollout),
            "drift": drift or None,
            "trouble": trouble or None if placed else None,
        }

    def put_on_record(self) -> None:
        """Have on record how this member is, when that has changed."""
        rollout = self.mirror.view().rollout
        is_under_way = rollout is not None and not rollout.has_ended
        if is_under_way and time.monotonic() - self._recorded < RECORD_S:
            return  # all members hear of it: once a rollout is enough
        group, name, text = self.local.member.group, self._name, json.dumps(self.own())
        if self.mirror.text(name) != text and self.presence.is_kept:
            put = Put(group.key(name), text.encode())
            self._recorded = time.monotonic()
            done = group.etcd.transact([self.mirror.unchanged(name)], [put])
            if done.is_done:
                self.mirror.wrote(done.revision)

    @property
    def _name(self) -> str:
        return f"members/{self.presence.node}"

    def state(self, trouble: str) -> str:
        """``ok``; or ``away``, ``trouble``, ``slow``."""
        if not self.mirror.is_current:
            return "away"
        if trouble:
            return "trouble"
        return "slow" if self.presence.took_s > SLOW_S else "ok"

    def short(self, trouble: str) -> dict[str, Any]:
        """How the group stands, for status; trouble: why this member does not go with it."""
        view = self.mirror.view()
        rollout = view.rollout
        return {
            "group": self.local.member.group.name,
            "node": self.presence.node,
            "state": self.state(trouble),
            "trouble": trouble or self.part.trouble or None,
            "head": view.head or None,
            "confirmed": view.stable or None,
            "driver": view.driver or None,
            "rollout": rollout.phase.value if rollout is not None else None,
            "rollouts": self.local.service.settings.fleet.rollout,
            "paused": view.is_paused,
        }

    def whole(self, trouble: str) -> dict[str, Any]:
        """How the group and every member of it stands."""
        view = self.mirror.view()
        rollout, paused = view.rollout, self.mirror.text("paused")
        remaining_s = self.part.remaining_s
        return {
            **self.short(trouble),
            "endpoint": self.local.member.group.etcd.endpoint,
            "members": self._members(view),
            "rollout": _progress(rollout, view) if rollout is not None else None,
            "paused": json.loads(paused) if paused else None,
            "goesBackInSeconds": None if remaining_s is None else round(max(remaining_s, 0.0), 1),
        }

    def _members(self, view: View) -> list[dict[str, Any]]:
        known = {**{node: {} for node in view.present}, **self.mirror.below("members")}
        if not self.presence.is_taken:  # else it is another that has our name
            known[self.presence.node] = self.own()
        rollout = view.rollout
        return [
            {
                "node": node,
                "present": node in view.present,
                **found,
                "says": word.as_json() if (word := view.word(node)) else None,
                "skipped": rollout.skipped.get(node) if rollout else None,
            }
            for node, found in sorted(known.items())
        ]


def _progress(rollout: Rollout, view: View) -> dict[str, Any]:
    done = [n for n in rollout.begun if (w := view.word(n)) is not None and w.says == "healthy"]
    is_done = rollout.phase is Phase.CONFIRMED
    return {
        **rollout.as_json(),
        "healthy": sorted(rollout.members) if is_done else done,
        "members": len(rollout.members),
    }
