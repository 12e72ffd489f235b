"""What a change would give, before it is made, and whether it may be made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from omeconf.core.check import Checked, check
from omeconf.core.diff import unified
from omeconf.core.edit import Edit, apply
from omeconf.core.schema import Schema
from omeconf.core.snapshot import Snapshot
from omeconf.errors import Busy, Conflict, ReadOnly, Refused


@dataclass(frozen=True, slots=True)
class Made:
    """What a change makes of a base, and what checks it."""

    snapshot: Snapshot
    check: Callable[[], Checked]


def made(base: Checked, edits: Sequence[Edit], schema: Schema) -> Made:
    """What edits make of a base, with the check of the last one left to be done.

    Raises what `edit.apply` raises.
    """
    checked = edited(base, edits[:-1], schema)
    for edit in edits[-1:]:
        snapshot = _applied(checked, edit)
        if snapshot is not checked.snapshot:
            return Made(snapshot, partial(check, snapshot, schema, checked))
    return Made(checked.snapshot, lambda: checked)


def edited(base: Checked, edits: Sequence[Edit], schema: Schema) -> Checked:
    """What edits would give, good or not. Raises what `edit.apply` raises."""
    checked = base
    for edit in edits:
        snapshot = _applied(checked, edit)
        if snapshot is not checked.snapshot:
            checked = check(snapshot, schema, checked)
    return checked


def _applied(checked: Checked, edit: Edit) -> Snapshot:
    if checked.root is None:
        return checked.snapshot
    return apply(checked.snapshot, checked.root, edit)


def judge(checked: Checked, base: Checked, *, force: bool = False) -> None:
    """Raise Refused if it has errors, or, without force, warnings that the base does not have."""
    bad = [v for v in checked.new_since(base) if not force or v in checked.errors]
    if bad:
        worst_first = sorted(bad, key=lambda v: v not in checked.errors)
        diff = unified(base.snapshot, checked.snapshot)
        raise Refused(bad[0].message, worst_first, diff=diff)


def judge_includes(new: Snapshot, old: Snapshot) -> None:
    """Raise Conflict or ReadOnly if a whole file that was put in brings others with it, and Busy
    if one that it includes is away.
    """
    for gone in sorted(old.files.keys() - new.files.keys()):
        if new.would_include(gone):
            raise Busy(f"{gone} is away at this moment")
    for other in sorted(new.files.keys() - old.files.keys()):
        if not old.is_inside(other):
            raise ReadOnly(
                f"it includes {other}, which lies outside the configuration folder: "
                "add that include by hand"
            )
        raise Conflict(
            f"it includes {other}, which was not in use: add that include by hand, and both "
            "files become one revision"
        )
