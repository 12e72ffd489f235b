"""What the service asks of the group that it is a member of, if it is of one."""

from __future__ import annotations

from typing import Any, Protocol

from omeconf.daemon.jobs import Job


class Group(Protocol):
    """What a member of a group asks of its fleet."""

    def covering(self, number: int) -> Job:
        """What ends when a revision is confirmed by the group, or taken back."""

    def start(self) -> None:
        """Begin to go with the group."""

    def stop(self) -> None:
        """Go with it no more."""

    def notice(self) -> None:
        """Something is new here."""

    @property
    def is_on_trial(self) -> bool:
        """Whether what is on disk may still be taken back."""

    def as_json(self) -> dict[str, Any]:
        """How the group stands, in short."""
