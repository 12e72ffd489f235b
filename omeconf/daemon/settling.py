"""A moment's wait for somebody who is just saving a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from omeconf.errors import Busy, Drift
from omeconf.settings import Settings
from omeconf.store.repository import Repository

T = TypeVar("T")

SETTLING_S = 1.0
"""How long a commit waits for that."""


class Settling:
    """Whether what lies on disk may be whole in a moment; on the writer."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self.repository = repository
        self.settings = settings
        self._missing_since: float | None = None

    def when_settled(self, work: Callable[[], T]) -> T:
        """Do work; if somebody is just saving the file, wait a moment for it to be whole."""
        deadline = time.monotonic() + SETTLING_S
        while True:
            try:
                return work()
            except Busy:
                is_settling = True
            except Drift:
                is_settling = self._is_settling()
                if not is_settling:
                    raise
            if time.monotonic() > deadline:
                return work()
            time.sleep(0.02)

    def _is_settling(self) -> bool:
        repository = self.repository
        if repository.held is not None:
            return False
        if repository.missing:
            now = time.monotonic()
            self._missing_since = self._missing_since or now
            return now - self._missing_since < SETTLING_S
        self._missing_since = None
        drift = repository.drift
        files = drift.snapshot.files if drift else {repository.main: b""}
        now, settle_s = time.time(), self.settings.watch.settle_s
        return any(
            0 <= repository.folder.age(file, now) < settle_s
            or repository.folder.is_being_written(file)
            for file in files
        )
