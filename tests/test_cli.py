from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import EXAMPLES, MINIMAL
from tests.support.daemon import omeconf

BROKEN = MINIMAL.replace("<Port>1935</Port>", "<Port>70000</Port><Zzz/>")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (tmp_path / "Server.xml").write_text(BROKEN)
    return tmp_path


def test_check_a_good_folder() -> None:
    """Exit 0, and one line that says so."""
    run = omeconf("check", str(EXAMPLES / "origin"))
    assert run.returncode == 0
    assert "the engine takes this" in run.stdout


def test_check_shows_everything(broken: Path) -> None:
    """Every error with file, line, column, message and hint; exit 1."""
    run = omeconf("check", str(broken))
    assert run.returncode == 1
    assert "Server.xml:8:11: error: <Port> is '70000': it must be a port from 1" in run.stdout
    assert "Server.xml:8:24: error: <Zzz> is not known in <RTMP>" in run.stdout
    assert "2 errors" in run.stderr


def test_check_as_json(broken: Path) -> None:
    """The documented members and no others."""
    run = omeconf("check", "--format", "json", str(broken / "Server.xml"))
    found = json.loads(run.stdout)
    assert found["files"] == [str(broken / "Server.xml")]
    assert [v["code"] for v in found["violations"]] == ["invalid-value", "unknown-element"]
    assert list(found["violations"][0]) == [
        "severity", "code", "file", "line", "column", "path", "message", "hint",
    ]  # fmt: skip
    assert found["violations"][0]["file"] == str(broken / "Server.xml")


def test_check_for_github(broken: Path) -> None:
    """Annotations as GitHub's runner reads them."""
    first = omeconf("check", "--format", "github", str(broken)).stdout.splitlines()[0]
    assert first.startswith("::error file=Server.xml,line=8,col=11,title=invalid-value::")


def test_strict(tmp_path: Path) -> None:
    """Warnings fail the check only when asked for."""
    (tmp_path / "Server.xml").write_text(MINIMAL.replace(">6<", ">6s<"))
    assert omeconf("check", str(tmp_path)).returncode == 0
    assert omeconf("check", "--strict", str(tmp_path)).returncode == 1


def test_environment(tmp_path: Path) -> None:
    """The engine's environment decides what a macro is worth."""
    (tmp_path / "Server.xml").write_text(MINIMAL.replace("1935", "${env:RTMP}"))
    (tmp_path / "env").write_text("RTMP=99999\n")
    assert omeconf("check", str(tmp_path)).returncode == 0
    run = omeconf("check", "--env", str(tmp_path / "env"), str(tmp_path))
    assert run.returncode == 1
    assert "'99999' (${env:RTMP})" in run.stdout


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """Exit 2 and one line, never a traceback."""
    for arguments in (
        ("check", str(tmp_path / "none.xml")),
        ("check", "--engine", "9.9", str(EXAMPLES / "origin")),
        ("check",),
        ("serve", str(EXAMPLES / "origin"), "--config", str(tmp_path / "none.toml")),
    ):
        run = omeconf(*arguments)
        assert run.returncode == 2, arguments
        assert run.stderr, arguments
        assert "Traceback" not in run.stderr, arguments


def test_help() -> None:
    """Every command explains itself."""
    shown = omeconf("--help").stdout
    for command in ("check", "serve", "status", "log"):
        assert command in shown
        run = omeconf(command, "--help")
        assert run.returncode == 0
        assert "Usage:" in run.stdout


OLD = MINIMAL.replace("</LLHLS>\n", "</LLHLS>\n\t\t\t\t\t\t<DASH />\n")


def test_check_names_the_release_of_an_old_file(tmp_path: Path) -> None:
    """A file that an older release takes gets a hint to migrate."""
    (tmp_path / "Server.xml").write_text(OLD)
    run = omeconf("check", str(tmp_path))
    assert run.returncode == 1
    assert "it was removed after 0.16.5: use LLHLS" in run.stdout
    assert "is valid for 0.16.5: `omeconf migrate" in run.stderr
    assert omeconf("check", "--engine", "0.16.5", str(tmp_path)).returncode == 0


def test_migrate(tmp_path: Path) -> None:
    """The diff first; then the file; then there is nothing more to do."""
    server_xml = tmp_path / "Server.xml"
    server_xml.write_text(OLD)
    server_xml.chmod(0o640)
    dry = omeconf("migrate", "--dry-run", str(tmp_path))
    assert dry.returncode == 0
    assert "-\t\t\t\t\t\t<DASH />\n+\t\t\t\t\t\t<!-- omeconf: removed" in dry.stdout
    assert server_xml.read_text() == OLD
    done = omeconf("migrate", str(server_xml))
    assert done.stdout == dry.stdout
    assert "removed /Server/VirtualHosts/VirtualHost[1]" in done.stderr
    assert server_xml.read_text() == OLD.replace(
        "<DASH />", "<!-- omeconf: removed after 0.16.5, use LLHLS: <DASH /> -->"
    )
    assert server_xml.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["Server.xml"]
    again = omeconf("migrate", str(tmp_path))
    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing to migrate" in again.stderr


def test_migrate_what_is_wrong_otherwise(tmp_path: Path) -> None:
    """What remains is told, with exit status 1; a file that is no XML stays as it is."""
    server_xml = tmp_path / "Server.xml"
    server_xml.write_text(OLD.replace("1935", "70000"))
    run = omeconf("migrate", str(tmp_path))
    assert run.returncode == 1
    assert "it must be a port" in run.stderr
    assert "omeconf: removed" in server_xml.read_text()
    server_xml.write_text("<Server>")
    run = omeconf("migrate", str(tmp_path))
    assert run.returncode == 1
    assert "is not closed" in run.stderr
    assert server_xml.read_text() == "<Server>"


def test_included_files_and_the_logger(tmp_path: Path) -> None:
    """Violations in other files are shown with their own source lines."""
    (tmp_path / "Server.xml").write_text(MINIMAL.replace("<VirtualHosts>", "<VirtualHosts>"
        '<VirtualHost include="host.xml"/>'))  # fmt: skip
    (tmp_path / "host.xml").write_text("<VirtualHost>\n<Nmae>h</Nmae></VirtualHost>")
    (tmp_path / "Logger.xml").write_text('<Logger version="2">\n<Tag name="a" level="x"/></Logger>')
    run = omeconf("check", str(tmp_path))
    assert "host.xml:2:2: error: <Nmae> is not known" in run.stdout
    assert "\n  2 | <Nmae>h</Nmae></VirtualHost>\n    |  ^~~~\n" in run.stdout
    assert "\n  2 | <Tag name" in run.stdout
