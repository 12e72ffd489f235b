from __future__ import annotations

import pytest

from omeconf.core.lookup import find, in_other_releases, json_path, nearest
from omeconf.store.disk import shipped_schema
from tests.support import schema

LLHLS = "Server/VirtualHosts/VirtualHost/Applications/Application/Publishers/LLHLS"


@pytest.mark.parametrize(
    "text",
    [
        "Application/Publishers/LLHLS/SegmentDuration",
        "publishers.llhls.segmentDuration",
        "PUBLISHERS/llhls/segmentduration/",
        f"/{LLHLS}/SegmentDuration",
        f'/{LLHLS}/SegmentDuration'.replace("/VirtualHost/", '/VirtualHost[Name="a/b.c]"]/'),
        f'/{LLHLS}/SegmentDuration'.replace("/Application/", '/Application[2]/'),
    ],
)  # fmt: skip
def test_ways_to_write_one(text: str) -> None:
    """Any tail of a path, in XML or JSON names, in any case, with keys or without."""
    (found,) = find(schema(), text)
    assert found.path == f"{LLHLS}/SegmentDuration"


def test_every_path_finds_itself() -> None:
    """A whole path is never ambiguous, though it may be the tail of others."""
    for path, item in schema().items.items():
        assert find(schema(), path) == [item]


def test_several_and_none() -> None:
    """All that end so, in order; nothing for what nothing ends with."""
    found = [item.path for item in find(schema(), "llhls")]
    assert found == ["Server/Bind/Publishers/LLHLS", "Server/Modules/LLHLS", LLHLS]
    for text in ("", "/", "LHLS", "Bind/LLHLS"):
        assert find(schema(), text) == []


def test_json_path() -> None:
    """From the application down, as in a body of the API; a list stands for its wrapper."""
    items = schema().items
    assert json_path(items[f"{LLHLS}/SegmentDuration"]) == "publishers.llhls.segmentDuration"
    assert json_path(items["Server/VirtualHosts/VirtualHost/Host/Names/Name"]) == "host.names"
    assert json_path(items["Server/Bind/Providers/RTMP/Port"]) == "bind.providers.rtmp.port"
    assert json_path(items["Server"]) == ""


def test_nearest() -> None:
    """A slip is forgiven, in XML and in JSON names; nonsense is like nothing."""
    assert f"{LLHLS}/SegmentDuration" in nearest(schema(), "SegmentDuraton")
    assert f"{LLHLS}/SegmentDuration" in nearest(schema(), "publishers.lhls.segmentDuration")
    assert nearest(schema(), "Application/Publishers/LHLS")[0] == LLHLS
    assert nearest(schema(), "qqqqqq") == []


def test_other_releases() -> None:
    """What was, until when and what is used now; what is to come, since when; else nothing."""
    dash = in_other_releases(schema(), "Application/Publishers/DASH")
    assert [(each.until, each.use) for each in dash] == [("0.16.5", "LLHLS")]
    assert [
        each.until for each in in_other_releases(schema(), "application/publishers/dash/x")
    ] == ["0.16.5"]
    alert = in_other_releases(shipped_schema("0.14"), "Alert/Url")
    assert [(each.path, each.since) for each in alert] == [("Server/Alert", "0.15.11")]
    assert in_other_releases(shipped_schema("0.16.5"), "Application/Publishers/DASH") == []
    assert in_other_releases(schema(), "OutputProfile/Encodes/Nonsense") == []
    assert in_other_releases(schema(), "Nonsense") == []
