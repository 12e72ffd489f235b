"""Commands on files, which need no daemon: check, migrate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from omeconf.cli.options import JSON, of_release
from omeconf.cli.output import as_json as print_json
from omeconf.cli.output import waiting
from omeconf.core.violation import Severity

_ENV = click.option(
    "--env",
    "env_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The engine's environment (NAME=value lines), for ${env:...}.",
)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@of_release("--engine", "The release of the engine to check for, 0.12 to 0.21, or 0.16.8.")
@_ENV
@click.option("--strict", is_flag=True, help="Warnings fail the check too.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="For people, for programs, or for GitHub's annotations.",
)
@JSON
def check(
    paths: Sequence[Path], release: str, env_file: Path | None, *, strict: bool, form: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Find every mistake in configuration files.

    PATH is a Server.xml or a configuration folder. Files that are included, and Logger.xml, are
    looked at too.

    Exit status: 0 good, 1 errors (with --strict also warnings), 2 unreadable.
    """
    from omeconf import report
    from omeconf.offline import check_paths

    with waiting("checking"):
        found = check_paths(paths, release, env_file)
    if as_json or form == "json":
        click.echo(report.as_json(found), nl=False)
    elif form == "github":
        click.echo(report.as_annotations(found), nl=False)
    else:
        click.echo(report.as_text(found), nl=False)
        click.echo(report.verdict(found), err=found.has(Severity.ERROR))
    failing = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    sys.exit(found.has(*failing))


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@of_release("--to", "The release of the engine that is to take the files.")
@_ENV
@click.option("--dry-run", is_flag=True, help="Only print the diff; change nothing.")
@JSON
def migrate(
    path: Path, release: str, env_file: Path | None, *, dry_run: bool, as_json: bool
) -> None:
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

    with waiting("rewriting"):
        done = migrate_path(path, release, env_file, dry_run=dry_run)
    if as_json:
        found = [each.violation.as_json() for each in done.report.findings]
        steps = [asdict(step) for step in done.steps]
        print_json({"diff": done.diff, "steps": steps, "violations": found})
        sys.exit(done.report.has(Severity.ERROR))
    click.echo(done.diff, nl=False)
    for step in done.steps:
        click.echo(f"{step}", err=True)
    if not done.steps:
        click.echo(f"{path}: nothing to migrate", err=True)
    if done.report.has(Severity.ERROR):
        click.echo(report.as_text(done.report), nl=False, err=True)
        click.echo(report.verdict(done.report), err=True)
    sys.exit(done.report.has(Severity.ERROR))
