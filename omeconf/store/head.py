"""A revision with its configuration, as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omeconf.core.check import Checked
from omeconf.core.revision import Revision


@dataclass(frozen=True, slots=True)
class Head:
    """The newest revision and its configuration: a value that readers may keep."""

    revision: Revision
    checked: Checked


Precondition = Callable[[Head], None]
"""Raises Stale if a head is not the one that somebody counts on."""
