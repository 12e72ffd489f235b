"""The engine as the reload thread sees it: its folder, its API, and whether it is there."""

from __future__ import annotations

import logging
import time

from omeconf.core.plan import Plan
from omeconf.daemon.certificates import Certificates
from omeconf.daemon.engine import (
    Difference,
    EngineApi,
    EngineRefused,
    LiveEngine,
    Unreachable,
    read_token,
)
from omeconf.daemon.engine_folder import EngineFolder
from omeconf.daemon.events import Events
from omeconf.daemon.hooks import Outcome
from omeconf.errors import NotFound, Refused, Unwritable
from omeconf.logs import fields
from omeconf.settings import Settings
from omeconf.store.head import Head

log = logging.getLogger(__name__)


class EngineSide:
    """One engine that omeconf knows of; hooks come on top of it."""

    def __init__(self, settings: Settings, events: Events) -> None:
        """Raises NotFound if its token cannot be read."""
        engine = settings.engine
        token = read_token(engine.token_file) if engine.token_file else ""
        self.settings = settings
        self.events = events
        self.api = EngineApi(engine.url, token) if engine.url else None
        self.live = LiveEngine(self.api) if self.api and engine.mode == "live" else None
        self.folder = EngineFolder(engine, token) if engine.config_dir else None
        self.is_reachable: bool | None = None
        """None while that is not known."""
        self.drift: list[Difference] = []
        """What it runs otherwise than it should."""
        self.unpublished = ""
        """Why the newest revision is not in the engine's folder; "" if it is."""
        self._compare_at = 0.0
        # in its folder it is given an API without TLS
        self._certificates = Certificates(of_managers=not engine.config_dir)

    def publish(self, target: Head) -> None:
        """Have the engine's folder hold a head. Raises Unwritable."""
        if self.folder is not None:
            try:
                is_new = self.folder.publish(target)
            except Unwritable as error:
                self.unpublished = str(error)
                raise
            self.unpublished = ""
            if is_new:
                number = target.revision.number
                log.info("revision %d is published in %s", number, self.folder.path,
                         extra=fields(event="engine", revision=number))  # fmt: skip

    def lay_out(self, target: Head) -> None:
        """Have the engine's folder hold a head when we start; what cannot be is told, and tried
        again by the next reload."""
        try:
            self.publish(target)
        except Unwritable as error:
            log.error("Cannot publish for the engine: %s", error, extra=fields(event="engine"))

    def apply(self, plan: Plan, running: Head | None, target: Head) -> Outcome:
        """Carry out what of a plan the engine's API can do. Raises Unreachable."""
        if self.live is None:
            return Outcome("engine", 1, "the engine has no API that omeconf knows of")
        try:
            if self._is_new(running):
                return self.replay(target)
            self.live.apply(plan, running, target)
            wrong = self.live.runs(plan, target)
        except (EngineRefused, NotFound, Refused) as error:
            return Outcome("engine", 1, str(error))
        self._reached()
        names = ", ".join(map(str, plan.items))
        return Outcome("engine", 1, wrong) if wrong else Outcome("engine", 0, names)

    def _is_new(self, running: Head | None) -> bool:
        """Whether the engine has come up since it was given what runs. Raises Unreachable."""
        assert self.live is not None
        return self.is_reachable is False or not self.live.has_hosts_of(running)

    def replay(self, target: Head) -> Outcome:
        """Give the engine everything that it does not run. Raises Unreachable."""
        if self.live is None:
            return Outcome("engine", 0, "")
        try:
            found = self.live.replay(target)
        except (EngineRefused, NotFound, Refused) as error:
            return Outcome("engine", 1, str(error))
        self._reached()
        self.drift = []
        return Outcome("engine", 0, "; ".join(map(str, found)))

    def needs_replay(self, target: Head) -> bool:
        """Whether it has come up without its virtual hosts, or runs something else."""
        if self.live is None or self.api is None:
            return False
        try:
            names = self.api.names()
            was_away = self.is_reachable is False
            self._reached()
            if was_away or (not names and _has_hosts(target)):
                log.warning("the engine has come back: it is given everything")
                return True
            if time.monotonic() < self._compare_at:
                return False
            self._compare_at = time.monotonic() + self.settings.engine.compare_every_s
            found = self.live.differences(target)
        except Unreachable as error:
            if self.is_reachable is not False:
                log.warning("%s", error)
                self.events.emit("engine", reachable=False)
            self.is_reachable = False
            return False
        except (EngineRefused, NotFound) as error:
            log.warning("Cannot look at the engine: %s", error)
            return False
        if found and found != self.drift:
            log.warning("the engine runs something else: %s", "; ".join(map(str, found)))
            self.events.emit("engine", drift=[str(each) for each in found])
        self.drift = found
        return bool(found) and self.settings.engine.on_drift == "repair"

    def reload_certificates(self, running: Head) -> None:
        """Have renewed certificate files read by the engine: no stream is dropped for that."""
        if self.api is None:
            return
        for name in self._certificates.renewed(running):
            whose = f"the virtual host {name}" if name else "the engine's API"
            try:
                self.api.reload_certificate(name)
            except Unreachable:
                return  # it is tried again at the next look
            except (EngineRefused, NotFound) as error:
                log.error("The certificate of %s is not read again: %s", whose, error)
                outcome = str(error)
            else:
                log.info("The certificate of %s: the engine has read it again", whose)
                outcome = ""
            self._certificates.is_read(name)
            self.events.emit("certificate", virtualHost=name, error=outcome or None)

    def as_json(self) -> dict[str, object]:
        """For status."""
        return {
            "url": self.settings.engine.url or None,
            "folder": self.settings.engine.config_dir or None,
            "reachable": self.is_reachable,
            "drift": [str(each) for each in self.drift],
        }

    def _reached(self) -> None:
        if self.is_reachable is False:
            self.events.emit("engine", reachable=True)
        self.is_reachable = True


def _has_hosts(head: Head) -> bool:
    root = head.checked.root
    return root is not None and any(True for _ in root.every("VirtualHosts/VirtualHost"))
