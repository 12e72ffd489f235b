"""Which revision the engine runs, and what was being tried, as noted in the history."""

from __future__ import annotations

import logging

from omeconf.core.revision import Revision
from omeconf.errors import NotFound, Unwritable
from omeconf.logs import fields
from omeconf.store.head import Head
from omeconf.store.repository import Repository

log = logging.getLogger(__name__)

MOST_HALF_DONE = 50
"""So many revisions back a reload that was cut off is looked for."""


class Running:
    """The marks running, healthy and trying of one history."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.is_assumed = False
        """Whether what the engine runs is not known but taken to be head (first start)."""

    def at_start(self, head: Head | None) -> Head | None:
        """What the engine runs when the daemon starts; head, if nothing is noted."""
        running = self._marked("running")
        if head is None or running is not None:
            return running
        self.is_assumed = True
        self.note(running=head.revision.number)
        return head

    def half_done(self, running: Head | None) -> list[Head]:
        """What was being tried when we ended: each revision since what runs, up to the last."""
        history = self.repository.history
        trying = history.mark("trying")
        if trying is None:
            return []
        since = running.revision.number if running else trying - 1
        newest = history.newest(limit=MOST_HALF_DONE, below=trying + 1)
        return [self._head(each) for each in newest if each.number > since or each.number == trying]

    def note(self, **marks: int | None) -> None:
        """Move marks; what cannot be noted now is only logged: it would be done once more."""
        try:
            self.repository.history.set_marks(**marks)
        except Unwritable as error:
            log.warning("Cannot note %s: %s", ", ".join(marks), error)

    def _head(self, revision: Revision) -> Head:
        return Head(revision, self.repository.at(revision.number))

    def _marked(self, name: str) -> Head | None:
        history = self.repository.history
        number = history.mark(name)
        if number is None:
            return None
        try:
            return self._head(history.get(number))
        except (NotFound, Unwritable):
            log.warning("revision %d (%s) is not in the history any more", number, name,
                        extra=fields(event="history", revision=number))  # fmt: skip
            return None
