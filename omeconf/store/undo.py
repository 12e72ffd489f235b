"""Taking back: files without some revisions' changes; and which revisions a save undoes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from omeconf.core.lines import split
from omeconf.core.merge import merge
from omeconf.core.patch import Patch, extent, forward, reverse
from omeconf.core.revision import ASKED, Revision
from omeconf.errors import Conflict, NotFound
from omeconf.store.history import History

OLDER_BUFFER = 20
"""So many revisions back a manual save is held against, to see whether it undoes one."""

CLEAR = 20
"""So many bytes are not found somewhere else by chance."""

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
            now = result.pop(file, None)
            try:
                found = merged(file, after.get(file), now, before.get(file))
            except Conflict:
                found = _cut_out(history.patches(number).get(file, ()), now)
                if found is None:
                    raise
            if found is not None:
                result[file] = found
    return result


def _cut_out(patch: Patch, data: bytes | None) -> bytes | None:
    """A file without what a patch only inserted, if all of that is still there, once; else None.

    Where something else was added right beside it the lines conflict, but nothing is in doubt.
    """
    for piece in patch:
        is_clear = not piece.old and len(piece.new) >= CLEAR and data is not None
        if not is_clear or data is None or data.count(piece.new) != 1:
            return None
        data = data.replace(piece.new, b"")
    return data if patch else None


def undone_by(history: History, head: Files, number: int, saved: Files) -> tuple[int, ...]:
    """API revisions that a manual save undoes, since it was made from an older buffer.

    head are the files of the newest revision, whose number is given. The revision that differs
    least from the save is taken for the one it was made from; of those since, the ones count
    whose lines are not in the save.
    """
    newer = _ancestors(history, number)
    gone: set[int] = set()
    for revision, before, after, patches in _states(history, head, newer):
        if before is None:
            return ()
        missing = (
            _is_missing(before[file], after[file], patch, saved.get(file, b""))
            for file, patch in patches.items()
        )
        if all(missing):
            gone.add(revision.number)
    if not gone:
        return ()
    least, since = extent(head, saved), number
    for revision, before, _, _ in _states(history, head, newer):
        assert before is not None, "they were gone through before"
        found = extent(before, saved)
        if found < least:
            least, since = found, revision.parent
    return tuple(
        sorted(
            r.number for r in newer if r.number > since and r.number in gone and r.origin in ASKED
        )
    )


def _states(
    history: History, head: Files, newer: Sequence[Revision]
) -> Iterator[tuple[Revision, Files | None, Files, Mapping[str, Patch]]]:
    """Each revision with the files before and after it, and its patches; of large files no more
    than two states are held. Before it there is nothing (None) where files came or went since.
    """
    after = dict(head)
    for revision in newer:
        patches = history.patches(revision.number)
        try:
            undone = {file: forward(after[file], reverse(p)) for file, p in patches.items()}
        except (KeyError, ValueError):  # another file may have had that name before
            yield revision, None, after, patches
            return
        before = {**after, **undone}
        yield revision, before, after, patches
        after = before


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


def _is_missing(before: bytes, after: bytes, patch: Patch, saved: bytes) -> bool:
    """Whether what a patch made of a file is not in a save: none of its new lines, all that went.

    Only the lines are looked at on which the patch lies.
    """
    for older, newer in zip(patch, reverse(patch), strict=True):
        went = _lines(before, older.start, older.start + len(older.old))
        come = _lines(after, newer.start, newer.start + len(newer.old))
        while come and went and come[0] == went[0]:
            come, went = come[1:], went[1:]
        while come and went and come[-1] == went[-1]:
            come, went = come[:-1], went[:-1]
        if come and all(_has_line(saved, line) for line in come):
            return False
        if not come and not all(_has_line(saved, line) for line in went):
            return False
    return True


def _lines(data: bytes, start: int, end: int) -> list[bytes]:
    """The lines on which the bytes start..end lie."""
    first = data.rfind(b"\n", 0, start) + 1
    last = data.find(b"\n", end)
    return split(data[first : len(data) if last < 0 else last + 1])


def _has_line(data: bytes, line: bytes) -> bool:
    if data.startswith(line):
        return True
    return b"\n" + line in data if line.endswith(b"\n") else data.endswith(b"\n" + line)


def merged(file: str, base: bytes | None, one: bytes | None, other: bytes | None) -> bytes | None:
    """A file as `merge` makes it, also where there is no such file (None) in some of the states."""
    if base is not None and one is not None and other is not None:
        return merge(base, one, other)
    if base in (one, other):
        return other if base == one else one
    if one == other:
        return one
    raise Conflict(f"{file} came, went or was changed since")
