"""What each revision changed, in short; kept beside it, so that a list of them reads no files.

A summary may be lost in a crash, and those of older releases were never kept: then it is found
out from the files, if they are small.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from omeconf.core.diff import Change, changes
from omeconf.core.revision import Revision
from omeconf.errors import OmeconfError
from omeconf.store.head import Head
from omeconf.store.repository import Repository

log = logging.getLogger(__name__)

MOST = 5
"""So many changes a summary names."""
MOST_FOUND_OUT = 50
"""So many lost summaries are found out again at once."""
SMALL = 1 << 20
"""Bytes of a configuration of which a lost summary is found out again."""

Summary = dict[str, Any]
"""``changes``: the first MOST; ``changesMore``: how many there are besides."""
UNKNOWN: Summary = {"changes": None, "changesMore": 0}


def keep(repository: Repository, before: Head, head: Head, found: Sequence[Change]) -> None:
    """Keep what a revision changed, when nobody waits for it."""
    number = head.revision.number
    if before.revision.number != head.revision.parent:
        return  # found is of several revisions
    text = json.dumps(_summary(found))

    def write() -> None:
        try:
            repository.history.set_summary(number, text)
        except OmeconfError as error:
            log.debug("Cannot keep the summary of revision %d: %s", number, error)

    repository.afterwards(write)


def of(repository: Repository, revisions: Sequence[Revision]) -> list[Summary]:
    """The summary of each revision; UNKNOWN where it is lost and would cost too much."""
    kept = repository.history.summaries([revision.number for revision in revisions])
    lost = [revision for revision in revisions if revision.number not in kept]
    found = {each.number: _found_out(repository, each) for each in lost[:MOST_FOUND_OUT]}
    return [
        json.loads(kept[each.number]) if each.number in kept else found.get(each.number, UNKNOWN)
        for each in revisions
    ]


def _found_out(repository: Repository, revision: Revision) -> Summary:
    head = repository.head
    if not revision.parent or head is None or head.checked.snapshot.size > SMALL:
        return UNKNOWN
    try:
        old, new = repository.at(revision.parent), repository.at(revision.number)
    except OmeconfError:  # the parent was pruned
        return UNKNOWN
    summary = _summary(changes(old.root, new.root))
    try:
        repository.history.set_summary(revision.number, json.dumps(summary))
    except OmeconfError as error:
        log.debug("Cannot keep the summary of revision %d: %s", revision.number, error)
    return summary


def _summary(found: Sequence[Change]) -> Summary:
    shown = [change.as_json() for change in found[:MOST]]
    return {"changes": shown, "changesMore": max(len(found) - MOST, 0)}
