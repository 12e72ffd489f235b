"""Commands about the daemon itself: serve, reload, token, install-units, uninstall-units."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from omeconf.cli.options import JSON, SOCKET
from omeconf.cli.output import as_json as print_json
from omeconf.cli.output import complain, waiting

if TYPE_CHECKING:
    from omeconf.logs import Format

DEFAULT_STATE = "/var/lib/omeconf"


def _default_state() -> Path:
    return Path(os.environ.get("STATE_DIRECTORY", DEFAULT_STATE).split(":")[0])


@click.command()
@click.argument("server_xml", type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="omeconf.toml; every setting has a default.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=_default_state,
    metavar="DIR",
    help=f"Where the history lies.  [default: $STATE_DIRECTORY or {DEFAULT_STATE}]",
)
@click.option(
    "--listen", metavar="HOST:PORT", help="Listen here, instead of where Server.xml says."
)
@SOCKET
@click.option(
    "--log-format",
    type=click.Choice(["auto", "text", "logfmt", "json", "journal"]),
    help="How to log; auto: into systemd's journal where it runs us, else text.  [default: auto]",
)
@click.option(
    "--show-token", is_flag=True, help="Print a curl line with the access token at the start."
)
def serve(
    server_xml: Path,
    config: Path | None,
    state: Path,
    listen: str | None,
    socket_path: Path,
    log_format: Format | None,
    *,
    show_token: bool,
) -> None:
    """Run the daemon on SERVER_XML, in the foreground."""
    from omeconf import logs
    from omeconf.server import Places
    from omeconf.server import serve as run
    from omeconf.settings import Settings, load

    def settings() -> Settings:
        found = load(config)
        if listen:
            found = dataclasses.replace(found, api=dataclasses.replace(found.api, listen=listen))
        return found

    logs.begin(log_format or settings().log.format)
    if server_xml.is_dir():
        server_xml = server_xml / "Server.xml"
    run(Places(server_xml.absolute(), state, socket_path), settings, show_token=show_token)


@click.command()
@click.option("--wait", is_flag=True, help="Wait for what that reloads, and for its outcome.")
@click.option(
    "--timeout", "timeout_s", type=float, default=90.0, show_default=True, metavar="SECONDS",
    help="Wait no longer.",
)  # fmt: skip
@SOCKET
@JSON
def reload(*, wait: bool, timeout_s: float, socket_path: Path, as_json: bool) -> None:
    """Read omeconf.toml again, and look at the files.

    As SIGHUP does; `systemctl reload` calls it. What cannot change at run time is told, and keeps
    its old value. Settings that are wrong change nothing.

    Exit status: 0 well, 1 the settings or the files on disk have errors, or (with --wait) the
    reload of the engine failed, 3 no daemon answers.
    """
    from omeconf.reloading import ask

    with waiting("waiting for what it reloads"):
        found = ask(socket_path, timeout_s if wait else 0.0)
    if as_json:
        print_json(found.answer)
    else:
        for line in found.lines:
            click.echo(line)
    for line in found.troubles:
        complain(line)
    sys.exit(bool(found.troubles))


def _layout_options(command: Any) -> Any:
    for option in (
        click.option("--instance", default="", metavar="NAME",
                     help="One of several daemons: omeconf@NAME, /etc/omeconf/NAME.toml."),
        click.option("--root", type=click.Path(path_type=Path), default=Path("/"), metavar="DIR",
                     help="Put it together below DIR, for a package or an image."),
        click.option("--prefix", type=click.Choice(["/etc", "/usr"]), default="/etc",
                     show_default=True, help="/usr: where packages put units."),
        click.option("--dry-run", is_flag=True, help="Only show what would be done."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option("--conf", type=click.Path(path_type=Path), required=True, metavar="DIR",
              help="The folder of Server.xml: the only one that the daemon may write.")  # fmt: skip
@click.option("--also", type=click.Path(path_type=Path), multiple=True, metavar="DIR",
              help="A folder that it may write too: where a linked Server.xml lies.")  # fmt: skip
@click.option("--user", default="omeconf", show_default=True, help="Whom the daemon runs as.")
@click.option("--engine-unit", "engine_units", multiple=True, metavar="UNIT",
              default=["ovenmediaengine.service"], show_default=True,
              help="What a hook may restart; may be given again.")  # fmt: skip
@click.option("--engine-drop-in", type=click.Choice(["order", "guard"]), default=None,
              help="Have these units started behind omeconf; guard: and refuse to start with a "
              "broken folder, if they share it.")  # fmt: skip
@click.option("--command", "command", default=None, metavar="PATH",
              help="The omeconf that the units run.  [default: this one]")  # fmt: skip
@_layout_options
def install_units(
    conf: Path, also: Sequence[Path], user: str, engine_units: Sequence[str],
    engine_drop_in: Literal["order", "guard"] | None, command: str | None, instance: str,
    root: Path, prefix: str, *, dry_run: bool,
) -> None:  # fmt: skip
    """Put units for systemd in their places.

    These are service, socket, user, and a polkit rule. The folder of Server.xml is given to the
    daemon's user; the files in it keep their owners. Called again, after an upgrade, it replaces
    what differs. Settings are never replaced.
    """
    from omeconf import units

    layout = units.Layout(root.absolute(), Path(prefix))
    wanted = units.Wanted(
        conf, user, instance, tuple(engine_units), engine_drop_in=engine_drop_in or "",
        command=command or units.own_command(), also=tuple(also),
    )  # fmt: skip
    steps = units.install(wanted, layout)
    units.carry_out(steps, click.echo, layout, dry_run=dry_run)
    names = " ".join(reversed(units.unit_names(instance)))
    click.echo(f"next: systemctl enable --now {names}", err=True)


@click.command()
@_layout_options
def uninstall_units(instance: str, root: Path, prefix: str, *, dry_run: bool) -> None:
    """Take away what install-units wrote, and stop the daemon.

    State, history, settings, the user and the owners of files stay.
    """
    from omeconf import units

    layout = units.Layout(root.absolute(), Path(prefix))
    units.carry_out(units.uninstall(layout, instance), click.echo, layout, dry_run=dry_run)


@click.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "write", "admin"]),
    default="read",
    show_default=True,
    help="What it may do.",
)
@JSON
def token(name: str, role: str, *, as_json: bool) -> None:
    """Make a token for NAME, to be put into omeconf.toml.

    Prints it once, to standard error; the lines for omeconf.toml go to standard output.
    """
    import hashlib
    import secrets

    made = secrets.token_urlsafe(32)
    digest = hashlib.sha256(made.encode()).hexdigest()
    if as_json:
        print_json({"name": name, "role": role, "token": made, "sha256": digest})
        return
    click.echo(f"token: {made}", err=True)
    click.echo(f'[[api.tokens]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest}"')
