"""get, set, commit, and app list, get, add, set, remove, on a real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api import LISTENING, app_path
from tests.support.daemon import Daemon, wait_for

SEGMENT = "publishers.llhls.segmentDuration"
RESTARTED = "restart application default/app"


def text_of(daemon: Daemon) -> str:
    """The file as it was at first."""
    return LISTENING.replace("@PORT@", str(daemon.port))


def test_app_list(daemon: Daemon) -> None:
    """All applications with what they take in and give out; those of one virtual host."""
    run = daemon.cli("app", "list")
    assert (run.returncode, run.stderr) == (0, "")
    rows = [line.split() for line in run.stdout.splitlines()]
    assert rows == [
        ["APP", "TYPE", "PROVIDERS", "PUBLISHERS", "PROFILES"],
        ["default/app", "live", "llhls"],
        ["default/other", "live"],
    ]
    found = json.loads(daemon.cli("app", "list", "default", "--json").stdout)
    assert [each["name"] for each in found] == ["app", "other"]
    assert found[0]["publishers"] == ["llhls"]
    missing = daemon.cli("app", "list", "elsewhere")
    assert missing.returncode == 2
    assert "there is no virtual host elsewhere; there are default" in missing.stderr


def test_app_get(daemon: Daemon) -> None:
    """As JSON, as the XML that is written, or one member for a script."""
    found = json.loads(daemon.cli("app", "get", "default/app").stdout)
    assert found["publishers"]["llhls"] == {"segmentDuration": 6}
    assert daemon.cli("app", "get", "default/app", SEGMENT).stdout == "6\n"
    assert daemon.cli("app", "get", "default/app", "type").stdout == "live\n"
    xml = daemon.cli("app", "get", "default/app", "--as", "xml").stdout
    assert xml.startswith("<Application>\n\t<Name>app</Name>\n")
    assert xml.endswith("</Application>\n")
    for arguments, status, says in (
        (("default/none",), 1, "Could not find the application: [default/none]"),
        (("app",), 2, "write HOST/APP"),
        (("default/app", "publishers.hls"), 2, "no hls; there are llhls"),
        (("default/app", "type", "--as", "xml"), 2, "leave --as xml out"),
    ):
        run = daemon.cli("app", "get", *arguments)
        assert (run.returncode, run.stdout) == (status, ""), arguments
        assert says in run.stderr


def test_app_set(daemon: Daemon) -> None:
    """Several members in one revision, by their names in JSON or in the file; a byte a byte."""
    run = daemon.cli(
        "app", "set", "default/app", f"{SEGMENT}=4", "Publishers/LLHLS/ChunkDuration=0.50",
        "-m", "größer",
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "revision 2: the engine runs it\n")
    assert daemon.text == text_of(daemon).replace(
        "<SegmentDuration>6</SegmentDuration>",
        "<SegmentDuration>4</SegmentDuration>\n\t\t\t\t\t\t\t<ChunkDuration>0.50</ChunkDuration>",
    )
    newest = daemon.cli("log").stdout.splitlines()[1]
    assert "größer" in newest
    assert newest.split()[2] == "cli"
    assert daemon.calls == [RESTARTED]
    unset = daemon.cli("app", "set", "default/app", "--unset", "publishers.llhls.chunkDuration")
    assert unset.returncode == 0
    back = daemon.cli("app", "set", "default/app", f"{SEGMENT}=6", "--json")
    assert json.loads(back.stdout)["revision"] == 4
    assert daemon.text == text_of(daemon)


@pytest.mark.long
def test_which_of_several(daemon: Daemon) -> None:
    """A path that could mean several is told so; nothing is changed, or gone."""
    several = "VirtualHosts/VirtualHost[default]/Applications/Application"
    for arguments in (("--unset", several), (f"{several}/Type=vod",)):
        run = daemon.cli("set", *arguments)
        assert run.returncode == 4
        assert 'say which, for instance Application[Name="app"]' in run.stderr
    assert daemon.text == text_of(daemon)


@pytest.mark.long
def test_what_cannot_be_sent_as_it_is(daemon: Daemon) -> None:
    """A message is one line, whatever it was; what is no UTF-8 is no traceback."""
    edits = ("app", "set", "default/app", f"{SEGMENT}=4")
    assert daemon.cli(*edits, "-m", "one\ntwo\x1b[31m \udcff").returncode == 0
    assert "one two [31m" in daemon.cli("log").stdout
    assert "Traceback" not in daemon.cli("app", "get", "default/\udcff").stderr
    full = subprocess.run(
        f"{sys.executable} -m omeconf status > /dev/full", shell=True, capture_output=True,
        text=True, check=False, env={**os.environ, "OMECONF_SOCKET": str(daemon.socket)},
    )  # fmt: skip
    assert (full.returncode, full.stderr) == (2, "omeconf: cannot write: No space left on device\n")


@pytest.mark.long
def test_an_output_profile(daemon: Daemon) -> None:
    """What is in lists goes by name, as the file has it."""
    profile = (
        '{"name": "p1", "outputStreamName": "${OriginStreamName}_p1", '
        '"encodes": {"videos": [{"name": "v", "bypass": true}]}}'
    )
    done = daemon.cli("app", "set", "default/app", f"OutputProfiles/OutputProfile[p1]={profile}")
    assert done.returncode == 0, done.stderr
    renamed = "OutputProfiles/OutputProfile[p1]/Encodes/Video[v]/Name=w"
    assert daemon.cli("app", "set", "default/app", renamed).returncode == 0
    assert "<Name>w</Name>" in daemon.text
    removed = daemon.cli("app", "set", "default/app", "--unset", "OutputProfiles/OutputProfile[p1]")
    assert removed.returncode == 0, removed.stderr
    assert "OutputStreamName" not in daemon.text


REFUSED = {
    "unknown member": (
        ("publishers.llhls.segmentDuratio=4",),
        1,
        "segmentDuratio; did you mean segmentDuration?",
    ),
    "unknown element": (
        ("Publishers/LLHLS/SegmentDuratio=4",),
        1,
        "did you mean <SegmentDuration>?",
    ),
    "no value": ((SEGMENT,), 2, "write PATH=VALUE"),
    "nothing": ((), 2, "give MEMBER=VALUE, or --unset MEMBER"),
    "what the engine refuses": (("type=nonsense",), 1, "<Type>"),
    "a new warning": ((f"{SEGMENT}=6s",), 1, "Server.xml:27:25: warning: <SegmentDuration>"),
    "a list by a dotted name": (
        ("outputProfiles.outputProfile[0].name=x",),
        2,
        "OutputProfile[p1]",
    ),
    "not there": (("--unset", "Publishers/OVT"), 1, "OVT"),
}


@pytest.mark.parametrize(("arguments", "status", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(
    daemon: Daemon, arguments: tuple[str, ...], status: int, says: str
) -> None:
    """Why, with the place; and nothing has changed."""
    for dry in ((), ("--dry-run",)):
        run = daemon.cli("app", "set", "default/app", *arguments, *dry)
        assert (run.returncode, run.stdout) == (status, ""), run.stderr
        assert says in run.stderr
        assert "Traceback" not in run.stderr
    assert daemon.text == text_of(daemon)
    assert daemon.status()["revision"]["head"] == 1


def test_app_add(daemon: Daemon) -> None:
    """With the engine's defaults; or as a copy with its comments, changed at once."""
    plain = daemon.cli("app", "add", "default/fair", f"{SEGMENT}=3")
    assert (plain.returncode, plain.stdout) == (0, "revision 2: the engine runs it\n"), plain.stderr
    found = json.loads(daemon.cli("app", "get", "default/fair").stdout)
    assert found["publishers"]["llhls"] == {"segmentDuration": 3}
    assert found["providers"]
    assert {"webrtc", "ovt"} <= set(found["publishers"]), "the engine's defaults stay"
    dry = daemon.cli("app", "add", "default/x", "--dry-run")
    assert "+\t\t\t\t\t<Name>x</Name>" in dry.stdout
    assert dry.stderr.startswith("create application default/x\n")
    commented = daemon.text.replace("<Type>live</Type>", "<Type>live</Type> <!-- mine -->", 1)
    daemon.write(commented)
    wait_for(lambda: json.loads(daemon.cli("status", "--json").stdout)["revision"]["head"] == 3)
    copied = daemon.cli("app", "add", "default/copy", "--from", "default/app", f"{SEGMENT}=2")
    assert copied.returncode == 0, copied.stderr
    first = daemon.cli("app", "get", "default/app", "--as", "xml").stdout
    second = daemon.cli("app", "get", "default/copy", "--as", "xml").stdout
    assert "<!-- mine -->" in second
    assert second == first.replace(">app<", ">copy<").replace(">6<", ">2<")
    assert daemon.calls[-1] == "create application default/copy"
    for arguments, status in (
        (("default/app",), 4),
        (("default/app", "--from", "default/other"), 4),
        (("elsewhere/app",), 1),
        (("default/x", "--from", "default/none"), 1),
        (("x",), 2),
    ):
        run = daemon.cli("app", "add", *arguments)
        assert run.returncode == status, (arguments, run.stderr)
        assert run.stderr


@pytest.mark.long
def test_app_remove(daemon: Daemon) -> None:
    """Shows what goes and asks; where nobody can be asked, --yes has to be said."""
    asked = daemon.cli("app", "remove", "default/other")
    assert asked.returncode == 2
    assert "-\t\t\t\t\t<Name>other</Name>" in asked.stdout
    assert "give --yes" in asked.stderr
    assert daemon.text == text_of(daemon)
    dry = daemon.cli("app", "remove", "default/other", "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "delete application default/other\n")
    done = daemon.cli("app", "remove", "default/other", "--yes")
    assert done.returncode == 0, done.stderr
    assert "other" not in daemon.text
    assert daemon.calls == ["delete application default/other"]
    assert daemon.cli("app", "remove", "default/other", "--yes").returncode == 1


def test_get_and_set(daemon: Daemon) -> None:
    """Any element by its path; all of it as JSON."""
    assert daemon.cli("get", "Bind/Providers/RTMP/Port").stdout == "1935\n"
    assert daemon.cli("get", "Bind/Providers").stdout.startswith("<Providers>\n\t<RTMP>\n")
    assert json.loads(daemon.cli("get").stdout)["type"] == "origin"
    port = json.loads(daemon.cli("get", "Bind/Providers/RTMP/Port", "--json").stdout)
    assert (port["value"], port["xml"]) == ("1935", "<Port>1935</Port>")
    missing = daemon.cli("get", "Bind/Providers/SRT")
    assert (missing.returncode, missing.stdout) == (1, "")
    dry = daemon.cli("set", "Bind/Providers/RTMP/Port=1936", "--dry-run")
    assert "+\t\t\t\t<Port>1936</Port>" in dry.stdout
    assert dry.stderr == "restart server\n"
    assert daemon.text == text_of(daemon)
    done = daemon.cli("set", "Bind/Providers/RTMP/Port=1936", 'Bind/Providers/SRT={"port": 9998}')
    assert done.returncode == 0, done.stderr
    assert daemon.cli("get", "Bind/Providers/SRT/Port").stdout == "9998\n"
    assert daemon.status()["revision"]["head"] == 2
    assert daemon.cli("set", "--unset", "Bind/Providers/SRT").returncode == 0
    assert daemon.cli("set", "Bind/Providers/RTMP/Port=1935").returncode == 0
    assert daemon.text == text_of(daemon)
    same = daemon.cli("set", "Bind/Providers/RTMP/Port=1935")
    assert same.stdout == "revision 4: nothing has changed\n"


EDITS = {"edits": [{"verb": "merge", "path": app_path("app"), "value": {"type": "vod"}}]}
BODIES = {
    "edits": EDITS,
    "merge patch": {"virtualHosts": None, "name": "x"},
    "JSON Patch": [{"op": "add", "path": "/name", "value": "x"}],
    "JSON Patch with a test": [
        {"op": "test", "path": "/type", "value": "origin"},
        {"op": "add", "path": "/name", "value": "x"},
    ],
}


@pytest.mark.long
def test_commit(daemon: Daemon, tmp_path: Path) -> None:
    """Edits, a merge patch, a JSON Patch; from a file or from standard input."""
    name = tmp_path / "patch.json"
    name.write_text(json.dumps({"name": "one"}))
    assert daemon.cli("commit", str(name), "-m", "a file").returncode == 0
    assert daemon.cli("get", "Name").stdout == "one\n"
    for op in BODIES["JSON Patch"], BODIES["JSON Patch with a test"]:
        run = daemon.cli_with({}, "commit", "-", given=json.dumps(op))
        assert run.returncode == 0, run.stderr
    assert daemon.cli("get", "Name").stdout == "x\n"
    edits = {"edits": [{"verb": "set", "path": "/Server/Name", "value": "three"}]}
    dry = daemon.cli_with({}, "commit", "-", "--dry-run", given=json.dumps(edits))
    assert "+\t<Name>three</Name>" in dry.stdout
    armed = daemon.cli_with({}, "commit", "-", "--confirm", "500", given=json.dumps(edits))
    assert "taken back in 500 s unless you say `omeconf confirm`" in armed.stderr
    assert daemon.cli("confirm").returncode == 0
    assert "a file" in daemon.cli("log").stdout


@pytest.mark.long
def test_commit_a_whole_file(daemon: Daemon, tmp_path: Path) -> None:
    """XML takes the place of Server.xml, if nothing changed since the revision it was made from."""
    mine = tmp_path / "mine.xml"
    mine.write_text(daemon.cli("show", "1").stdout.replace(">6<", "><!-- mine -->5<"))
    unsaid = daemon.cli("commit", str(mine))
    assert unsaid.returncode == 2
    assert "needs --base" in unsaid.stderr
    assert daemon.cli("commit", str(mine), "--base", "1").returncode == 0
    assert daemon.text == mine.read_text()
    stale = daemon.cli("commit", str(mine), "--base", "1")
    assert stale.returncode == 4
    assert "revision 1 is not the newest any more: that is 2" in stale.stderr


@pytest.mark.long
def test_what_cannot_be_committed(daemon: Daemon, tmp_path: Path) -> None:
    """What it is, and nothing changes."""
    for given, status, says in (
        ("hello", 2, "neither JSON nor XML"),
        ("", 2, "neither JSON nor XML"),
        ("5", 1, ""),
        ('{"nonsense": 1}', 1, "nonsense"),
        ('{"edits": []}', 1, "the body is"),
        ('{"a": 1, "a": 2}', 1, ""),
    ):
        run = daemon.cli_with({}, "commit", "-", given=given)
        assert (run.returncode, run.stdout) == (status, ""), (given, run.stderr)
        assert says in run.stderr
        assert run.stderr.startswith("omeconf: ")
    assert daemon.cli("commit", str(tmp_path / "none")).returncode == 2
    assert daemon.text == text_of(daemon)
