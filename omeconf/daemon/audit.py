"""One line for each revision that nobody asked for over the API: manual edits, automatic reverts.

(What is asked for over the API has its line where it is answered.)
"""

from __future__ import annotations

import logging
import pwd
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from omeconf.core.diff import Change
from omeconf.core.revision import ASKED, Origin, Revision
from omeconf.core.violation import Violation
from omeconf.errors import NotFound, Unwritable
from omeconf.logs import fields
from omeconf.settings import Settings
from omeconf.store.head import Head
from omeconf.store.repository import Repository

log = logging.getLogger(__name__)

OWN = "omeconf"
"""The author of what is done without being asked."""
MOST_SHOWN = 5
"""So many changed paths and files a line names."""
MOST_ERRORS = 20
"""So many errors of one manual edit have lines."""


def moved(
    repository: Repository, before: Head | None, head: Head, found: Iterable[Change] = ()
) -> None:
    """Have a line for each revision between two heads that nobody asked for over the API."""
    number = before.revision.number if before else 0
    if head.revision.origin in ASKED and head.revision.number == number + 1:
        return
    try:
        newer = repository.history.newest(limit=max(head.revision.number - number, 1))
    except Unwritable:  # of which the log has a line, too
        newer = [head.revision]
    told = (revision for revision in reversed(newer) if revision.number > number)
    old = before.checked.snapshot.files if before else {}
    _tell(told, old, head.checked.snapshot.files, found, repository.folder.path)


def started(repository: Repository, moment: float) -> None:
    """As `moved`, of what was done since a moment (in seconds since the epoch), while starting."""
    history, head = repository.history, repository.head
    if head is None:
        return
    try:
        newer = [r for r in history.newest(limit=100) if r.time >= moment]
        parent = newer[-1].parent if newer else 0
        old = history.files(parent) if parent else {}
    except (NotFound, Unwritable):  # it was pruned, or is damaged
        newer, old = [head.revision], {}
    _tell(reversed(newer), old, head.checked.snapshot.files, (), repository.folder.path)


def _tell(
    revisions: Iterable[Revision],
    old: Mapping[str, bytes],
    new: Mapping[str, bytes],
    found: Iterable[Change],
    folder: Path,
) -> None:
    """Log revisions that moved head from some files to others; found is what changed."""
    paths = ", ".join(str(change.path) for change in [*found][:MOST_SHOWN])
    files = [file for file in sorted({*old, *new}) if old.get(file) != new.get(file)]
    for revision in revisions:
        if revision.origin is Origin.FILE:
            _by_hand(revision, files, paths, folder)
        elif revision.author == OWN and revision.reverts:
            _by_itself(revision)


def refused(violations: Sequence[Violation], folder: Path) -> None:
    """Log why a manual edit is not taken up: a line for each of the first MOST_ERRORS."""
    for violation in violations[:MOST_ERRORS]:
        uid, name = owner([folder / violation.file])
        log.error(
            "Cannot adopt the manual edit: %s",
            str(violation).replace("\n    hint:", "; hint:"),
            extra=fields(
                event="drift",
                who=name,
                uid=uid,
                peer="file",
                file=violation.file,
                line=violation.line,
                code=violation.code,
                outcome="refused",
            ),
        )
    if len(violations) > MOST_ERRORS:
        more = len(violations) - MOST_ERRORS
        log.error("Cannot adopt the manual edit: %d more errors, see `omeconf status`", more,
                  extra=fields(event="drift", outcome="refused"))  # fmt: skip


def owner(paths: Iterable[Path]) -> tuple[int | None, str]:
    """Whose files these are: uid and name, as far as that is known; of the first that is there."""
    for path in paths:
        try:
            uid = path.stat().st_uid
        except OSError:
            continue
        return uid, user(uid)
    return None, ""


def user(uid: int) -> str:
    """The name of a user; its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _by_hand(revision: Revision, files: list[str], paths: str, folder: Path) -> None:
    uid, name = owner(folder / file for file in files)
    what = "edited by hand" if revision.parent else "as found"
    log.info(
        "revision %d: %s%s: %s",
        revision.number,
        what,
        f" ({files[0]} belongs to {name})" if name else "",
        paths or ", ".join(files),
        extra=fields(
            event="revision",
            revision=revision.number,
            origin=revision.origin.value,
            who=name,
            uid=uid,
            peer="file",
            file=", ".join(files[:MOST_SHOWN]),
            changes=paths,
            reverts=", ".join(map(str, revision.reverts)),
            outcome="done",
        ),
    )


def _by_itself(revision: Revision) -> None:
    log.warning(
        "revision %d: %s",
        revision.number,
        revision.message,
        extra=fields(
            event="revision",
            revision=revision.number,
            origin=revision.origin.value,
            who=OWN,
            reason=revision.message,
            reverts=", ".join(map(str, revision.reverts)),
            outcome="done",
        ),
    )


def places(repository: Repository, settings: Settings) -> None:
    """Say at the start what about the files is not as it usually is."""
    path = repository.folder.path / repository.main
    if repository.obstacle:
        log.warning("Read only: %s; edits over the API are refused", repository.obstacle)
    elif repository.publisher.needs_in_place(repository.main):
        log.warning(
            "%s cannot be exchanged (it is mounted as a single file, or somebody else's): it "
            "is written in place, behind a journal",
            path,
        )
    if repository.folder.links(repository.main) > 1:
        log.warning("%s has other names (hard links), which will not see edits", path)
    if settings.hooks and not (settings.engine.config_dir or settings.api.listen):
        log.warning(
            "an engine that reads %s itself binds the port of its API too: give [engine] "
            "config_dir, or another port with [api] listen",
            path,
        )
    if repository.history.set_aside is not None:
        log.error("The history was damaged; it is kept in %s", repository.history.set_aside)
    if repository.history.trouble:
        log.error("%s; edits are refused until that works", repository.history.trouble)
