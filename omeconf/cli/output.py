"""What commands print: tables, unified diffs, plans, violations; colour only where it is wanted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from omeconf.core.violation import Severity, Violation

PATIENCE_S = 0.5
"""What takes longer is said to be under way."""
WIDE = 10_000
"""Columns of what is no terminal: there, nothing is cut or wrapped."""
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_VERBS = {"create": "green", "restart": "yellow", "delete": "red"}


def as_json(found: object) -> None:
    """Print JSON."""
    import json

    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


def complain(text: str) -> None:
    """Say what is wrong, on stderr, as ``omeconf: ...``."""
    click.echo(f"{click.style('omeconf:', fg='red', bold=True)} {text}", err=True)


def note(text: str) -> None:
    """Say something that is no result, on stderr."""
    click.echo(text, err=True)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on a terminal, with something that moves, what takes longer than PATIENCE_S."""
    shown: list[Any] = []

    def show() -> None:
        from rich.console import Console

        status = Console(stderr=True).status(text)
        status.start()
        shown.append(status)

    timer = threading.Timer(PATIENCE_S, show)
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join()
        for status in shown:
            status.stop()


def show_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, wide: Sequence[str] = ()
) -> None:
    """Print rows in columns; a terminal's width is kept to, and elsewhere nothing is cut.

    wide: the columns that may be broken into several lines; all, unless told.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    context = click.get_current_context(silent=True)
    colour = context.color if context else None
    is_terminal = sys.stdout.isatty()
    console = Console(
        width=None if is_terminal else WIDE,
        force_terminal=colour,
        no_color=colour is False,
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=bool(wide) and head not in wide)
    for row in rows:
        table.add_row(*(Text.from_ansi(cell) for cell in row))
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def show_paragraph(text: str, *, head: str = "") -> None:
    """Print text wrapped to the terminal (elsewhere to 80 columns), its lines behind a head."""
    import shutil

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    indent = " " * len(head)
    click.echo(click.wrap_text(text, max(width, 40), initial_indent=head, subsequent_indent=indent))


def show_diff(text: str, *, err: bool = False) -> None:
    """Print a unified diff, coloured."""
    for line in text.splitlines():
        is_head = line.startswith(("--- ", "+++ "))
        colour = None if is_head else _COLOURS.get(line[:1])
        is_plain = colour is None and not is_head
        click.echo(
            line if is_plain else click.style(line, fg=colour, bold=is_head or None), err=err
        )


def show_xml(text: bytes) -> None:
    """Print an element without the indentation that it has in its file."""
    lines = text.splitlines(keepends=True)
    last = lines[-1] if lines else b""
    lead = last[: len(last) - len(last.lstrip())]
    click.echo(b"".join(line.removeprefix(lead) for line in lines))


def show_changes(changes: Iterable[Mapping[str, str]]) -> None:
    """Print each change on a line of its own, by its path."""
    for change in changes:
        click.echo(f"{change['kind']:<8} {change['path']}{_values(change)}")


def show_plan(plan: Sequence[Mapping[str, str]], *, err: bool = True) -> None:
    """Print what restarts."""
    for item in plan:
        action = click.style(item["action"], fg=_VERBS[item["action"]])
        click.echo(f"{action} {item['scope']} {name_of(item)}".rstrip(), err=err)
    if not plan:
        click.echo("nothing restarts", err=err)


def show_violations(violations: Iterable[Mapping[str, Any]], *, err: bool = False) -> None:
    """Print what is wrong: place, message, and what to do."""
    from omeconf.report import COLOURS

    for found in violations:
        violation = violation_of(found)
        word = click.style(violation.severity.value, fg=COLOURS[violation.severity], bold=True)
        place = f"{violation.file}:{violation.line}:{violation.column}"
        click.echo(f"  {place}: {word}: {violation.message} [{violation.code}]", err=err)
        if violation.hint:
            click.echo(f"      = {violation.hint}", err=err)


def violation_of(found: Mapping[str, Any]) -> Violation:
    """A violation as the API tells it."""
    return Violation(**{**found, "severity": Severity(found["severity"])})


def name_of(item: Mapping[str, str]) -> str:
    """Of what a plan names: ``default/app``, ``default``, or nothing for the server."""
    return "/".join(filter(None, (item.get("virtualHost"), item.get("application"))))


def _values(change: Mapping[str, str]) -> str:
    old, new = change.get("old", ""), change.get("new", "")
    if change["kind"] == "changed":
        return f": {old} -> {new}"
    return f": {old or new}" if old or new else ""
