"""The command line: a table of commands; each prints what one call returns.

Exit codes: 0 done, 1 the configuration has errors (or the command failed), 2 unreadable files or
wrong usage.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from omeconf import __version__
from omeconf.core.violation import Severity
from omeconf.errors import OmeconfError

if TYPE_CHECKING:
    from omeconf.logs import Format

DEFAULT_STATE = "/var/lib/omeconf"
DEFAULT_RUNTIME = "/run/omeconf"
GARBAGE = (10_000, 10, 10)
"""When garbage is looked for (`gc.set_threshold`): to check a large file makes many values, and
most of what is not needed any more is gone without."""


def _default_socket() -> Path:
    folder = os.environ.get("RUNTIME_DIRECTORY", DEFAULT_RUNTIME).split(":")[0]
    return Path(os.environ.get("OMECONF_SOCKET", f"{folder}/omeconf.sock"))


def _default_state() -> Path:
    return Path(os.environ.get("STATE_DIRECTORY", DEFAULT_STATE).split(":")[0])


_SOCKET = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path, readable=False),
    default=_default_socket,
    help="The daemon's socket.  [default: $OMECONF_SOCKET or /run/omeconf/omeconf.sock]",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Commands(click.Group):
    """Our own errors become one line on stderr, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OmeconfError as error:
            click.echo(f"omeconf: {error}", err=True)
            sys.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="omeconf")
def main() -> None:
    """Configuration manager for OvenMediaEngine.

    Keeps one Server.xml valid, takes edits over REST and by hand without losing a byte, and
    restarts only what changed.
    """
    gc.set_threshold(*GARBAGE)


_ENV = click.option(
    "--env",
    "env_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The engine's environment (NAME=value lines), for ${env:...}.",
)


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--engine",
    "release",
    default="0.21",
    show_default=True,
    metavar="RELEASE",
    help="The release of the engine to check for, 0.12 to 0.21; 0.16.8 is one, too.",
)
@_ENV
@click.option("--strict", is_flag=True, help="Warnings fail the check too.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
)
def check(
    paths: Sequence[Path], release: str, env_file: Path | None, *, strict: bool, form: str
) -> None:
    """Find every mistake in Server.xml files, or in configuration folders.

    Files that are included, and Logger.xml, are looked at too.

    Exit status: 0 good, 1 errors (with --strict also warnings), 2 unreadable.
    """
    from omeconf import report
    from omeconf.offline import check_paths

    found = check_paths(paths, release, env_file)
    if form == "json":
        click.echo(report.as_json(found), nl=False)
    elif form == "github":
        click.echo(report.as_annotations(found), nl=False)
    else:
        click.echo(report.as_text(found), nl=False)
        click.echo(report.verdict(found), err=found.has(Severity.ERROR))
    failing = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    sys.exit(found.has(*failing))


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "release",
    default="0.21",
    show_default=True,
    metavar="RELEASE",
    help="The release of the engine that is to take the files.",
)
@_ENV
@click.option("--dry-run", is_flag=True, help="Only print the diff; change nothing.")
def migrate(path: Path, release: str, env_file: Path | None, *, dry_run: bool) -> None:
    """Rewrite what older releases of the engine named otherwise.

    PATH is a Server.xml or a configuration folder. What was renamed is renamed, what lies
    elsewhere now is moved, what is gone is put into a comment with the reason; every other byte
    stays. Prints the diff to standard output (patch -R takes it back) and what was done to
    standard error.

    Exit status: 0 the release takes the result, 1 it does not (what is left is printed),
    2 unreadable or not writable.
    """
    from omeconf import report
    from omeconf.offline import migrate_path

    done = migrate_path(path, release, env_file, dry_run=dry_run)
    click.echo(done.diff, nl=False)
    for step in done.steps:
        click.echo(f"{step}", err=True)
    if not done.steps:
        click.echo(f"{path}: nothing to migrate", err=True)
    if done.report.has(Severity.ERROR):
        click.echo(report.as_text(done.report), nl=False, err=True)
        click.echo(report.verdict(done.report), err=True)
    sys.exit(done.report.has(Severity.ERROR))


@main.command()
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
@_SOCKET
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


@main.command()
@_SOCKET
@_JSON
def status(socket_path: Path, *, as_json: bool) -> None:
    """Show how things stand: revisions on disk, running and healthy; drift; reloads.

    Exit status: 0 well, 1 the files on disk have errors or a restart is needed.
    """
    from omeconf.client import Client

    found = Client(socket_path).status()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for line in _status_lines(found):
            click.echo(line)
    sys.exit(bool(found["drift"] or found["missing"] or found["restartNeeded"]))


def _status_lines(found: dict[str, Any]) -> list[str]:
    numbers = found["revision"]
    assumed = " (assumed)" if found["runningIsAssumed"] else ""
    lines = [
        f"{found['serverXml']}",
        f"  newest revision   {numbers['head'] or 'none yet'}",
        f"  on disk           {numbers['disk'] or 'something else, see below'}",
        f"  engine runs       {numbers['running'] or 'not known'}{assumed}",
        f"  last known well   {numbers['healthy'] or 'none yet'}",
    ]
    last = found["reload"]["last"]
    if last and last["plan"]:
        names = ", ".join(
            f"{i['action']} {i.get('virtualHost', '')}/{i.get('application', '')}".rstrip("/ ")
            for i in last["plan"]
        )
        lines.append(f"  last reload       {last['state']}: {names}")
    if found["restartNeeded"]:
        lines.append("  restart needed: no hook is set for what changed")
    for name, text in (
        ("missing", "{}"),
        ("unrecorded", "a manual edit cannot be recorded: {}"),
        ("held", "held: {}; `omeconf resume` ends that"),
        ("readOnly", "read only: {}"),
        ("history", "history: {}"),
    ):
        if found[name]:
            lines.append(f"  {text.format(found[name])}")
    if found["confirm"]:
        waits = found["confirm"]
        lines.append(
            f"  confirm           until {waits['deadline']}, else back to revision "
            f"{waits['backTo']}: `omeconf confirm`"
        )
    if found["drift"]:
        lines.append("The files on disk have errors and are not taken up:")
        for v in found["drift"]["violations"]:
            if v["severity"] == "error":
                lines.append(f"  {v['file']}:{v['line']}:{v['column']}: {v['message']}")
                if v["hint"]:
                    lines.append(f"      hint: {v['hint']}")
    return lines


@main.command()
@click.option("-n", "--limit", default=20, show_default=True, help="How many.")
@_SOCKET
@_JSON
def log(socket_path: Path, limit: int, *, as_json: bool) -> None:
    """List the newest revisions: who made them, how, when and why."""
    from omeconf.client import Client

    found = Client(socket_path).revisions(limit)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for r in found:
        by = f" by {r['author']}" if r["author"] else ""
        click.echo(f"{r['number']:>5}  {r['time'][:19]}Z  {r['origin']}{by}  {r['message']}")


@main.command()
@click.argument("revision", type=int)
@click.option("-m", "--message", default="", help="Kept with the new revision.")
@click.option(
    "--confirm",
    "confirm_s",
    type=float,
    metavar="SECONDS",
    help="Take it back, unless `omeconf confirm` is called in time.",
)
@_SOCKET
@_JSON
def rollback(
    revision: int, message: str, confirm_s: float | None, socket_path: Path, *, as_json: bool
) -> None:
    """Take up the files of an old REVISION again, as a new revision."""
    from omeconf.client import Client

    found = Client(socket_path).rollback(revision, message, confirm_s=confirm_s)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(f"revision {found['number']}: {found['message']}")


@main.command()
@_SOCKET
@_JSON
def confirm(socket_path: Path, *, as_json: bool) -> None:
    """Keep what was changed with a deadline (?confirm=SECONDS, --confirm)."""
    from omeconf.client import Client

    found = Client(socket_path).confirm()
    click.echo(json.dumps(found, indent=2) if as_json else
               f"confirmed: everything since revision {found['since']} stays")  # fmt: skip


@main.command()
@click.argument("reason", default="")
@_SOCKET
@_JSON
def hold(reason: str, socket_path: Path, *, as_json: bool) -> None:
    """Adopt no manual edit and take no other until `omeconf resume`, over restarts.

    For the time in which many files are changed by hand: git pull, ansible.
    """
    from omeconf.client import Client

    found = Client(socket_path).hold(reason)
    click.echo(json.dumps(found, indent=2) if as_json else f"held: {found['held']}")


@main.command()
@_SOCKET
@_JSON
def resume(socket_path: Path, *, as_json: bool) -> None:
    """End `omeconf hold`: what lies on disk now is looked at, and taken up if it is right."""
    from omeconf.client import Client

    found = Client(socket_path).resume()
    click.echo(json.dumps(found, indent=2) if as_json else
               f"resumed: revision {found['revision']} is the newest")  # fmt: skip


@main.command()
@click.argument("first", type=int, required=False)
@click.argument("second", type=int, required=False)
@_SOCKET
@_JSON
def diff(first: int | None, second: int | None, socket_path: Path, *, as_json: bool) -> None:
    """Show what changed, and what had to restart: FIRST to SECOND.

    With one number: what that revision changed. With none: what the engine does not run yet.
    """
    from omeconf.client import Client

    client = Client(socket_path)
    if first is None:
        numbers = client.status()["revision"]
        first, second = numbers["running"], numbers["head"]
        if first is None or second is None or first == second:
            click.echo("the engine runs the newest revision", err=True)
            return
    found = client.diff(first) if second is None else client.diff(second, first)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(found["text"], nl=False)
    for item in found["plan"]:
        name = "/".join(filter(None, (item.get("virtualHost"), item.get("application"))))
        click.echo(f"{item['action']} {item['scope']} {name}".rstrip(), err=True)
    if not found["plan"]:
        click.echo("nothing restarts", err=True)


@main.command()
@click.argument("revision", type=int)
@click.option("--file", "name", default="Server.xml", show_default=True, help="Which file.")
@_SOCKET
@_JSON
def show(revision: int, name: str, socket_path: Path, *, as_json: bool) -> None:
    """Print a file as it was in a REVISION; with --json the revision and all its files."""
    from omeconf.client import Client

    found = Client(socket_path).revision(revision)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif name in found["files"]:
        click.echo(found["files"][name], nl=False)
    else:
        known = ", ".join(found["files"])
        raise OmeconfError(f"revision {revision} has no file {name}; it has {known}")


@main.command()
@click.option("--wait", is_flag=True, help="Wait for what that reloads, and for its outcome.")
@click.option(
    "--timeout", "timeout_s", type=float, default=90.0, show_default=True, metavar="SECONDS",
    help="Wait no longer.",
)  # fmt: skip
@_SOCKET
@_JSON
def reload(*, wait: bool, timeout_s: float, socket_path: Path, as_json: bool) -> None:
    """Read omeconf.toml again, and look at the files.

    As SIGHUP does; `systemctl reload` calls it. What cannot change at run time is told, and keeps
    its old value. Settings that are wrong change nothing.

    Exit status: 0 well, 1 the settings or the files on disk have errors, or (with --wait) the
    reload of the engine failed, 2 no daemon answers.
    """
    from omeconf.reloading import ask

    found = ask(socket_path, timeout_s if wait else 0.0)
    if as_json:
        click.echo(json.dumps(found.answer, indent=2))
    else:
        for line in found.lines:
            click.echo(line)
    for line in found.troubles:
        click.echo(f"omeconf: {line}", err=True)
    sys.exit(bool(found.troubles))


@main.command()
@_SOCKET
@_JSON
def retry(socket_path: Path, *, as_json: bool) -> None:
    """Do again, now, what failed to reload or waits for somebody."""
    from omeconf.client import Client

    client = Client(socket_path)
    newest = client.reloads()
    if not newest:
        raise OmeconfError("nothing was reloaded yet")
    found = client.retry(newest[0]["id"])
    first, last = found["revisions"]
    click.echo(json.dumps(found, indent=2) if as_json else
               f"reload {found['id']} of revisions {first} to {last}")  # fmt: skip


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


@main.command()
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
    """Put units for systemd in their places: service, socket, user, and a polkit rule.

    The folder of Server.xml is given to the daemon's user; the files in it keep their owners.
    Called again, after an upgrade, it replaces what differs. Settings are never replaced.
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


@main.command()
@_layout_options
def uninstall_units(instance: str, root: Path, prefix: str, *, dry_run: bool) -> None:
    """Take away what install-units wrote, and stop the daemon.

    State, history, settings, the user and the owners of files stay.
    """
    from omeconf import units

    layout = units.Layout(root.absolute(), Path(prefix))
    units.carry_out(units.uninstall(layout, instance), click.echo, layout, dry_run=dry_run)


@main.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "write", "admin"]),
    default="read",
    show_default=True,
    help="What it may do.",
)
def token(name: str, role: str) -> None:
    """Make a token for NAME: prints it once, and the lines for omeconf.toml."""
    import hashlib
    import secrets

    made = secrets.token_urlsafe(32)
    digest = hashlib.sha256(made.encode()).hexdigest()
    click.echo(f"token: {made}", err=True)
    click.echo(f'[[api.tokens]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest}"')
