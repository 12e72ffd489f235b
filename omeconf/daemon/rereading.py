"""omeconf.toml read again while the daemon runs: what can change at run time does.

What cannot is said, and keeps its old value until the next start. A file that cannot be used
changes nothing.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omeconf.daemon.notify import reloading
from omeconf.daemon.service import Service
from omeconf.errors import BadSettings
from omeconf.settings import Settings, trouble_with_engine

log = logging.getLogger(__name__)

CHANGEABLE = {
    "api": {"listen", "virtual_hosts", "compat", "max_body_bytes", "max_waiting", "tokens"},
    "watch": {"settle_s", "look_every_s", "adopt"},
    "history": {"keep", "keep_days"},
    "reload": {
        "quiet_s", "longest_wait_s", "wait_s", "on_failure", "on_failure_manual", "backoff_s",
        "longest_backoff_s",
    },
    "hooks": set(),
    "health": {"run", "timeout_s", "after_s"},
    "engine": {"compare_every_s", "on_drift"},
    "fleet": {
        "rollout", "canary", "max_unavailable", "order", "vote_s", "apply_s", "soak_s", "confirm_s",
    },
}  # fmt: skip
"""The settings, by their table, that are looked up each time they are needed."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Settings as they can be now, and what differs from before."""

    settings: Settings
    changed: tuple[str, ...]
    """The names of those that are new: ``reload.wait_s``."""
    fixed: tuple[str, ...]
    """The names of those that need a restart."""


def merge(old: Settings, new: Settings) -> Merged:
    """The old settings with what of the new ones can change at run time."""
    changed: list[str] = []
    fixed: list[str] = []
    tables: dict[str, Any] = {}
    for table in dataclasses.fields(Settings):
        before, after = getattr(old, table.name), getattr(new, table.name)
        can = CHANGEABLE.get(table.name)
        if before == after:
            continue
        if not dataclasses.is_dataclass(before):
            (fixed if can is None else changed).append(table.name)
            tables[table.name] = before if can is None else after
            continue
        values = {}
        for field in dataclasses.fields(before):
            name, value = field.name, getattr(after, field.name)
            if getattr(before, name) != value:
                is_free = name in (can or ())
                (changed if is_free else fixed).append(f"{table.name}.{name}")
                if is_free:
                    values[name] = value
        tables[table.name] = dataclasses.replace(before, **values)  # type: ignore[type-var]
    return Merged(dataclasses.replace(old, **tables), tuple(changed), tuple(fixed))


class Rereading:
    """Reads the settings of one daemon again."""

    def __init__(
        self, service: Service, load: Callable[[], Settings], apply: Callable[[Settings], None]
    ) -> None:
        """load gives what the file says now; apply tells who is not asked for settings."""
        self.service = service
        self.load = load
        self.apply = apply

    def __call__(self) -> dict[str, Any]:
        """On the writer: take up the file, and look at the configuration.

        Raises BadSettings, which names the line; then the old settings stay.
        """
        service = self.service
        with reloading():
            try:
                found = merge(service.settings, self.load())
                if trouble := trouble_with_engine(found.settings):
                    raise BadSettings(
                        f"{', '.join(found.fixed)}: only a restart of omeconf takes that up, and "
                        f"without it the rest cannot be used ({trouble}): nothing is changed"
                    )
            except BadSettings as error:
                log.error("Cannot reload: %s; the old settings stay", error)
                raise
            service.take_up(found.settings)
            self.apply(found.settings)
            if not (found.changed or found.fixed):
                log.info("settings: read again, nothing has changed")
            if found.changed:
                log.info("settings: %s changed", ", ".join(found.changed))
            if found.fixed:
                log.warning("settings: %s need a restart, and are as before until then",
                            ", ".join(found.fixed))  # fmt: skip
            service.tick(is_thorough=True)
        if service.reloader.pending is not None:
            service.reloader.retry()  # what waits to be tried again is tried now
        status = service.status()
        job = service.reloader.covering(status["revision"]["head"] or 0)
        return {
            "changed": list(found.changed),
            "needRestart": list(found.fixed),
            "revision": status["revision"]["head"],
            "drift": status["drift"],
            "missing": status["missing"],
            "reload": job.as_json() if job is not None else None,
        }

    def quietly(self) -> None:
        """As a call, for a signal: nobody waits, and what went wrong has been logged."""
        try:
            self()
        except BadSettings:
            pass
        except Exception:  # the writer must outlive it
            log.exception("Cannot reload")
