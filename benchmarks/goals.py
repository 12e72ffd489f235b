"""The goals, and whether this run met them. Nothing fails: machines differ, and are noisy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.servers import SETTLE_S
from benchmarks.size import Result


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that shall be so, and how it was."""

    what: str
    measured: str
    limit: str
    is_met: bool


def goals(results: Sequence[Result]) -> list[Goal]:
    """Those that can be judged by what was measured."""
    found = [goal for result in results for goal in _of_size(result)]
    rates = {r.count: r.rates["omeconf, 200"].median for r in results if r.rates}
    if len(rates) > 1:
        spread = max(rates.values()) / min(rates.values())
        counts = f"{min(rates):,} to {max(rates):,} applications"
        found.append(Goal(f"GETs a second, most to least, {counts}", f"{spread:.2f} x",
                          "1.20 x", spread <= 1.2))  # fmt: skip
    return found


def _of_size(result: Result) -> Iterator[Goal]:
    count = result.count
    edit, parts, caddy = result.p50("edit"), result.parts, result.p50("Caddy edit")
    if edit is not None and parts is not None:
        factor, more_s = (1.6, 0.0) if count > 1000 else (1.3, 0.0 if count > 100 else 0.0003)
        what = f"edit, {count:,}: at most {factor} x parts" + (" + 0.3 ms" if more_s else "")
        yield _at_most(what, edit, factor * parts + more_s)
    if edit is not None and caddy is not None:
        faster = 1 if count <= 100 else 5 if count <= 1000 else 6
        yield Goal(f"edit, {count:,}: Caddy's takes longer", f"{caddy / edit:.2f} x",
                   f"at least {faster} x", caddy >= faster * edit)  # fmt: skip
    manual = result.p50("manual edit")
    if manual is not None:
        more_s = 0.01 if count <= 10 else 0.8
        what = f"manual edit, {count:,}: settle time ({SETTLE_S * 1000:.0f} ms) + {more_s:g} s"
        if count in (10, 10_000):
            yield _at_most(what, manual, SETTLE_S + more_s)
    rates = result.rates
    if "Caddy, one as large" in rates:
        ratio = rates["omeconf, 200"].median / rates["Caddy, one as large"].median
        yield Goal(f"GETs a second, {count:,}: omeconf to Caddy", f"{ratio:.2f} x",
                   "at least 1.5 x", ratio >= 1.5)  # fmt: skip
    if count in (10, 10_000):
        limit = 70 if count == 10 else 350
        for when, size in result.memory_mb.items():
            yield Goal(f"memory {when}, {count:,}", f"{size:.0f} MB", f"{limit} MB", size < limit)
    if count == 10:
        for name, limit_s in (("start, new", 0.5), ("start, again", 0.5),
                              ("omeconf check", 0.25), ("omeconf --help", 0.15)):  # fmt: skip
            took = result.p50(name)
            if took is not None:
                yield _at_most(f"{name}, {count:,}", took, limit_s)


def _at_most(what: str, seconds: float, limit: float) -> Goal:
    def shown(value: float) -> str:
        return f"{value * 1000:.2f} ms"

    return Goal(what, shown(seconds), shown(limit), seconds <= limit)
