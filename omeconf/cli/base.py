"""The group of all commands; and what an error becomes: a line on stderr and an exit status.

Exit statuses, of every command:

0   done; nothing is wrong
1   the answer is no: the configuration has errors, what was asked for is refused, or you said no
2   wrong usage, or a file that cannot be read or written
3   no daemon answers, or it may not be asked
4   not now: somebody else was faster, or waits for something; look, and try again
5   done and taken back, since the reload failed
130 interrupted
141 whoever read the output is gone
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

import click

from omeconf.cli.output import complain, show_violations
from omeconf.errors import Answered, Busy, OmeconfError, Unreachable

REFUSED, UNUSABLE, UNREACHABLE, NOT_NOW, TAKEN_BACK = 1, 2, 3, 4, 5
INTERRUPTED, CLOSED = 130, 141
BY_STATUS = {409: NOT_NOW, 412: NOT_NOW, 428: NOT_NOW, 502: TAKEN_BACK, 503: NOT_NOW, 504: NOT_NOW}
"""Exit statuses of what a daemon refused, by its HTTP status; all others are REFUSED."""
NEXT = {
    412: "`omeconf log` shows what was changed meanwhile; then try again",
    403: "root, and whom the daemon runs as, may do everything; its socket's group may change "
    "virtual hosts",
    422: "nothing has changed; a warning that was not there before refuses a change, too",
    502: "`omeconf status` shows the reload; the files are as they were",
}
"""What to do next, where the answer itself does not say it."""
COMPLETING = "_OMECONF_COMPLETE"
"""Set by a shell that asks for completions."""
GARBAGE = (10_000, 10, 10)
"""When garbage is looked for (`gc.set_threshold`): to check a large file makes many values, and
most of what is not needed any more is gone without."""


class Commands(click.Group):
    """The commands by sections; an error of ours becomes a line and an exit status."""

    sections: Mapping[str, tuple[str, ...]] = {}
    """Title of a section of the help, and its commands."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click has it; but a reader that is gone ends us as it ends others."""
        gc.set_threshold(*GARBAGE)
        if COMPLETING in os.environ:
            import omeconf.cli.shells  # noqa: F401  click is told of our shells
        try:
            return super().main(*args, **kwargs)
        except BrokenPipeError:
            _end_quietly()

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        ctx.color = _wants_colour()
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _end_quietly()
        except (KeyboardInterrupt, click.Abort):
            click.echo(err=True)
            sys.exit(INTERRUPTED)
        except OSError as error:  # of our output: what we read and ask has errors of its own
            _end_quietly(f"cannot write: {error.strerror or error}", UNUSABLE)
        except OmeconfError as error:
            tell(error)
            sys.exit(exit_status(error))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Section by section."""
        for title, names in self.sections.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, each.get_short_help_str(60)) for name, each in commands if each]
            with formatter.section(title):
                formatter.write_dl(rows)


def exit_status(error: OmeconfError) -> int:
    """What a failed command ends with."""
    if isinstance(error, Unreachable):
        return UNREACHABLE
    if isinstance(error, Answered):
        return BY_STATUS.get(error.status, REFUSED)
    return NOT_NOW if isinstance(error, Busy) else UNUSABLE


def tell(error: OmeconfError) -> None:
    """Say what is wrong, on stderr, with the violations behind it."""
    problem = error.problem if isinstance(error, Answered) else {}
    complain(str(error))
    show_violations(problem.get("violations", ()), err=True)
    if isinstance(error, Answered) and error.status in NEXT:
        click.echo(f"  {NEXT[error.status]}", err=True)
    for call in problem.get("reload", {}).get("calls", ())[-1:]:
        for line in str(call.get("output", "")).splitlines()[-10:]:
            click.echo(f"  | {line}", err=True)


def _wants_colour() -> bool | None:
    """As NO_COLOR and FORCE_COLOR say; None: on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def _end_quietly(text: str = "", status: int = CLOSED) -> NoReturn:
    """What is left in the buffers goes nowhere; text: what is said about it."""
    with suppress(OSError):
        if text:
            complain(text)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    sys.exit(status)
