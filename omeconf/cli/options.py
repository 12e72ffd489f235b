"""Options that many commands have: the socket, JSON, and how something is to be changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from omeconf.cli.completing import RELEASE, REVISION

if TYPE_CHECKING:
    from omeconf.client import Client

C = TypeVar("C", bound=Callable[..., Any])
DEFAULT_RUNTIME = "/run/omeconf"


def default_socket() -> Path:
    """Where the daemon listens, unless told."""
    folder = os.environ.get("RUNTIME_DIRECTORY", DEFAULT_RUNTIME).split(":")[0]
    return Path(os.environ.get("OMECONF_SOCKET", f"{folder}/omeconf.sock"))


SOCKET = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path, readable=False),
    default=default_socket,
    help="The daemon's socket.  [default: $OMECONF_SOCKET or /run/omeconf/omeconf.sock]",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
YES = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
MESSAGE = click.option("-m", "--message", default="", help="Why; kept with the revision.")
CONFIRM = click.option(
    "--confirm",
    "confirm_s",
    type=click.FloatRange(min=0, min_open=True, max=2592000),
    metavar="SECONDS",
    help="Take it back, unless `omeconf confirm` is called in time.",
)
DRY = click.option(
    "--dry-run", "is_dry", is_flag=True, help="Show what it would do; change nothing."
)
BASE = click.option(
    "--base",
    type=REVISION,
    metavar="REV",
    help="Only if REV is the newest revision still; else exit status 4.",
)


def of_daemon(command: C) -> C:
    """The options of a command that asks the daemon."""
    return SOCKET(JSON(command))


def of_change(command: C) -> C:
    """The options of a command that changes something."""
    return of_daemon(MESSAGE(CONFIRM(BASE(DRY(command)))))


def of_release(name: str, text: str) -> Callable[[C], C]:
    """The option that says which release of the engine is meant; the newest unless told."""
    return click.option(
        name,
        "release",
        type=RELEASE,
        default="0.21",
        show_default=True,
        metavar="RELEASE",
        help=text,
    )


def client(socket_path: Path) -> Client:
    """The daemon behind a socket."""
    from omeconf.client import Client

    return Client(socket_path)
