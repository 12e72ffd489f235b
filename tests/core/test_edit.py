from __future__ import annotations

import difflib
from typing import Any

import pytest

from omeconf.core import path
from omeconf.core.check import Checked, check
from omeconf.core.edit import Edit, Verb, apply
from omeconf.core.mapping import to_json
from omeconf.errors import AlreadyExists, BadBody, Conflict, NotFound, ReadOnly
from tests.support import EXAMPLES, MINIMAL, checked, schema

APP = path.application("default", "app")
ORIGIN = (EXAMPLES / "origin/Server.xml").read_text()


def edited(found: Checked, verb: Verb, where: path.Path, value: Any = None) -> Checked:
    assert found.root is not None
    return check(apply(found.snapshot, found.root, Edit(verb, where, value)), schema())


def text(found: Checked, file: str = "Server.xml") -> str:
    return found.snapshot.files[file].decode()


def changed_lines(before: Checked, after: Checked) -> list[str]:
    """Lines taken away and added, without their indentation."""
    lines = difflib.ndiff(text(before).splitlines(), text(after).splitlines())
    return [line[0] + line[2:].strip() for line in lines if line[0] in "+-"]


def json_of(found: Checked, where: path.Path = APP) -> Any:
    assert found.root is not None
    return to_json(found.root.find(where))


def test_merge_changes_exactly_the_line() -> None:
    """One value of one application: one line of the file, and all else byte for byte."""
    before = checked(ORIGIN)
    after = edited(before, Verb.MERGE, APP, {"publishers": {"llhls": {"segmentDuration": 4}}})
    assert changed_lines(before, after) == [
        "-<SegmentDuration>6</SegmentDuration>",
        "+<SegmentDuration>4</SegmentDuration>",
    ]


def test_equal_values_change_nothing() -> None:
    """The same value, in whatever JSON type, changes no byte; nor does the whole JSON again."""
    before = checked(ORIGIN.replace("<SegmentCount>8<", "<SegmentCount>08<"))
    for same in ({"segmentCount": 8}, {"segmentDuration": 6.0}, {"segmentDuration": "6"}):
        after = edited(before, Verb.MERGE, APP, {"publishers": {"llhls": same}})
        assert after.snapshot is before.snapshot
    assert edited(before, Verb.REPLACE, APP, json_of(before)).snapshot is before.snapshot


def test_create_without_a_key() -> None:
    """The path may leave the name to the body; a list without names gets one more."""
    before = checked(MINIMAL)
    hosts = path.Path.parse("/Server/VirtualHosts/VirtualHost")
    after = edited(before, Verb.CREATE, hosts, {"name": "b", "host": {"names": ["b"]}})
    assert after.is_good, after.errors
    assert json_of(after, path.virtual_host("b"))["host"] == {"names": ["b"]}
    with pytest.raises(AlreadyExists):
        edited(after, Verb.CREATE, hosts, {"name": "b", "host": {"names": ["c"]}})
    name = path.virtual_host("b") / "Host" / "Names" / "Name"
    more = edited(after, Verb.CREATE, name, "c")
    assert json_of(more, path.virtual_host("b"))["host"] == {"names": ["b", "c"]}
    with pytest.raises(BadBody, match="no Nonsense in Server/VirtualHosts"):
        edited(before, Verb.CREATE, hosts.parent / "Nonsense", {})


def test_null_removes() -> None:
    """A member set to null goes, with its lines; what was beside it stays."""
    before = checked(ORIGIN)
    after = edited(before, Verb.MERGE, APP, {"publishers": {"llhls": {"dvr": None}}})
    removed = changed_lines(before, after)
    assert removed[0] == "-<DVR>"
    assert removed[-1] == "-</DVR>"
    assert "dvr" not in json_of(after)["publishers"]["llhls"]


def test_null_removes_the_hidden_twin_too() -> None:
    """Where an element stands twice, removing it must not bring the second to life."""
    twice = MINIMAL.replace("<LLHLS>", "<OVT/>\n\t\t\t\t\t\t<OVT/>\n\t\t\t\t\t\t<LLHLS>")
    after = edited(checked(twice), Verb.MERGE, APP, {"publishers": {"ovt": None}})
    assert text(after) == MINIMAL


def test_create_and_delete() -> None:
    """A new application is written behind the last; deleted, the file is as before."""
    before = checked(ORIGIN)
    where = path.application("studio", "new")
    body = {"name": "new", "type": "live", "publishers": {"llhls": {"segmentDuration": 4}}}
    after = edited(before, Verb.CREATE, where, body)
    assert json_of(after, where) == body
    assert all(line.startswith("+") for line in changed_lines(before, after))
    assert edited(after, Verb.DELETE, where).snapshot.digest == before.snapshot.digest


def test_create_writes_missing_wrappers() -> None:
    """The first application of a virtual host brings its Applications element."""
    bare = MINIMAL[: MINIMAL.index("\t\t\t<Applications>")] + "\t\t</VirtualHost>\n"
    bare += "\t</VirtualHosts>\n</Server>\n"
    after = edited(checked(bare), Verb.CREATE, APP, {"name": "app", "type": "live"})
    assert (
        "</Host>\n\t\t\t<Applications>\n\t\t\t\t<Application>\n"
        "\t\t\t\t\t<Name>app</Name>\n" in text(after)
    )


def test_refusals() -> None:
    """What is not there, what is there already, and what does not fit."""
    found = checked(MINIMAL)
    with pytest.raises(NotFound, match="cannot find Application"):
        edited(found, Verb.MERGE, path.application("default", "no"), {})
    with pytest.raises(NotFound, match="cannot find VirtualHost"):
        edited(found, Verb.CREATE, path.application("no", "x"), {"name": "x", "type": "live"})
    with pytest.raises(AlreadyExists):
        edited(found, Verb.CREATE, APP, {"name": "app", "type": "live"})
    with pytest.raises(BadBody, match=r"application\.type is not optional"):
        edited(found, Verb.REPLACE, APP, {"name": "app"})


def test_lists_are_matched_by_name() -> None:
    """Reordered items take their comments along; a changed one changes only its line."""
    before = checked(ORIGIN)
    profiles = json_of(before)["outputProfiles"]["outputProfile"]
    body = {**json_of(before)}
    body["outputProfiles"] = {**body["outputProfiles"], "outputProfile": profiles[::-1]}
    after = edited(before, Verb.REPLACE, APP, body)
    assert json_of(after) == body
    comments = [line for line in text(before).splitlines() if "<!--" in line]
    assert sorted(comments) == sorted(line for line in text(after).splitlines() if "<!--" in line)
    back = edited(after, Verb.REPLACE, APP, json_of(before))
    assert json_of(back) == json_of(before)


def test_one_value_inside_a_named_item() -> None:
    """An encode is found by its name, not by its place."""
    before = checked(ORIGIN)
    body = json_of(before)
    videos = body["outputProfiles"]["outputProfile"][1]["encodes"]["videos"]
    next(v for v in videos if v["name"] == "v480")["bitrate"] = "950k"
    after = edited(before, Verb.REPLACE, APP, body)
    assert changed_lines(before, after) == [
        "-<Bitrate>900k</Bitrate>", "+<Bitrate>950k</Bitrate>",
    ]  # fmt: skip


def test_lists_of_texts() -> None:
    """Texts that stay are not touched; others come and go at their place."""
    urls = "<CrossDomains>\n\t\t\t\t\t\t\t\t<Url>a</Url> <!-- first -->\n"
    urls += "\t\t\t\t\t\t\t\t<Url>b</Url>\n\t\t\t\t\t\t\t</CrossDomains>\n\t\t\t\t\t\t\t"
    before = checked(MINIMAL.replace("<SegmentDuration>", urls + "<SegmentDuration>"))

    def change(*wanted: str) -> list[str]:
        body = {"publishers": {"llhls": {"crossDomains": {"urls": list(wanted)}}}}
        return changed_lines(before, edited(before, Verb.MERGE, APP, body))

    assert change("a", "b", "c") == ["+<Url>c</Url>"]
    assert change("b") == ["-<Url>a</Url> <!-- first -->", "+<!-- first -->"]
    assert change("a", "c", "b") == ["+<Url>c</Url>"]


FILES = {
    "VHost1.xml": """<VirtualHost>
  <Name>one</Name>
  <Applications>
    <Application>
      <Name>live</Name> <!-- kept -->
      <Type>live</Type>
    </Application>
  </Applications>
</VirtualHost>
"""
}
INCLUDING = MINIMAL.replace(
    "<VirtualHosts>", '<VirtualHosts>\n\t\t<VirtualHost include="VHost*.xml" />'
)


def test_edits_of_included_files() -> None:
    """An edit goes to the file in which the element stands, with that file's indentation."""
    before = checked(INCLUDING, FILES)
    where = path.application("one", "live")
    after = edited(before, Verb.MERGE, where, {"providers": {"rtmp": {}}})
    assert text(after) == text(before)
    assert text(after, "VHost1.xml") == FILES["VHost1.xml"].replace(
        "<Type>live</Type>",
        "<Type>live</Type>\n      <Providers>\n        <RTMP />\n      </Providers>",
    )


def test_what_a_wildcard_includes_cannot_be_deleted() -> None:
    """Only a person can say whether the file, or the include, shall go."""
    found = checked(INCLUDING, FILES)
    with pytest.raises(Conflict, match=r"comes from VHost1.xml.*delete that file by hand"):
        edited(found, Verb.DELETE, path.virtual_host("one"))
    assert edited(found, Verb.DELETE, path.application("one", "live")).is_good


def test_files_outside_are_read_only() -> None:
    """What lies outside the configuration folder is read, never written."""
    found = checked(
        INCLUDING.replace("VHost*.xml", "/srv/v.xml"), {"/srv/v.xml": FILES["VHost1.xml"]}
    )
    with pytest.raises(ReadOnly, match=r"/srv/v\.xml lies outside"):
        edited(found, Verb.MERGE, path.application("one", "live"), {"providers": {"rtmp": {}}})


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_and_final_newline(newline: str) -> None:
    """An edit takes over the line ends of the file, whatever they are."""
    before = checked(MINIMAL.rstrip().replace("\n", newline))
    body: Any = {"providers": {"rtmp": {}, "srt": {}}}
    after = edited(before, Verb.MERGE, APP, body)
    added = text(after).encode()
    assert added.count(b"\n") == added.count(newline.encode())
    assert not added.endswith(b"\n")
    removed = edited(after, Verb.MERGE, APP, {"providers": None})
    assert removed.snapshot.digest == before.snapshot.digest


PROFILES = """<Application>
	<Name>app</Name>
	<Type>live</Type>
	<OutputProfiles>
		<OutputProfile include="a.xml"/> <!-- the first -->
		<OutputProfile>
			<Name>b</Name>
			<OutputStreamName>b</OutputStreamName>
			<Encodes>
				<Video>
					<Bypass>true</Bypass> <!-- as it comes -->
					<!-- ask before touching -->
				</Video>
			</Encodes>
		</OutputProfile>
	</OutputProfiles>
</Application>"""
A_XML = "<OutputProfile><!-- of a --><Name>a</Name><OutputStreamName>a</OutputStreamName>"
A_XML += "</OutputProfile>"


def with_application(xml: str) -> str:
    start, end = MINIMAL.index("<Application>\n"), MINIMAL.index("</Application>\n")
    return MINIMAL[:start] + xml + MINIMAL[end + len("</Application>") :]


def test_an_included_item_moves_with_its_include() -> None:
    """What moves is the line with the include; the file it names stays where it is."""
    before = checked(with_application(PROFILES), {"a.xml": A_XML})
    body = json_of(before)
    body["outputProfiles"]["outputProfile"].reverse()
    after = edited(before, Verb.REPLACE, APP, body)
    assert json_of(after) == body
    assert text(after).count('<OutputProfile include="a.xml"/> <!-- the first -->') == 1
    assert text(after, "a.xml") == A_XML


def test_comments_move_along() -> None:
    """A comment above an item, and one behind it, go where the item goes."""
    urls = "<CrossDomains>\n<!-- about a -->\n<Url>a</Url> <!-- a -->\n\n<Url>b</Url>\n"
    xml = MINIMAL.replace("<LLHLS>", f"<LLHLS>{urls}</CrossDomains>")
    body = {"publishers": {"llhls": {"crossDomains": {"urls": ["b", "a"]}}}}
    after = edited(checked(xml), Verb.MERGE, APP, body)
    assert json_of(after)["publishers"]["llhls"]["crossDomains"]["urls"] == ["b", "a"]
    assert text(after).count("<!-- about a -->\n<Url>a</Url> <!-- a -->\n") == 1


def test_unnamed_items_keep_their_comments() -> None:
    """An item without a name is taken by its place, so only what differs is written."""
    before = checked(with_application(PROFILES), {"a.xml": A_XML})
    body = json_of(before)
    body["outputProfiles"]["outputProfile"][1]["encodes"]["videos"][0] = {
        "codec": "h264", "bitrate": "1M",
    }  # fmt: skip
    after = edited(before, Verb.REPLACE, APP, body)
    assert json_of(after) == body
    assert "<!-- as it comes -->" in text(after)
    assert "<!-- ask before touching -->" in text(after)


def test_a_new_name_is_one_line() -> None:
    """A renamed item is the same item."""
    before = checked(ORIGIN)
    body = json_of(before)
    body["outputProfiles"]["outputProfile"][0]["name"] = "renamed"
    after = edited(before, Verb.REPLACE, APP, body)
    assert changed_lines(before, after) == ["-<Name>source</Name>", "+<Name>renamed</Name>"]


def test_a_file_included_twice_is_not_edited() -> None:
    """The edit of one place would change the other behind the caller's back."""
    include = '<CrossDomains include="c.xml"/>'
    xml = MINIMAL.replace("<LLHLS>", f"<HLS>{include}</HLS><LLHLS>{include}")
    found = checked(xml, {"c.xml": "<CrossDomains><Url>a</Url></CrossDomains>"})
    with pytest.raises(Conflict, match=r"c\.xml is included in 2 places .*HLS/CrossDomains"):
        edited(found, Verb.MERGE, APP, {"publishers": {"llhls": {"crossDomains": {"urls": ["b"]}}}})


def test_places_in_paths() -> None:
    """An item without a Name is addressed by its place; a name must be that of the path."""
    xml = "<Subtitles><Rendition><Label>x</Label><Language>en</Language></Rendition>"
    xml += "<Rendition><Label>y</Label><Language>fr</Language></Rendition></Subtitles>"
    before = checked(MINIMAL.replace("<Publishers>", f"{xml}<Publishers>", 1))
    where = path.Path.parse(f"{APP}/Subtitles/Rendition[2]/AutoSelect")
    renditions = json_of(edited(before, Verb.CREATE, where, True))["subtitles"]["rendition"]
    assert [r.get("autoSelect") for r in renditions] == [None, True]
    with pytest.raises(BadBody, match='the name is "y", but the path says "x"'):
        edited(before, Verb.CREATE, path.application("default", "x"), {"name": "y", "type": "live"})
