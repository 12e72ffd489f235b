from __future__ import annotations

import json
import re
from typing import Any

import pytest

from omeconf.core import path
from omeconf.core.document import Document
from omeconf.core.mapping import from_json, merged, to_json
from omeconf.errors import BadBody
from tests.support import EXAMPLES, MINIMAL, schema, shared, tree

APPLICATION = """<Server version="8"><Type>origin</Type><IP>*</IP><Bind/>
<VirtualHosts><VirtualHost><Name>v</Name><Applications>
{}</Applications></VirtualHost></VirtualHosts></Server>"""


def application_json(xml: str) -> Any:
    root = tree(APPLICATION.format(xml))
    (application,) = root.every("VirtualHosts/VirtualHost/Applications/Application")
    return to_json(application)


def written(body: Any) -> str:
    """The XML that a body makes."""
    document = Document(b"<Applications>\n</Applications>")
    node = from_json(schema().application, body).node()
    return document.splice(document.insert(document.root, node)).data.decode()


def worked_examples() -> list[tuple[str, str, str]]:
    text = shared("ome/json.md").read_text()
    return re.findall(
        r"XML\n\n```xml\n(.*?)```.*?```json\n(.*?)```.*?```json\n(.*?)```", text, re.DOTALL
    )


def without_macros(value: Any) -> Any:
    """The examples' typed form with the one macro resolved, as the engine resolves it."""
    if isinstance(value, dict):
        return {key: without_macros(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_macros(each) for each in value]
    return 2 if value == "${env:NOT_SET_W:2}" else value


def test_worked_examples() -> None:
    """The six examples that a real engine gave: typed out, and both forms in are the same."""
    examples = worked_examples()
    assert len(examples) == 6
    for xml, strings, typed in examples:
        assert without_macros(application_json(xml)) == json.loads(typed)
        assert application_json(
            written(json.loads(typed)).partition("\n")[2].rpartition("\n")[0]
        ) == json.loads(typed)
        by_strings = written(json.loads(strings)).replace("${env:NOT_SET_W:2}", "2")
        assert by_strings == written(json.loads(typed))


def test_every_json_path() -> None:
    """Each JSON path that the engine was probed for leads to the element it led to there."""
    lines = shared("ome/json-keys-0.21.tsv").read_text().splitlines()[1:]
    assert len(lines) > 450
    for line in lines:
        keys, xml = line.split("\t")[:2]
        item = schema().virtual_host
        for key in keys.replace("[]", "").split("."):
            flat = item.flat_child
            if flat is not None and item.by_json(key) is None:
                item = flat
            found = item.by_json(key)
            assert found is not None, (keys, key)
            item = found
        names = re.sub(r"\[.*?\]", "", xml).strip("/").split("/")
        if item.flat_child is not None and names[-1] != item.name:
            item = item.flat_child
        assert item.path.split("/")[-len(names) :] == names, keys


def test_scalars_leave_typed() -> None:
    """A clean literal is a number or boolean; anything else stays the text it is."""
    inside = {
        "<LLHLS><SegmentCount>4abc</SegmentCount></LLHLS>": {"llhls": {"segmentCount": "4abc"}},
        "<LLHLS><SegmentCount> 4</SegmentCount></LLHLS>": {"llhls": {"segmentCount": " 4"}},
        "<LLHLS><SegmentCount>04</SegmentCount></LLHLS>": {"llhls": {"segmentCount": 4}},
        "<LLHLS><ChunkDuration>0.5</ChunkDuration></LLHLS>": {"llhls": {"chunkDuration": 0.5}},
        "<HLS><OriginMode>TRUE</OriginMode></HLS>": {"hls": {"originMode": True}},
        "<HLS><OriginMode>yes</OriginMode></HLS>": {"hls": {"originMode": "yes"}},
        "<AppWorkerCount>${env:A:2}</AppWorkerCount>": {"appWorkerCount": "${env:A:2}"},
        "<OVT />": {"ovt": {}},
    }
    for xml, wanted in inside.items():
        body = f"<Application><Name>a</Name><Type>live</Type><Publishers>{xml}</Publishers>"
        assert application_json(f"{body}</Application>")["publishers"] == wanted


def test_empty_list_items_are_null() -> None:
    """An object in a list without children is null, as the engine shows it; and back."""
    xml = "<Name>a</Name><Type>live</Type><OutputProfiles><OutputProfile><Name>p</Name>"
    xml += "<OutputStreamName>o</OutputStreamName><Encodes><Image/></Encodes>"
    found = application_json(f"<Application>{xml}</OutputProfile></OutputProfiles></Application>")
    assert found["outputProfiles"]["outputProfile"][0]["encodes"] == {"images": [None]}
    assert "<Image />" in written(found)


REFUSED = {
    "unknown": ({"foo": 1}, "Unknown item found: application.foo"),
    "case": ({"Providers": {}}, "Unknown item found: application.Providers"),
    "deep": ({"providers": {"rtmp": {"x": 1}}}, "Unknown item found: application.providers.rtmp.x"),
    "in a list": (
        {"outputProfiles": {"outputProfile": [{"encodes": {"video": []}}]}},
        "outputProfile.name is not optional"),
    "no type": ({"type": None}, "application.type is not optional"),
    "no array": ({"outputProfiles": {"outputProfile": {}}}, "outputProfile is not an array"),
    "not a list": (
        {"outputProfiles": {"outputProfile": {}}}, "Child outputProfile is not an array"),
    "scalar object": ({"publishers": 5}, "application.publishers is not an object"),
    "attributes": ({"$": {"include": "/etc/passwd"}}, '"$" is not allowed'),
    "fraction": ({"publishers": {"appWorkerCount": 2.7}}, "must be a whole number"),
    "bool as int": ({"publishers": {"appWorkerCount": True}}, "must be a whole number"),
    "object as int": ({"publishers": {"appWorkerCount": {}}}, "must be a whole number"),
    "number as bool": ({"publishers": {"llhls": {"originMode": 2}}}, "must be true or false"),
    "object as text": ({"name": {"a": 1}}, "must be a string"),
    "hidden secret": ({"transcodeWebhook": {"secretKey": "***"}}, "stands for a secret"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "words"), REFUSED.values(), ids=REFUSED)
def test_refused_bodies(body: dict[str, Any], words: str) -> None:
    """What does not fit is refused in the engine's words, or in ours where it is lenient."""
    with pytest.raises(BadBody, match=re.escape(words)):
        from_json(schema().application, {"name": "a", "type": "live", **body})


def test_lossless_conversions() -> None:
    """Strings and typed scalars make the same element where nothing is lost."""
    one = {"publishers": {"appWorkerCount": 3, "llhls": {"originMode": True, "segmentCount": 5.0}}}
    two = {"publishers": {"appWorkerCount": "3",
                          "llhls": {"originMode": "true", "segmentCount": "5"}}}  # fmt: skip
    base = {"name": 7, "type": "live"}
    assert written({**base, **one}) == written({**base, "name": "7", **two})


def test_flat_wrappers_take_both_forms() -> None:
    """names may be an array, or an object with the inner name."""
    item = schema().virtual_host
    short = {"name": "v", "host": {"names": ["a", "b"]}}
    long = {"name": "v", "host": {"names": {"name": ["a", "b"]}}}
    assert from_json(item, short).node() == from_json(item, long).node()


def test_secrets_can_be_hidden() -> None:
    """Who may only read sees *** for every secret."""
    policy = "<SignedPolicy><SecretKey>s3cret</SecretKey></SignedPolicy>"
    root = tree(MINIMAL.replace("<Applications>", f"{policy}<Applications>"))
    host = root.find(path.virtual_host("default"))
    assert to_json(host)["signedPolicy"] == {"secretKey": "s3cret"}
    assert to_json(host, hide_secrets=True)["signedPolicy"] == {"secretKey": "***"}


def test_merge_patch() -> None:
    """Objects are merged, null removes, everything else replaces (RFC 7396)."""
    current = {"a": {"b": 1, "c": 2}, "d": [1, 2]}
    assert merged(current, {"a": {"b": None, "e": {"f": None}}, "d": [3]}) == {
        "a": {"c": 2, "e": {}},
        "d": [3],
    }


def test_round_trip_of_the_example() -> None:
    """Every application of the example: to JSON, to XML, and to the same JSON again."""
    root = tree((EXAMPLES / "origin/Server.xml").read_bytes())
    for application in root.every("VirtualHosts/VirtualHost/Applications/Application"):
        body = to_json(application)
        again = written(body).partition("\n")[2].rpartition("\n")[0]
        assert application_json(again) == body
