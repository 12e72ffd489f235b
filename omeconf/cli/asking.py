"""Questions to whoever sits at the terminal; where nobody does, an option has to answer."""

from __future__ import annotations

import sys

import click


def ask(question: str, *, yes: bool, look: str = "--dry-run") -> None:
    """Go on if the answer is yes; else end with 1. Raises UsageError if nobody can be asked.

    look: what shows what would be done.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"nobody can be asked here: give --yes, or look with {look}")
    if not click.confirm(question, err=True):
        sys.exit(1)


def choose(question: str, choices: dict[str, str]) -> str:
    """One of some letters, each with what it does. Raises UsageError if nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here")
    shown = ", ".join(f"({letter}) {text}" for letter, text in choices.items())
    found: str = click.prompt(
        f"{question}\n{shown}", type=click.Choice(list(choices)), show_choices=False, err=True
    )
    return found
