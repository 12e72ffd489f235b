"""A violation: what is wrong with a configuration, where, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass


class Severity(enum.StrEnum):
    """How bad: only errors and *new* warnings keep a candidate from being committed."""

    ERROR = "error"
    """The engine refuses to load or to start, dies, or silently drops an application."""
    WARNING = "warning"
    """The engine takes it, but not as written."""
    ADVICE = "advice"
    """It works as written, but probably not as meant."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One finding of a check."""

    severity: Severity
    code: str
    """Kebab-case; never changes once published."""
    file: str
    """As the file was given, or relative to the folder given."""
    line: int
    """From 1."""
    column: int
    """From 1, in characters; a tab is one."""
    path: str
    """Like ``/Server/VirtualHosts/VirtualHost[1]/Name``."""
    message: str
    hint: str = ""
    """What to do about it; may be empty."""
    says: str = ""
    """The engine's own words for it, for clients of its API; not shown by check."""

    def as_json(self) -> dict[str, str | int]:
        """The form of ``check --format json`` and of problem documents."""
        shown = {**asdict(self), "severity": self.severity.value}
        del shown["says"]
        return shown

    def __str__(self) -> str:
        hint = f"\n    hint: {self.hint}" if self.hint else ""
        return (
            f"{self.file}:{self.line}:{self.column}: {self.severity}: "
            f"{self.message} [{self.code}]{hint}"
        )


def sort_key(violation: Violation) -> tuple[str, int, int, str]:
    """Reading order: by file, then from top to bottom."""
    return (violation.file, violation.line, violation.column, violation.code)
