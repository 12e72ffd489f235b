"""status, log, show, diff, events, on a real daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api import APP, LISTENING
from tests.support.daemon import Daemon, wait_for

HEADS = ["REV", "TIME", "ORIGIN", "AUTHOR", "RELOAD", "MESSAGE", "CHANGED"]


def duration(daemon: Daemon, seconds: int, message: str = "") -> None:
    """One edit over the API, with its reload."""
    body = {"publishers": {"llhls": {"segmentDuration": seconds}}}
    headers = {"Omeconf-Message": message} if message else {}
    answer = daemon.call("PATCH", APP, body, headers=headers)
    assert (answer.status, answer.headers["omeconf-reload"]) == (200, "ok")


def by_hand(daemon: Daemon, old: str, new: str) -> None:
    """A manual edit, taken up."""
    head = daemon.status()["revision"]["head"]
    assert old in daemon.text
    daemon.write(daemon.text.replace(old, new))
    wait_for(lambda: daemon.status()["revision"]["head"] > head, "the manual edit")


def break_it(daemon: Daemon) -> None:
    """A manual edit that cannot be taken up, whole from the first moment."""
    beside = daemon.base / "broken.xml"
    beside.write_text(daemon.text.replace("<LLHLS>", "<LLHLS><Oops/>"))
    beside.replace(daemon.server_xml)
    wait_for(lambda: daemon.status()["drift"], "the drift")


def test_status(daemon: Daemon) -> None:
    """Three revisions apart, the last reload, what watches; 1 and the violations when broken."""
    duration(daemon, 5)
    good = daemon.cli("status")
    assert (good.returncode, good.stderr) == (0, "")
    shown = [line.split(None, 2) for line in good.stdout.splitlines()]
    assert ["newest", "revision", "2"] in shown
    assert "last reload       healthy: restart default/app (reload " in good.stdout
    assert f"watching          {daemon.conf}, a look every 0.5 s" in good.stdout
    break_it(daemon)
    broken = daemon.cli("status")
    assert broken.returncode == 1
    assert "on disk           something else, see below" in broken.stdout
    assert "Server.xml:26:15: error: <Oops> is not known in <LLHLS>" in broken.stdout
    found = json.loads(daemon.cli("status", "--json").stdout)
    assert found["watching"]["folders"] == [str(daemon.conf)]
    assert found["drift"]["violations"]


@pytest.mark.long
def test_status_of_what_is_unusual(daemon: Daemon) -> None:
    """A commit that waits to be confirmed, and a hold, are shown with what ends them."""
    daemon.call("PATCH", f"{APP}?confirm=500", {"type": "live", "publishers": {"ovt": {}}})
    waits = daemon.cli("status").stdout
    assert "confirm           within " in waits
    assert "else back to revision 1: `omeconf confirm`" in waits
    daemon.cli("confirm")
    daemon.cli("hold", "git pull")
    assert "held: git pull; `omeconf resume` ends that" in daemon.cli("status").stdout


def test_log(daemon: Daemon) -> None:
    """Author, origin, time, message, and what changed in one line."""
    duration(daemon, 5, "größer")
    by_hand(daemon, ">5<", ">7<")
    run = daemon.cli("log")
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0].split() == HEADS
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1"]
    assert "file " in lines[1]
    assert lines[1].endswith("default/app LLHLS/SegmentDuration 5 -> 7")
    assert " api     api     healthy  größer" in lines[2]
    assert lines[2].endswith("default/app LLHLS/SegmentDuration 6 -> 5")
    newest = daemon.cli("log", "-n", "1").stdout.splitlines()[1:]
    assert [line.split() for line in newest] == [lines[1].split()]
    older = daemon.cli("log", "--before", "2", "--json")
    assert [each["number"] for each in json.loads(older.stdout)] == [1]


@pytest.mark.long
def test_long_lines_are_whole(daemon: Daemon) -> None:
    """What is no terminal gets every row on one line, whatever COLUMNS says."""
    duration(daemon, 5, "x" * 300)
    run = daemon.cli("log")
    assert "x" * 300 in run.stdout
    assert len(run.stdout.splitlines()) == 3


@pytest.mark.long
def test_show(daemon: Daemon) -> None:
    """The file as it was, byte for byte; which files there are, if it is none of them."""
    before = daemon.text
    duration(daemon, 5)
    assert daemon.cli("show", "1").stdout == before
    assert daemon.cli("show", "2").stdout == daemon.text
    found = json.loads(daemon.cli("show", "1", "--json").stdout)
    assert found["files"]["Server.xml"] == before
    missing = daemon.cli("show", "1", "--file", "x.xml")
    assert missing.returncode == 2
    assert "revision 1 has no file x.xml; it has Server.xml" in missing.stderr
    assert daemon.cli("show", "99").returncode == 1


def test_diff(daemon: Daemon, tmp_path: Path) -> None:
    """Between any two of disk, running, head, a revision, a file; the plan goes to stderr."""
    duration(daemon, 5)
    daemon.call("PATCH", f"{APP}?reload=skip", {"publishers": {"llhls": {"segmentDuration": 4}}})
    file = tmp_path / "mine.xml"
    file.write_text(daemon.text.replace(">4<", ">3<"))
    expected = {
        (): (5, 4),
        ("2",): (6, 5),
        ("1", "2"): (6, 5),
        ("2", "1"): (5, 6),
        ("1", "head"): (6, 4),
        ("running", "head"): (5, 4),
        ("healthy", "disk"): (5, 4),
        (str(file),): (4, 3),
        ("1", str(file)): (6, 3),
    }
    for arguments, (old, new) in expected.items():
        run = daemon.cli("diff", *arguments)
        changed = [line for line in run.stdout.splitlines() if line[:4] in ("-\t\t\t", "+\t\t\t")]
        assert [line.strip("-+\t") for line in changed] == [
            f"<SegmentDuration>{value}</SegmentDuration>" for value in (old, new)
        ], arguments
        assert run.stderr == "restart application default/app\n", arguments
        assert run.returncode == 0
    same = daemon.cli("diff", "disk")
    assert (same.stdout, same.stderr) == ("", "nothing restarts\n")
    paths = daemon.cli("diff", "1", "2", "--paths").stdout
    assert paths.endswith('/Application[Name="app"]/Publishers/LLHLS/SegmentDuration: 6 -> 5\n')
    found = json.loads(daemon.cli("diff", "1", "2", "--json").stdout)
    assert [each["new"] for each in found["changes"]] == ["5"]


@pytest.mark.long
def test_diff_of_what_is_broken(daemon: Daemon) -> None:
    """The lines, and what is wrong with them; 1."""
    break_it(daemon)
    run = daemon.cli("diff", "head", "disk")
    assert run.returncode == 1
    assert "+\t\t\t\t\t\t<LLHLS><Oops/>" in run.stdout
    assert "error: <Oops> is not known in <LLHLS>" in run.stderr


@pytest.mark.long
def test_diff_of_what_is_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """What can be compared is told."""
    for arguments in (("nowhere",), ("1", "nowhere.xml"), (str(tmp_path / "mine"), "1")):
        run = daemon.cli("diff", *arguments)
        assert run.returncode == 2, arguments
        assert "disk, head, running, healthy" in run.stderr


@pytest.mark.long
def test_colour(daemon: Daemon) -> None:
    """Only where it is wanted: on a terminal, or with FORCE_COLOR, and never with NO_COLOR."""
    duration(daemon, 5)
    for arguments in (("diff", "1", "2"), ("log",), ("status",), ("app", "list")):
        plain = daemon.cli(*arguments).stdout
        assert "\x1b" not in plain
        assert "\x1b[" in daemon.cli_with({"FORCE_COLOR": "1"}, *arguments).stdout
        assert daemon.cli_with({"NO_COLOR": "1", "FORCE_COLOR": ""}, *arguments).stdout == plain


def test_events(daemon: Daemon) -> None:
    """What is kept, oldest first, a line each; as JSON, too."""
    duration(daemon, 5, "why")
    break_it(daemon)
    daemon.cli("hold", "a reason")
    run = daemon.cli("events")
    assert (run.returncode, run.stderr) == (0, "")
    kinds = [line.split()[1] for line in run.stdout.splitlines()]
    assert kinds == ["revision", "reload", "reload", "drift", "held"]
    assert "2, api by api (why): default/app LLHLS/SegmentDuration 6 -> 5" in run.stdout
    assert "of revision 2, healthy: restart default/app" in run.stdout
    assert "Server.xml:26: <Oops> is not known in <LLHLS>" in run.stdout
    lines = [json.loads(line) for line in daemon.cli("events", "--json").stdout.splitlines()]
    assert [each["event"] for each in lines] == kinds
    assert all(each["time"].endswith("Z") and each["id"] for each in lines)


@pytest.mark.long
def test_follow_over_a_restart(daemon: Daemon) -> None:
    """Nothing is told twice; what happens after a restart of the daemon is told, behind a gap."""
    duration(daemon, 5)
    following = subprocess.Popen(
        [sys.executable, "-m", "omeconf", "events", "--follow", "--socket", str(daemon.socket)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert following.stdout is not None
        assert following.stderr is not None
        assert " 2, api by api" in following.stdout.readline()
        assert "running" in following.stdout.readline()
        assert "healthy" in following.stdout.readline()
        daemon.stop()
        assert "waiting for it" in following.stderr.readline()
        daemon.start()
        duration(daemon, 4)
        assert " gap " in following.stdout.readline()
        assert " 3, api by api" in following.stdout.readline()
    finally:
        following.kill()
        following.communicate()


@pytest.mark.long
def test_a_first_start_on_a_broken_file(tmp_path: Path) -> None:
    """Nothing is known yet: the status says so with what is wrong, the rest says why not."""
    with Daemon(tmp_path, LISTENING.replace("<LLHLS>", "<LLHLS><Oops/>")) as daemon:
        status = daemon.cli("status")
        assert status.returncode == 1
        assert "newest revision   none yet" in status.stdout
        assert "<Oops> is not known" in status.stdout
        assert daemon.cli("log").returncode == 0
        for arguments in (("diff",), ("get",), ("app", "list")):
            run = daemon.cli(*arguments)
            assert run.returncode != 0, arguments
            assert run.stderr.startswith("omeconf: "), arguments
            assert "Traceback" not in run.stderr
