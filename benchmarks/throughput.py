"""GETs a second: one server on core 0, wrk on core 1, in turn with Caddy."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.client import BadAnswer
from benchmarks.servers import Server

_RATE = re.compile(r"Requests/sec: +([\d.]+)")
_COUNT = re.compile(r"(\d+) requests in")


@dataclass(slots=True)
class Rate:
    """How many requests a second one target answered, each round."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """CPU of the server for one request, each round."""

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return sorted(self.rates)[(len(self.rates) - 1) // 2]

    def as_json(self) -> dict[str, object]:
        """For the file."""
        return {"median": self.median, "rates": self.rates, "cpu_ms": self.cpu_ms}


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for."""

    server: Server
    path: str
    headers: Mapping[str, str]


def measure(
    wrk: Path, targets: Mapping[str, Target], rounds: int, seconds: float
) -> dict[str, Rate]:
    """Ask for each in turn, so many rounds."""
    cores = os.sched_getaffinity(0)
    first, last = {min(cores)}, {max(cores)}
    found = {name: Rate() for name in targets}
    for target in targets.values():
        target.server.pin(first)
    try:
        for number in range(rounds):
            for name in sorted(targets, reverse=number % 2 == 1):
                rate, cpu = _one(wrk, targets[name], last, seconds)
                found[name].rates.append(rate)
                found[name].cpu_ms.append(cpu)
    finally:
        for target in targets.values():
            target.server.pin(cores)
    return found


def _one(wrk: Path, target: Target, cores: set[int], seconds: float) -> tuple[float, float]:
    command: Sequence[str] = [
        "taskset", "-c", ",".join(map(str, cores)), str(wrk), "-t1", "-c32",
        f"-d{max(round(seconds), 1)}s",
        *(part for item in target.headers.items() for part in ("-H", ": ".join(item))),
        f"http://127.0.0.1:{target.server.client.port}{target.path}",
    ]  # fmt: skip
    before = target.server.cpu_s()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cpu = target.server.cpu_s() - before
    rate, count = _RATE.search(done.stdout), _COUNT.search(done.stdout)
    if rate is None or count is None or "Non-2xx" in done.stdout or "errors" in done.stdout:
        raise BadAnswer(f"wrk did not get what it asked for: {done.stdout}{done.stderr}")
    return float(rate[1]), cpu * 1000 / int(count[1])
