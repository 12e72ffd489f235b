"""Every error omeconf raises on purpose; a class stands here because someone catches it.

OmeconfError
├── NotWellFormed        a file is not XML we can edit (file, line, column)
├── NotFound             no such element, file, revision
├── BadBody              a JSON value that does not fit the configuration (the engine's words)
├── Refused              a candidate whose check found what must not be committed (violations)
├── Conflict             the state of things forbids it (409)
│   ├── AlreadyExists    the name is taken
│   ├── Busy             somebody is writing the files at this moment
│   ├── Drift            the file on disk is broken and waits for its editor (violations)
│   └── Stale            the caller's base is not the newest any more (412)
├── ReadOnly             something omeconf is told not to change (403)
├── Unwritable           the disk refused; nothing has changed (reason)
│   ├── GroupAway        no etcd of the group answers (is_unknown: the write may have happened)
│   ├── GroupFull        etcd has no space left
│   └── GroupRefused     etcd does not let us in, or not there: password, right, certificate
├── Compacted            a revision of the group that etcd does not keep any more (revision)
├── NotReady             no good configuration is known yet (503)
├── BadSettings          omeconf.toml or the command line (file, name)
├── Unreachable          no daemon answers, or it may not be asked
└── Answered             a daemon refused what it was asked for (status, problem)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from omeconf.core.violation import Violation


class OmeconfError(Exception):
    """The root: whatever omeconf raises on purpose."""


class NotWellFormed(OmeconfError):
    """A file is not well-formed XML, or uses XML that is refused (DOCTYPE, great depth)."""

    def __init__(self, reason: str, *, file: str = "", line: int, column: int) -> None:
        super().__init__(f"{file}:{line}:{column}: {reason}")
        self.reason = reason
        self.file = file
        self.line = line
        self.column = column


class NotFound(OmeconfError):
    """Something named does not exist."""


class BadBody(OmeconfError):
    """A JSON value does not fit the configuration; the text is the engine's own."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """hint: what to do about it, in our words; on our own routes only."""
        super().__init__(message)
        self.hint = hint


class Refused(OmeconfError):
    """A candidate has errors, or warnings that its base did not have."""

    def __init__(self, message: str, violations: Sequence[Violation], *, diff: str = "") -> None:
        """diff: what would have changed, as unified text."""
        super().__init__(message)
        self.violations = tuple(violations)
        self.diff = diff


class Conflict(OmeconfError):
    """The state of the configuration forbids the request."""


class AlreadyExists(Conflict):
    """The name of a new thing is taken."""


class Busy(Conflict):
    """Somebody else is writing the files at this moment; nothing has changed."""


class Drift(Conflict):
    """The file on disk was broken by hand and is left for its editor to repair."""

    def __init__(self, message: str, violations: Sequence[Violation]) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


class Stale(Conflict):
    """The caller based the change on something that is not the newest any more."""


class ReadOnly(OmeconfError):
    """Something that may be read but not changed here."""


class Unwritable(OmeconfError):
    """The disk refused a read or a write; the configuration is as it was."""


class GroupAway(Unwritable):
    """No etcd of the group answers in time, or those that do have no leader."""

    def __init__(self, message: str, *, is_unknown: bool = False) -> None:
        """is_unknown: a write was sent and not answered, and may have been carried out, or be
        carried out later.
        """
        super().__init__(message)
        self.is_unknown = is_unknown


class GroupFull(Unwritable):
    """etcd has no space left; what was to be written is not."""


class GroupRefused(Unwritable):
    """etcd does not accept our user, our certificate or what we ask of it; nothing was written."""


class Compacted(OmeconfError):
    """A revision of the group that etcd does not keep any more."""

    def __init__(self, message: str, *, revision: int) -> None:
        """revision: the oldest that is kept; 0 where etcd does not tell."""
        super().__init__(message)
        self.revision = revision


class NotReady(OmeconfError):
    """No good configuration is known yet, so there is nothing to serve."""

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


class BadSettings(OmeconfError):
    """A setting or an argument that cannot be used."""


class Unreachable(OmeconfError):
    """No daemon answers, or the caller may not ask it."""


class Answered(OmeconfError):
    """A daemon refused what it was asked for."""

    def __init__(self, status: int, message: str, problem: Mapping[str, Any]) -> None:
        """status: that of HTTP; problem: the members of its answer."""
        super().__init__(message)
        self.status = status
        self.problem = problem
