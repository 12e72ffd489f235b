"""A save that our edit displaced for a moment, and that somebody who had read ours saved over."""

from __future__ import annotations

from dataclasses import dataclass

from omeconf.core.merge import merge
from omeconf.core.patch import extent


@dataclass(frozen=True, slots=True)
class PutBack:
    """A save that was found where ours had been put, and that was put back."""

    file: str
    base: bytes
    """What our edit was made of."""
    ours: bytes
    """What was live for a moment, and whoever read the file then has seen."""
    saved: bytes

    def is_unseen_by(self, later: bytes) -> bool:
        """Whether a later save was made of ours: not of this one, nor of what was before."""

        def distance(one: bytes) -> int:
            return extent({self.file: one}, {self.file: later})

        return distance(self.ours) < min(distance(self.saved), distance(self.base))

    def beside(self, later: bytes) -> bytes:
        """A later save with what this one changed. Raises Conflict if they touch the same lines."""
        return merge(self.base, later, self.saved)
