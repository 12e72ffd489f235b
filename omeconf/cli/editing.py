"""The command edit: the configuration, or one element of it, in an editor."""

from __future__ import annotations

from pathlib import Path

import click

from omeconf.cli.completing import APP_OR_PATH
from omeconf.cli.options import YES, client, of_change


@click.command()
@click.argument("name", required=False, type=APP_OR_PATH, metavar="[APP]")
@click.option("--file", metavar="NAME", help="An included file, instead of Server.xml.")
@YES
@of_change
def edit(
    name: str | None, file: str | None, message: str, confirm_s: float | None, base: int | None,
    socket_path: Path, *, yes: bool, is_dry: bool, as_json: bool,
) -> None:  # fmt: skip
    """Edit the configuration, or one application, in an editor.

    $VISUAL or $EDITOR is opened; what it saves is checked, shown as a diff with what restarts,
    and committed. APP is an application (default/live; live, if only one virtual host has it) or
    any element (Bind/Providers); without it, all of Server.xml is opened. An editor with windows
    has to wait: EDITOR="code --wait".

    Errors are shown in place, and the editor can be opened again. What somebody else commits
    meanwhile is merged, or shown where both changed the same lines; nothing is overwritten. Text
    that is not committed is kept, and the file named.

    Exit status: 0 committed, or nothing changed; 1 it has errors, or was not wanted after all;
    3 no daemon answers; 4 somebody else was faster, or something has to be done first.
    """
    from omeconf.cli.originals import target
    from omeconf.cli.rounds import Options, edit_and_commit

    what = target(client(socket_path), name, file)
    options = Options(message, confirm_s, base, yes or as_json, is_dry, as_json)
    edit_and_commit(what, options)
