"""After a crash: what was being published is finished or undone, and nobody's save is thrown away.

A temporary beside a file tells of such a crash. Its name has the digest of the new bytes it was
made for, so that ours are told from what they displaced. A revision that was recorded is finished
if each of its files is live already or can be exchanged now; else it is undone and withdrawn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from omeconf.core.patch import forward, reverse
from omeconf.errors import NotFound, Unwritable
from omeconf.store.disk import Folder, translated
from omeconf.store.history import History
from omeconf.store.publish import Leftover, Publisher
from omeconf.store.steps import is_torn

if TYPE_CHECKING:
    from omeconf.store.head import Head

log = logging.getLogger(__name__)

Files = Mapping[str, bytes]

MOST_LOOKED_AT = 200
"""So many revisions back a leftover is looked for in the history."""


class Recovery:
    """One look at a folder at the start, before anything is adopted."""

    def __init__(
        self,
        folder: Folder,
        publisher: Publisher,
        history: History,
        keep: Callable[[Iterable[tuple[str, bytes]]], None],
        would_include: Callable[[Files, str], bool],
        withdraw: Callable[[], None],
    ) -> None:
        """keep is told of saves that would be lost, as file and bytes; withdraw takes the revision
        that is undone off the record.

        would_include tells whether a configuration of such files would include another file: if
        not, that file is none of it, and stays as it is.
        """
        self.folder = folder
        self.publisher = publisher
        self.history = history
        self.keep = keep
        self.would_include = would_include
        self.withdraw = withdraw
        self.is_expected: Callable[[Leftover], bool] = lambda _: False
        """Whether something that is neither of the two states was displaced knowingly."""

    def run(self, head: Head | None, before: Files | None = None) -> None:
        """Clean up. Raises Unwritable; what is done by then is done, and it can be run again.

        head: what was to be on disk; before: the files that were there, those of its parent unless
        told.
        """
        try:
            with translated("cannot clean up after a crash"):
                self._run(head, before)
        except NotFound as error:
            raise Unwritable(str(error)) from error

    def _run(self, head: Head | None, known: Files | None) -> None:
        files: Files = head.checked.snapshot.files if head else {}
        before: Files = self._parent_files(head) if head and known is None else known or {}
        self._journals(files)
        left = list(self.publisher.leftovers(sorted({*files, *before})))
        if not left:
            return
        ours = {
            each.file: each
            for each in left
            if each.is_ours and each.data == files.get(each.file, b"")  # empty: it is to go
        }
        changed = [
            f
            for f in {*files, *before}
            if files.get(f) != before.get(f) and (f in files or self.would_include(files, f))
        ]
        live = [f for f in changed if self._bytes(f) == files.get(f)]
        can_finish = all(
            f in live or (f in ours and self._bytes(f) == before.get(f)) for f in changed
        )
        if head is not None and len(live) < len(changed):
            if can_finish:
                log.warning("finishing revision %d, which a crash cut off", head.revision.number)
                self._finish(changed, ours, files)
            elif any(f in ours for f in changed):
                log.warning("undoing revision %d, which a crash cut off", head.revision.number)
                self._undo(changed, left, files, before)
                self.withdraw()
                files = before
        self._clear(left, files, before)

    def _finish(self, changed: list[str], ours: Mapping[str, Leftover], files: Files) -> None:
        for file in changed:
            if self._bytes(file) == files.get(file):
                continue
            if file in files:
                self.publisher.put_back(ours[file])
            else:
                self.publisher.remove(file)

    def _undo(self, changed: list[str], left: list[Leftover], files: Files, before: Files) -> None:
        for file in changed:
            if self._bytes(file) != files.get(file):
                continue
            displaced = next(
                (e for e in left if e.file == file and e.data == before.get(file)), None
            )
            if displaced is not None:
                self.publisher.put_back(displaced)
            elif file not in before and self.would_include(before, file):
                self.publisher.remove(file)

    def _clear(self, left: list[Leftover], files: Files, before: Files) -> None:
        """Put back or keep what somebody else wrote, and remove the rest."""
        for each in left:
            if not each.temporary.exists():
                continue
            on_disk = self._bytes(each.file) if each.file else None
            wanted = files.get(each.file)
            if each.is_ours or not each.file or each.data == on_disk:
                pass
            elif each.data == wanted and (on_disk is None or each.was_made_for(on_disk)):
                log.warning("%s: undoing what was never recorded", each.file)
                self.publisher.put_back(each)
            elif each.data != before.get(each.file) and not self._is_known(each):
                is_live = on_disk == wanted and wanted is not None and each.was_made_for(wanted)
                if is_live and self.is_expected(each):
                    log.info("%s: what was displaced when a crash came is known", each.file)
                elif is_live:
                    log.warning("%s: putting back what was displaced when a crash came", each.file)
                    self.publisher.put_back(each)
                else:
                    self.keep([(each.file, each.data)])
            each.temporary.unlink(missing_ok=True)

    def _is_known(self, leftover: Leftover) -> bool:
        """Whether a leftover is what its file was in a revision: left by an older publication."""
        newest = self.history.newest(limit=MOST_LOOKED_AT)
        if not newest:
            return False
        try:
            data = self.history.files(newest[0].number).get(leftover.file)
            for revision in newest:
                if data == leftover.data:
                    return True
                patch = self.history.patches(revision.number).get(leftover.file)
                if patch is not None and data is not None:
                    data = forward(data, reverse(patch))
        except (NotFound, Unwritable, ValueError):
            return False
        return data == leftover.data

    def _journals(self, files: Files) -> None:
        """Complete files that were being written in place."""
        for journal in self.publisher.open_journals():
            on_disk = self._bytes(journal.file)
            is_recorded = files.get(journal.file) == journal.new
            is_half = on_disk is not None and is_torn(on_disk, journal.old, journal.new)
            if is_half or (is_recorded and on_disk == journal.old):
                log.warning("%s: completing what a crash cut off", journal.file)
                self.publisher.finish(journal, journal.new if is_recorded else journal.old)
            else:
                journal.path.unlink()

    def _parent_files(self, head: Head) -> Files:
        try:
            return self.history.files(head.revision.parent) if head.revision.parent else {}
        except NotFound:  # it was pruned: then head has long been published
            return head.checked.snapshot.files

    def _bytes(self, file: str) -> bytes | None:
        try:
            return self.folder.read(file)
        except (NotFound, Unwritable):
            return None
