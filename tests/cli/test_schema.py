"""`omeconf schema`, as a user runs it: no daemon is there."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from omeconf.core.describe import describe
from omeconf.store.disk import shipped_xsd
from tests.support import EXAMPLES, schema
from tests.support.daemon import Daemon, omeconf

LLHLS = "Server/VirtualHosts/VirtualHost/Applications/Application/Publishers/LLHLS"


@pytest.mark.long
@pytest.mark.parametrize(("release", "series"), [("0.21", "0.21"), ("0.16.8", "0.21"),
                                                 ("0.12", "0.12")])  # fmt: skip
def test_xsd(release: str, series: str) -> None:
    """The XSD to the byte, so that it can be kept in a file."""
    run = omeconf("schema", "--engine", release)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.encode() == shipped_xsd(series)


def test_json_schema() -> None:
    """With --json, a JSON Schema that a body of the configuration can be held against."""
    run = omeconf("schema", "--json")
    assert run.returncode == 0
    validator = jsonschema.Draft202012Validator(json.loads(run.stdout))
    good = {"type": "origin", "ip": ["*"], "bind": {}}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "bindd": {}})


def test_a_value() -> None:
    """Meaning, type, default, since, JSON name, and what restarts: each on a line of its own."""
    run = omeconf("schema", "publishers.llhls.segmentDuration")
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    assert lines[0] == f"/{LLHLS}/SegmentDuration"
    assert lines[2].startswith("Target length of a segment")
    for line in (
        "  type        number",
        "  default     10.0",
        "  in JSON     publishers.llhls.segmentDuration, in an application",
        "  since       release 0.14.0",
        "  restarts    its application, when it changes",
    ):
        assert line in lines
    assert max(map(len, lines[1:])) <= 80


def test_what_a_daemon_shows(tmp_path: Path) -> None:
    """GET /omeconf/v1/config of the engine's own example is as the JSON Schema says."""
    validator = jsonschema.Draft202012Validator(json.loads(omeconf("schema", "--json").stdout))
    example = (EXAMPLES / "origin/Server.xml").read_text().replace("<Port>8081<", "<Port>@PORT@<")
    with Daemon(tmp_path, example) as daemon:
        shown = daemon.get("/omeconf/v1/config")
    validator.validate(shown)
    shown["virtualHosts"][0]["applications"][0]["publishers"]["lhls"] = {}
    assert not validator.is_valid(shown)


@pytest.mark.long
@pytest.mark.parametrize(
    ("element", "line"),
    [
        ("Video/Preset", "type        slower | slow | medium | fast | faster"),
        ("Server/IP", "type        * | :: | ..., any number of them"),
        ("LLHLS/SegmentCount", "type        whole number from 3"),
        ("LLHLS/DVR/Enable", "type        true or false"),
        ("Ingress/StreamStatus", "type        empty, `<StreamStatus/>`: being there means yes"),
        ("Managers/API/AccessToken", "secret      yes"),
        ("Server", "attribute   version: string"),
        ("VirtualHost/Name", "required    yes"),
        ("Publishers/FILE/StreamMap/Path", "unread"),
    ],
)
def test_facts(element: str, line: str) -> None:
    """What is special about an element is told in words."""
    if line == "unread":
        element = next(item.path for item in schema().items.values() if item.is_unread)
    assert f"\n  {line}" in omeconf("schema", element).stdout


def test_deprecated() -> None:
    """What should not be written says what to write instead."""
    item = next(item for item in schema().items.values() if item.becomes)
    assert f"  deprecated  use {item.becomes}\n" in omeconf("schema", item.path).stdout
    item = next(item for item in schema().items.values() if item.deprecated == "nothing")
    assert "  deprecated  nothing takes its place\n" in omeconf("schema", item.path).stdout


def test_an_object() -> None:
    """All its children in a table: name, type, default, first sentence."""
    shown = omeconf("schema", "Application/Publishers/LLHLS").stdout.splitlines()
    head = next(n for n, line in enumerate(shown) if line.split() == [
        "Element", "Type", "Default", "Meaning"])  # fmt: skip
    names = [line.split()[0] for line in shown[head + 1 :]]
    assert names == list(schema().items[LLHLS].children)
    assert any("SegmentDuration " in line and " 10.0 " in line for line in shown[head:])


@pytest.mark.long
def test_json_of_an_element() -> None:
    """With --json, what core/describe.py says."""
    run = omeconf("schema", "--json", "publishers.llhls.segmentduration")
    assert json.loads(run.stdout) == describe(schema().items[f"{LLHLS}/SegmentDuration"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("LLHLS",), ("write more of the path", "Server/Bind/Publishers/LLHLS", LLHLS)),
        (("SegmentDuraton",), ("did you mean", f"{LLHLS}/SegmentDuration")),
        (("qqqqqq",), ("there is no element qqqqqq",)),
        (("Bind/Publishers/DASH",), ("0.21 has no", "until 0.16.5; now LLHLS")),
        (("--engine", "0.14", "Alert/Url"), ("0.14 has no", "Server/Alert: since 0.15.11")),
        (("--engine", "0.12", "Alert/Url"), ("0.12 has no", "since 0.15.11")),
    ],
    ids=["several", "a slip", "nonsense", "older", "newer", "the next series"],
)
def test_no_such_element(arguments: tuple[str, ...], told: tuple[str, ...]) -> None:
    """Exit status 1, nothing on stdout, and on stderr what to write instead."""
    run = omeconf("schema", *arguments)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("omeconf: ")
    for each in told:
        assert each in run.stderr


def test_a_former_element() -> None:
    """For the release that had it, an element is described as any other."""
    run = omeconf("schema", "--engine", "0.16.5", "Bind/Publishers/DASH")
    assert run.returncode == 0
    assert run.stdout.startswith("/Server/Bind/Publishers/DASH\n")


def test_no_such_release() -> None:
    """Exit status 2, and which there are."""
    run = omeconf("schema", "--engine", "9.9")
    assert run.returncode == 2
    assert "0.12 to 0.21 are known" in run.stderr
