from __future__ import annotations

import json
import re

import pytest

from omeconf.core.describe import describe, describe_all
from tests.support import schema

LLHLS = "Server/VirtualHosts/VirtualHost/Applications/Application/Publishers/LLHLS"
PROFILE = "Server/VirtualHosts/VirtualHost/Applications/Application/OutputProfiles/OutputProfile"


def test_value() -> None:
    """Type, default, documentation, scope and release of a number come from the XSD."""
    item = schema().items[f"{LLHLS}/SegmentDuration"]
    found = describe(item)
    assert found["path"] == f"/{LLHLS}/SegmentDuration"
    assert (found["name"], found["json"], found["kind"]) == (
        "SegmentDuration", "segmentDuration", "number",
    )  # fmt: skip
    assert (found["default"], found["scope"], found["since"]) == ("10.0", "application", "0.14.0")
    assert found["documentation"] == item.documentation != ""
    assert re.fullmatch(found["pattern"], "4.5")
    assert not re.fullmatch(found["pattern"], "four")


@pytest.mark.parametrize(
    ("path", "facts"),
    [
        (LLHLS, {"kind": "object", "list": False, "words": []}),
        (f"{LLHLS}/SegmentCount", {"kind": "integer", "least": 3, "most": None}),
        (f"{LLHLS}/DVR/Enable", {"kind": "boolean", "reads": "bool", "words": ["true", "false"]}),
        (f"{PROFILE}/Encodes/Video/Preset", {"kind": "choice", "words":
            ["slower", "slow", "medium", "fast", "faster"]}),
        (f"{PROFILE}/Encodes/Video", {"kind": "object", "list": True}),
        (PROFILE, {"list": True, "required": False}),
        (f"{PROFILE}/Name", {"kind": "string", "required": True, "enforced": True}),
        ("Server/Managers/API/AccessToken", {"secret": True, "scope": "server"}),
    ],
    ids=lambda value: value.rpartition("/")[2] if isinstance(value, str) else None,
)  # fmt: skip
def test_facts(path: str, facts: dict[str, object]) -> None:
    """Each fact of the XSD is under its own name."""
    found = describe(schema().items[path])
    assert {key: found[key] for key in facts} == facts


def test_all() -> None:
    """Every element is described, as plain JSON, with children that are described too."""
    found = describe_all(schema().root)
    assert json.loads(json.dumps(found)) == found
    paths = {each["path"] for each in found}
    assert len(paths) == len(found) == len(schema().items)
    for each in found:
        assert set(each) == set(found[0])
        assert {f"{each['path']}/{name}" for name in each["children"]} <= paths
        assert bool(each["children"]) <= (each["kind"] == "object")


def test_deprecated() -> None:
    """What is deprecated says so, and what to use instead is its sibling."""
    found = [each for each in describe_all(schema().root) if each["use"]]
    assert found
    for each in found:
        assert each["deprecated"]
        around = each["path"].rpartition("/")[0]
        assert schema().items[f"{around}/{each['use']}".lstrip("/")].deprecated == ""
