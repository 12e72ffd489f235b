"""What came of a commit, and what would come of one."""

from __future__ import annotations

from dataclasses import dataclass

from omeconf.core.check import Checked
from omeconf.core.diff import Change, changes
from omeconf.core.plan import Plan, plan
from omeconf.core.violation import Violation
from omeconf.daemon.jobs import Job
from omeconf.store.head import Head


@dataclass(frozen=True, slots=True)
class Committed:
    """What came of a commit."""

    head: Head
    """The new revision; the old one if nothing changed."""
    changes: tuple[Change, ...]
    job: Job | None
    """The reload that makes the engine run it; None if nothing has to restart."""
    advice: tuple[Violation, ...] = ()
    """What works as written, but probably not as meant, in what was changed."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """What would come of a commit."""

    base: Head
    head: Head
    """As it would be; the revision is that of the base."""
    changes: tuple[Change, ...]
    plan: Plan

    @property
    def advice(self) -> tuple[Violation, ...]:
        """What would work as written, but probably not as meant, in what was changed."""
        return self.head.checked.advice_since(self.base.checked)


def previewed(base: Head, checked: Checked) -> Previewed:
    """What a state on top of a base would bring."""
    found = changes(base.checked.root, checked.root)
    return Previewed(base, Head(base.revision, checked), found, plan(found))
