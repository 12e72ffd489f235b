"""The command completion: a script that has a shell complete commands, revisions, paths."""

from __future__ import annotations

import click

from omeconf.cli.base import COMPLETING


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete.

    \b
    bash: omeconf completion bash > /etc/bash_completion.d/omeconf
          or in ~/.bashrc: eval "$(omeconf completion bash)"
    zsh:  omeconf completion zsh > "${fpath[1]}/_omeconf"
          or in ~/.zshrc, behind compinit: eval "$(omeconf completion zsh)"
    fish: omeconf completion fish > ~/.config/fish/completions/omeconf.fish

    Commands, options, revisions, applications, elements of the configuration and their values
    are completed; the last ones without a daemon, too.
    """
    from omeconf.cli.shells import PROGRAM, SHELLS

    root = context.find_root().command
    click.echo(SHELLS[shell](root, {}, PROGRAM, COMPLETING).source(), nl=False)
