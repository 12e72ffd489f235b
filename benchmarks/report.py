"""The figures as Markdown, readable as plain text too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.fleet import Figure, Found
from benchmarks.goals import Goal
from benchmarks.order import Order
from benchmarks.servers import SETTLE_S
from benchmarks.size import PARTS, Result

_NOTES = f"""\
- floor: the same file written beside, synced, renamed over, its folder synced. insert: one row
  into a SQLite WAL with synchronous=FULL. no-op: a PATCH that changes nothing. parts: the sum of
  their medians. edit: a PATCH of one value, durable, checked, with history, hooks off.
- CPU is the server's for one request; of an edit also with all that it does behind the answer.
- p50 and p99 are nearest ranks. All of a size were done in turn, in another order each round.
- manual edit: from the rename of an editor until the new revision is told of; it has the settling
  time of {SETTLE_S * 1000:.0f} ms in it. Caddy edit: PATCH /id/... of as many routes, not durable.
"""


_FLEET_NOTES = """\
- answer: a PATCH at one member after the other, until the revision is made in etcd. confirmed: from
  the same moment until all members run it and the group has it as stable. Hook: /bin/true.
- beside: the floor, or the same on one machine: medians of the same run, or settings.
- CPU, writes, events and WAL are of one edit with its rollout and all that follows.
- All members, and etcd, run on this one machine: what members do at once, they do here in turn.
"""


def markdown(
    facts: Mapping[str, str], results: Sequence[Result], goals: Sequence[Goal], fleet: Found
) -> str:
    """All of it."""
    lines = ["# How long things take", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    if results:
        lines += ["", _NOTES, "## Edits, medians in ms", "", *_summary(results)]
    for result in results:
        title = f"## {result.count:,} applications, {result.file_bytes / 1000:,.1f} KB"
        lines += ["", title, "", *_samples(result), "", *_rest(result)]
    if goals:
        lines += ["", "## Goals", "", *_goals(goals)]
    for result in results:
        if result.order is not None:
            lines += ["", "## One edit under strace", "", *_order(result.order)]
    lines += _fleet(fleet)
    return "\n".join(lines) + "\n"


def _fleet(found: Found) -> Iterator[str]:
    if not (found.sections or found.left_out):
        return
    yield from ("", "## A fleet", "", _FLEET_NOTES)
    for name, figures in found.sections.items():
        yield from (f"### {name}", "")
        head = ["", "unit", "n", "p50", "p90", "beside", "ratio", "which is"]
        yield from _table(head, [_figure(each) for each in figures])
        yield ""
    for text in found.left_out:
        yield f"- left out: {text}"


def _figure(each: Figure) -> list[str]:
    floor = "" if each.floor is None else _short(each.floor)
    return [each.what, each.unit, f"{len(each.values)}", _short(each.p50), _short(each.p90),
            floor, _ratio(each.p50, each.floor), each.floor_is]  # fmt: skip


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _summary(results: Sequence[Result]) -> list[str]:
    rows = []
    for result in results:
        edit, parts, caddy = result.p50("edit"), result.parts, result.p50("Caddy edit")
        rows.append([
            f"{result.count:,}", f"{result.file_bytes / 1000:,.1f}",
            *(_ms(result.p50(name)) for name in PARTS), _ms(parts), _ms(edit),
            _ratio(edit, parts), _ms(caddy), _ratio(caddy, edit), _ms(result.edit_cpu_s),
        ])  # fmt: skip
    head = ["applications", "KB", *PARTS, "parts", "edit", "edit/parts", "Caddy", "Caddy/edit",
            "CPU of an edit"]  # fmt: skip
    return _table(head, rows)


def _samples(result: Result) -> list[str]:
    rows = []
    for name, each in result.samples.items():
        if each.seconds:
            few = len(each.seconds) < 20
            p99 = f"{_ms(max(each.seconds))} (most)" if few else _ms(each.percentile(99))
            rows.append([name, f"{len(each.seconds)}", _ms(min(each.seconds)), _ms(each.p50), p99,
                         _ms(each.cpu_mean), _ratio(each.p50, result.parts)])  # fmt: skip
    return _table(["ms", "n", "min", "p50", "p99", "CPU", "to parts"], rows)


def _rest(result: Result) -> Iterator[str]:
    if result.edit_cpu_s is not None:
        yield f"- CPU of one edit, with what follows the answer: {_ms(result.edit_cpu_s)} ms"
    for name, rate in result.rates.items():
        cpu = sorted(rate.cpu_ms)[len(rate.cpu_ms) // 2] * 1000
        low, high = min(rate.rates), max(rate.rates)
        yield (f"- GETs a second, {name}: {rate.median:,.0f} ({low:,.0f} to {high:,.0f}), "
               f"CPU {cpu:.0f} µs each")  # fmt: skip
    for when, size in result.memory_mb.items():
        yield f"- memory at rest {when}: {size:.0f} MB"
    for proof in result.proofs:
        yield f"- {'proof' if proof.holds else '**DOES NOT HOLD**'}: {proof.what}"
    for text in result.left_out:
        yield f"- left out: {text}"


def _goals(goals: Sequence[Goal]) -> list[str]:
    rows = [[g.what, g.measured, g.limit, "yes" if g.is_met else "NO"] for g in goals]
    return _table(["goal", "measured", "limit", "met"], rows)


def _order(order: Order | str) -> Iterator[str]:
    if isinstance(order, str):
        yield f"left out: {order}"
        return
    yield "```"
    yield from order.steps
    yield "```"
    yield ""
    if order.missing:
        yield f"**DOES NOT HOLD: not seen before the answer: {'; '.join(order.missing)}**"
    else:
        yield "The new bytes, the folder and the history were synced before the answer was sent."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose columns are as wide as their widest cell; the first to the left."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        shown = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(shown)} |"

    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return [line(head), line(rule), *map(line, rows)]


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return ""
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def _ratio(one: float | None, other: float | None) -> str:
    return f"{one / other:.2f}" if one and other else ""
