"""Taking back: files without some revisions' changes; and which revisions a save undoes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omeconf.core.lines import hunks, split
from omeconf.core.merge import merge
from omeconf.core.patch import extent, forward, reverse
from omeconf.core.revision import Origin, Revision
from omeconf.errors import Conflict, NotFound
from omeconf.store.history import History

OLDER_BUFFER = 20
"""So many revisions back a manual save is held against, to see whether it undoes one."""

Files = Mapping[str, bytes]


def without(history: History, numbers: Sequence[int], files: Files) -> dict[str, bytes]:
    """Files with the inverse of some revisions' diffs, the newest first.

    What anybody else changed since stays. Raises Conflict where that touches the same lines.
    """
    result = dict(files)
    for number in sorted(numbers, reverse=True):
        after = history.files(number)
        before = history.files(history.get(number).parent)
        for file in before.keys() | after.keys():
            merged = _merged(file, after.get(file), result.pop(file, None), before.get(file))
            if merged is not None:
                result[file] = merged
    return result


def undone_by(history: History, head: Files, number: int, saved: Files) -> tuple[int, ...]:
    """API revisions that a manual save undoes, since it was made from an older buffer.

    head are the files of the newest revision, whose number is given. The revision that differs
    least from the save is taken for the one it was made from; of those since, the ones count
    whose lines are not in the save.
    """
    files = dict(head)
    least, since = extent(files, saved), number
    newer = _ancestors(history, number)
    gone: set[int] = set()
    for revision in newer:
        after = dict(files)
        for file, patch in history.patches(revision.number).items():
            if file not in files:
                return ()  # files came or went: that is no older buffer of one file
            try:
                files[file] = forward(files[file], reverse(patch))
            except ValueError:  # the same: another file had that name before
                return ()
        if _is_missing(files, after, saved):
            gone.add(revision.number)
        found = extent(files, saved)
        if found < least:
            least, since = found, revision.parent
    return tuple(
        sorted(
            r.number
            for r in newer
            if r.number > since and r.number in gone and r.origin is Origin.API
        )
    )


def _ancestors(history: History, number: int) -> list[Revision]:
    """A revision and those it was made on, the newest first; none pruned."""
    found: list[Revision] = []
    try:
        while len(found) < OLDER_BUFFER and (revision := history.get(number)).parent:
            found.append(revision)
            number = revision.parent
    except NotFound:
        pass
    return found


def _is_missing(before: Files, after: Files, saved: Files) -> bool:
    """Whether what a revision wrote is not in a save: none of its new lines, all that went."""
    for file, new in after.items():
        old, now = split(before.get(file, b"")), split(saved.get(file, b""))
        for hunk in hunks(old, split(new)):
            come = split(new)[hunk.new_start : hunk.new_end]
            went = old[hunk.old_start : hunk.old_end]
            if come and all(line in now for line in come):
                return False
            if not come and not all(line in now for line in went):
                return False
    return True


def _merged(file: str, base: bytes | None, one: bytes | None, other: bytes | None) -> bytes | None:
    """As `merge`, also where there is no such file (None) in some of the states."""
    if base is not None and one is not None and other is not None:
        return merge(base, one, other)
    if base in (one, other):
        return other if base == one else one
    if one == other:
        return one
    raise Conflict(f"{file} came, went or was changed since")
