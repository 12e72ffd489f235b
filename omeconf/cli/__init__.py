"""The command line: a table of commands; each prints what one call returns."""

from __future__ import annotations

import click

from omeconf import __version__
from omeconf.cli import (
    apps,
    changing,
    completion,
    daemon,
    editing,
    events,
    files,
    fleet,
    history,
    schemas,
    steering,
)
from omeconf.cli.base import Commands

SECTIONS = {
    "Look": (
        history.status,
        history.log,
        history.show,
        history.diff,
        events.events,
    ),
    "Change": (
        editing.edit,
        changing.get,
        changing.set_,
        apps.app,
        changing.commit,
    ),
    "Undo, keep, hold": (
        steering.rollback,
        steering.confirm,
        steering.retry,
        steering.hold,
        steering.resume,
    ),
    "Fleet": (fleet.fleet,),
    "Without a daemon": (files.check, files.migrate, schemas.schema, completion.completion),
    "The daemon": (
        daemon.serve,
        daemon.reload,
        daemon.token,
        daemon.install_units,
        daemon.uninstall_units,
    ),
}
"""Every command, in the order of the help."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="omeconf")
def main() -> None:
    """Configuration manager for OvenMediaEngine.

    Keeps one Server.xml valid, takes edits over REST and by hand without losing a byte, and
    restarts only what changed.
    """


def _commands() -> None:
    assert isinstance(main, Commands)
    main.sections = {
        title: tuple(str(command.name) for command in commands)
        for title, commands in SECTIONS.items()
    }
    for commands in SECTIONS.values():
        for command in commands:
            main.add_command(command)


_commands()
