"""What there is to watch of a configuration: its files, and where they and what it includes lie."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from omeconf.core.snapshot import Snapshot
from omeconf.daemon.pulse import WatcherPulse
from omeconf.daemon.service import Service
from omeconf.daemon.watcher import Watcher
from omeconf.store.repository import Repository


def watcher_of(service: Service, pulse: WatcherPulse) -> Watcher:
    """A watcher of everything that the configuration consists of, or could.

    pulse hears whenever it comes round.
    """
    places, watch = Places(service.repository), service.settings.watch

    def paths() -> set[Path]:
        pulse.turn(time.monotonic())
        return places.paths()

    def look() -> bool:
        with pulse.waiting():
            service.submit(service.tick, is_thorough=True).result()
        return service.is_settled

    watcher = Watcher(
        paths,
        places.marks,
        look,
        settle_s=watch.settle_s,
        look_every_s=watch.look_every_s,
    )
    service.vitals.append(lambda: watcher.is_alive)
    service.watching = watcher.as_json
    return watcher


class Places:
    """Where the files lie that should be there, and those that are and cannot be taken up."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.folder = repository.folder

    def paths(self) -> set[Path]:
        """The folders in which something may happen; and the main file, if it is mounted itself.

        The kernel tells of what is written to a mounted file, not of the folder it is mounted in.
        (Of an included file that is mounted so, the looks know.)
        """
        found = {_nearest(self.folder.path / place) for place in self.folders()}
        found |= {_nearest(_behind(self.folder.path / file).parent) for file in self.files()}
        main = self.folder.path / self.repository.main
        if self.repository.publisher.needs_in_place(self.repository.main) and main.is_file():
            found.add(main)
        return found

    def marks(self) -> object:
        """What shows cheaply that something may have changed."""
        return self.folder.marks((*sorted(self.files()), *sorted(self.folders())))

    def files(self) -> set[str]:
        """Every file that counts, as snapshots name it."""
        return {self.repository.main} | {file for each in self._snapshots() for file in each.files}

    def folders(self) -> set[str]:
        """Every folder that is looked into, whether it exists or not."""
        return {"."} | {place or "." for each in self._snapshots() for place in each.folders}

    def _snapshots(self) -> Iterator[Snapshot]:
        disk, drift = self.repository.disk, self.repository.drift
        if disk is not None:
            yield disk.checked.snapshot
        if drift is not None:
            yield drift.snapshot


def _behind(path: Path) -> Path:
    """Where a file lies, behind links."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _nearest(path: Path) -> Path:
    """A folder, or the nearest around it that exists."""
    return path if path.is_dir() or path == path.parent else _nearest(path.parent)
