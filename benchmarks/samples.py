"""Samples and their percentiles, and taking them in turn."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Operation = Callable[[int], float]
"""Does something once, in the round of that number; gives the seconds that count."""
Clock = Callable[[], float]
"""The CPU seconds of a process so far."""


@dataclass(slots=True)
class Samples:
    """How long one operation took, each time."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """CPU seconds of the server while it was done; empty if there is none."""

    def percentile(self, percent: float) -> float:
        """The nearest rank: of 200 samples the 99th percentile is the 198th."""
        ordered = sorted(self.seconds)
        return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]

    @property
    def p50(self) -> float:
        """The median, as a nearest rank."""
        return self.percentile(50)

    @property
    def cpu_mean(self) -> float | None:
        """CPU seconds of the server for one, on the average."""
        return sum(self.cpu) / len(self.cpu) if self.cpu else None

    def as_json(self) -> dict[str, object]:
        """For the file: in milliseconds."""
        found: dict[str, object] = {
            "n": len(self.seconds),
            "min_ms": min(self.seconds) * 1000,
            "p50_ms": self.p50 * 1000,
            "p99_ms": self.percentile(99) * 1000,
        }
        if self.cpu_mean is not None:
            found["cpu_ms"] = self.cpu_mean * 1000
        return found


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to take samples of."""

    run: Operation
    clock: Clock | None = None
    """Whose CPU time it costs."""
    every: int = 1
    """Only in each so-manieth round, for what takes long."""


def interleaved(tasks: Mapping[str, Task], rounds: int, seed: int) -> dict[str, Samples]:
    """Do each task once a round, in another order each time: all see the same machine."""
    found = {name: Samples() for name in tasks}
    order, chance = list(tasks), random.Random(seed)
    for number in range(rounds):
        chance.shuffle(order)
        for name in order:
            task = tasks[name]
            if number % task.every:
                continue
            before = task.clock() if task.clock else 0.0
            seconds = task.run(number)
            found[name].seconds.append(seconds)
            if task.clock:
                found[name].cpu.append(task.clock() - before)
    return found
