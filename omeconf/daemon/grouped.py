"""What the service asks of the group that it is a member of, if it is of one."""

from __future__ import annotations

from typing import Any, Protocol

from omeconf.core.rollout import Rollout
from omeconf.daemon.jobs import Job


class Group(Protocol):
    """What a member of a group asks of its fleet."""

    def covering(self, number: int) -> Job:
        """What ends when a revision is confirmed by the group, or taken back."""

    def start(self) -> None:
        """Begin to go with the group."""

    def stop(self) -> None:
        """Go with it no more."""

    def hurry(self) -> Job | None:
        """Try at once what is confirmed and could not be taken up here; None if there is none."""

    def notice(self) -> None:
        """Something is new here."""

    @property
    def is_on_trial(self) -> bool:
        """Whether what is on disk may still be taken back."""

    def as_json(self) -> dict[str, Any]:
        """How the group stands, in short."""

    def standing(self) -> dict[str, Any]:
        """How the group and every member of it stands."""

    # -- what anybody may ask for; each asks etcd, and waits for its answer: never on the writer ---

    def roll_out(self, by: str) -> Rollout:
        """Begin a rollout to the newest revision, also of what failed.

        Raises Conflict if one is under way, rollouts are paused, or all is confirmed; GroupAway.
        """

    def pause(self, by: str, reason: str) -> dict[str, Any]:
        """Have no rollout go on, or begin, until `resume`; by whom, and why. Raises GroupAway."""

    def resume(self) -> None:
        """End a pause. Raises Conflict if there is none, and GroupAway."""

    def abort(self, by: str) -> Rollout:
        """End the rollout that is under way. Raises Conflict if there is none, and GroupAway."""

    def forget(self, node: str) -> None:
        """Have a member that is away for good on no list. Raises NotFound, Conflict, GroupAway."""
