"""What the commands that need no daemon do: check files, and migrate them to a newer release."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omeconf.core.check import check
from omeconf.core.diff import unified
from omeconf.core.migrate import Step, last_release_for, migrate
from omeconf.core.schema import Schema
from omeconf.core.snapshot import Snapshot
from omeconf.report import Finding, Report
from omeconf.settings import read_env
from omeconf.store.disk import Folder, shipped_schema


@dataclass(frozen=True, slots=True)
class Migration:
    """What a migration of one configuration did, or would do."""

    steps: tuple[Step, ...]
    diff: str
    """Unified text; names are relative to the folder of Server.xml."""
    report: Report
    """What a check for the new release finds afterwards."""


def check_paths(paths: Sequence[Path], release: str, env_file: Path | None) -> Report:
    """Check files or folders for a release of the engine.

    Raises NotFound, Unwritable (unreadable) or BadSettings (no such release, no such env file).
    """
    schema = shipped_schema(release)
    files: list[str] = []
    findings: list[Finding] = []
    remarks: list[str] = []
    for path in paths:
        snapshot = _take(path, env_file)
        files.append(str(_server_xml(path)))
        lead = "" if path.is_dir() and len(paths) == 1 else files[-1].removesuffix(snapshot.main)
        found = tuple(_findings(snapshot, schema, lead))
        if any(each.violation.severity == "error" for each in found):
            remarks += _fits_older(files[-1], snapshot, schema)
        findings += found
    return Report(tuple(files), tuple(findings), tuple(remarks))


def migrate_path(path: Path, release: str, env_file: Path | None, *, dry_run: bool) -> Migration:
    """Rewrite a file or folder for a release; on disk too, unless dry_run.

    Raises as `check_paths`, and Busy if somebody writes a file at the same time: then, and when
    a file cannot be written, nothing has changed.
    """
    schema = shipped_schema(release)
    snapshot = _take(path, env_file)
    migrated = migrate(snapshot, schema)
    changed = snapshot.changed_files(migrated.snapshot)
    if changed and not dry_run:
        from omeconf.store.publish import Publisher

        publisher = Publisher(_server_xml(path).parent)
        prepared = publisher.prepare(
            {file: migrated.snapshot.files[file] for file in changed},
            {file: snapshot.files[file] for file in changed},
            snapshot.would_include,
        )
        try:
            publisher.publish(prepared)
        finally:
            publisher.discard(prepared)
    file = str(_server_xml(path))
    found = tuple(_findings(migrated.snapshot, schema, file.removesuffix(snapshot.main)))
    report = Report((file,), found)
    return Migration(migrated.steps, unified(snapshot, migrated.snapshot), report)


def _server_xml(path: Path) -> Path:
    return path / "Server.xml" if path.is_dir() else path


def _take(path: Path, env_file: Path | None) -> Snapshot:
    server_xml = _server_xml(path)
    folder = Folder(server_xml.parent)
    env = read_env(env_file) if env_file else None
    return Snapshot.take(folder, main=server_xml.name, folder=str(folder.path), env=env)


def _findings(snapshot: Snapshot, schema: Schema, lead: str) -> Iterator[Finding]:
    """What a check finds, with file names as the caller would give them."""
    for violation in check(snapshot, schema).violations:
        source = snapshot.source_line(violation.file, violation.line)
        is_inside = snapshot.is_inside(violation.file)
        name = f"{lead}{violation.file}" if is_inside else violation.file
        yield Finding(replace(violation, file=name), source)


def _fits_older(file: str, snapshot: Snapshot, schema: Schema) -> Iterator[str]:
    """A remark, if an older release of the engine takes what this one does not."""
    release = last_release_for(snapshot, schema)
    if release and check(snapshot, shipped_schema(release)).is_good:
        yield (
            f"{file} is valid for {release}: `omeconf migrate --dry-run {file}` shows what "
            "a newer release needs"
        )
