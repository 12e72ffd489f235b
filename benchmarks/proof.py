"""Proof that nothing was left out: every edit is a revision, and the file is what it has to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.subject import Subject

_PAGE = 1000
"""The API gives no more at once."""
KEPT = 1000
"""Older revisions are forgotten, by [history] keep."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing that was looked at."""

    what: str
    holds: bool


def prove(subject: Subject, first: int) -> list[Proof]:
    """Look at the history behind revision `first`, and at the file."""
    made = subject.revisions - first
    found = _revisions(subject, first)
    wanted = min(made, KEPT)
    numbers = [each["number"] for each in found]
    newest = list(range(subject.revisions, subject.revisions - wanted, -1))
    digests = {each["digest"] for each in found}
    is_same = subject.server.file.read_bytes() == subject.expected()
    return [
        Proof(f"{made} changes made {len(found)} revisions, each one more", numbers == newest),
        Proof(f"their digests are {len(digests)} different ones", len(digests) == wanted),
        Proof("the file on disk is the first one with the last values, to the byte", is_same),
    ]


def _revisions(subject: Subject, first: int) -> list[dict[str, Any]]:
    """The revisions after one, newest first."""
    found: list[dict[str, Any]] = []
    below = 0
    while True:
        more = f"&below={below}" if below else ""
        answer = subject.client.get(f"/omeconf/v1/revisions?limit={_PAGE}{more}").json()
        page = [each for each in answer["revisions"] if each["number"] > first]
        found += page
        if len(page) < _PAGE:
            return found
        below = page[-1]["number"]
