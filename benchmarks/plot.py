"""Latency against size, both logarithmic."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.size import Result

_SHOWN = {
    "edit": "omeconf: edit",
    "no-op": "omeconf: no-op PATCH",
    "GET": "omeconf: GET",
    "floor": "floor: write, fsync, rename, fsync",
    "insert": "insert: one row, SQLite WAL",
    "Caddy edit": "Caddy: PATCH /id/... (not durable)",
    "xmllint --noout": "xmllint --noout",
    "xmlstarlet ed": "xmlstarlet ed",
    "augtool": "augtool set, save",
}
_WITH_SPREAD = ("edit", "Caddy edit")


def plot(results: Sequence[Result], file: Path) -> str:
    """Draw it into a file; gives the reason if that cannot be, else ""."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")  # not there for `make check`
        matplotlib.use("svg")
        pyplot: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return "no plot: matplotlib is not installed"
    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    for name, label in _SHOWN.items():
        points = [(r.count, r.samples[name]) for r in results if r.p50(name) is not None]
        if points:
            counts = [count for count, _ in points]
            medians = [each.p50 * 1000 for _, each in points]
            own = label.startswith("omeconf")
            (line,) = axes.plot(counts, medians, "o-" if own else "s--", label=label,
                                linewidth=2.5 if name == "edit" else 1.2)  # fmt: skip
            if name not in _WITH_SPREAD:
                continue
            low = [min(each.seconds) * 1000 for _, each in points]
            high = [each.percentile(99) * 1000 for _, each in points]
            axes.fill_between(counts, low, high, color=line.get_color(), alpha=0.1, linewidth=0)
    parts = [(r.count, r.parts * 1000) for r in results if r.parts is not None]
    if parts:
        axes.plot(*zip(*parts, strict=True), "k:", label="parts: floor + insert + no-op")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="applications (about 2 KB each)",
        ylabel="milliseconds: medians; of edits also least to p99",
        title="Latency against size",
    )
    axes.set_xticks([r.count for r in results], [f"{r.count:,}" for r in results])
    axes.grid(which="both", alpha=0.2)
    axes.legend(fontsize="small")
    figure.savefig(file)
    pyplot.close(figure)
    return ""
