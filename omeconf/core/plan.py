"""What must restart for a diff: applications < virtual host < server, merged and ordered."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from omeconf.core.diff import Change, Kind
from omeconf.core.schema import APPLICATION, NONE, SERVER, VIRTUAL_HOST


class Action(enum.StrEnum):
    """What happens to a thing."""

    CREATE = "create"
    RESTART = "restart"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One thing that must be created, restarted or deleted."""

    scope: str
    """application, virtualHost or server."""
    action: Action
    virtual_host: str = ""
    application: str = ""

    def as_json(self) -> dict[str, str]:
        """The form a hook gets on its standard input."""
        shown = {"scope": self.scope, "action": self.action.value}
        if self.virtual_host or self.scope != SERVER:
            shown["virtualHost"] = self.virtual_host
        if self.scope == APPLICATION:
            shown["application"] = self.application
        return shown

    def __str__(self) -> str:
        name = "/".join(part for part in (self.virtual_host, self.application) if part)
        return f"{self.action} {self.scope} {name}".rstrip()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that must happen so that the engine runs the new configuration."""

    items: tuple[PlanItem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.items)

    def as_json(self) -> list[dict[str, Any]]:
        """The items, in order."""
        return [item.as_json() for item in self.items]


def plan(changes: Iterable[Change]) -> Plan:
    """What a list of changes asks for; nothing for what no part of the engine reads."""
    wanted: dict[tuple[str, str, str], Action] = {}
    for change in changes:
        scope, action = change.item.scope, Action.RESTART
        if scope == NONE:
            continue
        if change.item.opens_scope:
            if change.kind is Kind.MOVED and scope == APPLICATION:
                continue  # the order of applications means nothing
            if change.kind is Kind.MOVED:
                scope = SERVER  # of overlapping host names the first is reached
            elif change.kind is not Kind.CHANGED:
                action = Action.CREATE if change.kind is Kind.ADDED else Action.DELETE
        if scope == SERVER:
            return Plan((PlanItem(SERVER, Action.RESTART),))
        key = (
            scope,
            change.path.key_of("VirtualHost"),
            change.path.key_of("Application") if scope == APPLICATION else "",
        )
        if wanted.get(key) in (None, Action.RESTART):
            wanted[key] = action
    hosts = {host for scope, host, _ in wanted if scope == VIRTUAL_HOST}
    items = [
        PlanItem(scope, action, host, application)
        for (scope, host, application), action in wanted.items()
        if scope == VIRTUAL_HOST or host not in hosts
    ]
    order = {Action.DELETE: 0, Action.RESTART: 1, Action.CREATE: 2}
    return Plan(tuple(sorted(items, key=lambda item: order[item.action])))
