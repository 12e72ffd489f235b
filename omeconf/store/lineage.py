"""Whether a member's history and its group's are one: what lies between them, if they are not."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from omeconf.core.revision import Revision
from omeconf.errors import NotFound
from omeconf.store.group import Pointer
from omeconf.store.history import History, Record

GROUP = "group"
"""The note that says which group the history is of."""


class Lineage(enum.StrEnum):
    """How this member's history and the group's go together."""

    SAME = "same"
    BEHIND = "behind"
    """The group has revisions that this member has not heard of yet."""
    AHEAD = "ahead"
    """etcd has lost revisions that are here: it was restored from an older backup."""
    FORKED = "forked"
    """As ahead, and others have been made there since."""
    NEW = "new"
    """This history is not of the group."""
    OTHER = "other"
    """etcd has another group of that name."""
    EMPTY = "empty"
    """etcd has no such group."""


def lineage(history: History, group_id: str, head: Pointer | None) -> Lineage:
    """How a history goes together with a group as etcd has it."""
    own = history.note(GROUP)
    if not group_id or head is None:
        return Lineage.EMPTY
    if own is None:
        return Lineage.NEW
    if own != group_id:
        return Lineage.OTHER
    newest = history.head()
    if newest is None or newest.number < head.number:
        return Lineage.BEHIND  # or forked, see `goes_on`
    if newest.number == head.number:
        return Lineage.SAME if newest.identity == head.identity else Lineage.FORKED
    try:
        is_ours = history.get(head.number).identity == head.identity
    except NotFound:  # it was pruned here: what is newer by far is not given up for it
        is_ours = True
    return Lineage.AHEAD if is_ours else Lineage.FORKED


def goes_on(newest: Revision, records: Sequence[Record]) -> bool:
    """Whether the group's revisions from our newest on go on from it; one that was pruned there
    may have been the same.
    """
    found = {record.revision.number: record.revision.identity for record in records}
    oldest = min(found, default=newest.number)
    return found.get(newest.number) == newest.identity or newest.number < oldest
