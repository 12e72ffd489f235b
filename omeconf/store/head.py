"""A revision with its configuration, as a value; and what is about to become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omeconf.core.check import Checked
from omeconf.core.revision import Revision
from omeconf.core.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Head:
    """The newest revision and its configuration: a value that readers may keep."""

    revision: Revision
    checked: Checked


@dataclass(frozen=True, slots=True)
class Made:
    """What a candidate makes of a base, and what checks it."""

    snapshot: Snapshot
    check: Callable[[], Checked]


Precondition = Callable[[Head], None]
"""Raises Stale if a head is not the one that somebody counts on."""
