"""What lies on disk, and whether it has to be read again to know that.

Files are compared by their bytes. Only where it is enough to hear of a change soon is the file
system asked instead: sizes, times and inodes of all files, and what lies in their folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from omeconf.core.snapshot import Snapshot
from omeconf.errors import NotFound, Unwritable
from omeconf.store.disk import Folder, Trace
from omeconf.store.publish import Prepared


class Looking:
    """Looks at the files of one configuration."""

    def __init__(
        self,
        folder: Folder,
        main: str,
        env: Mapping[str, str] | None,
        *,
        clock: Callable[[], float],
        vanished_s: float,
    ) -> None:
        """An included file that was there is not taken to be gone before vanished_s have passed."""
        self.folder = folder
        self.main = main
        self.env = env
        self.clock = clock
        self.vanished_s = vanished_s
        self.missing = ""
        """Which file is away, so that nothing is taken up or written; "" while none is."""
        self._seen: Snapshot | None = None
        """What was there at the last look."""
        self._trace: Trace | None = None
        """What the file system said of it before it was read; None if that is not known."""
        self._expected: tuple[Trace, Mapping[str, object]] | None = None
        """What it said before we wrote, and what is known of the new files."""
        self._lost_since: float | None = None

    def read(self, like: Snapshot | None) -> Snapshot:
        """What is there now; like lends what is the same. Raises NotFound or Unwritable."""
        return Snapshot.take(
            self.folder, main=self.main, folder=str(self.folder.path), env=self.env, like=like
        )

    def look(self, head: Snapshot | None, *, is_thorough: bool) -> Snapshot | None:
        """What is there, if it is not what was seen last, and nothing of head is away.

        not is_thorough: read only if the file system says that something was written (which does
        not see a second write in one tick of its clock).
        """
        trace = None if self._seen is None else self.folder.trace(self._seen)
        expected, self._expected = self._expected, None
        if trace is not None and expected is not None and _is_expected(trace, *expected):
            self._trace = trace
        if not is_thorough and trace is not None and trace == self._trace and not self.missing:
            return None
        self._trace = None
        try:
            found = self.read(head)
        except (NotFound, Unwritable) as error:
            self.missing = str(error)
            return None
        self.missing = self._lost(head, found)
        if self.missing:
            return None
        if self._seen is not None and found.is_like(self._seen):
            self._trace = trace
            return None
        return found

    def saw(self, snapshot: Snapshot | None) -> None:
        """This is known now; None: it must be looked at in any case."""
        # other files may count: they are read once more
        self._seen, self._trace, self._expected = snapshot, None, None

    def wrote(self, snapshot: Snapshot, written: Iterable[Prepared]) -> None:
        """This was written by ourselves. It need not be read again, if the file system says of it
        what it said of the new files, and of the others what it said before.
        """
        before, self.missing, self._lost_since = self._trace, "", None
        self.saw(snapshot)
        if before is not None:
            self._expected = before, {each.file: each.stamp for each in written}

    def doubt(self) -> None:
        """Have the files read at the next look."""
        self._trace = self._expected = None

    def _lost(self, head: Snapshot | None, found: Snapshot) -> str:
        """Files of head that may only be away for a moment; "" when there is none."""
        gone = set(head.files) - set(found.files) if head else set()
        if not gone:
            self._lost_since = None
            return ""
        now = self.clock()
        if self._lost_since is None:
            self._lost_since = now
        if now - self._lost_since >= self.vanished_s:
            return ""
        return f"{', '.join(sorted(gone))}: there is no such file any more"


def _is_expected(now: Trace, before: Trace, written: Mapping[str, object]) -> bool:
    """Whether nothing has changed but files that we wrote, and they are as we left them."""
    return (
        before.names == now.names
        and before.files.keys() == now.files.keys()
        and all(
            found is not None
            and (found == before.files[file] or found[: len(found) - 1] == written.get(file))
            for file, found in now.files.items()
        )
    )
