from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from omeconf.core.check import check
from omeconf.core.diff import unified
from omeconf.core.migrate import Migrated, last_release_for, migrate
from omeconf.core.schema import Former, Item
from omeconf.core.snapshot import Snapshot
from omeconf.store.disk import Folder, shipped_schema
from tests.support import SHARED, Memory, around, schema, shared

APPLICATION = "Server/VirtualHosts/VirtualHost/Applications/Application"
ENCODES = f"{APPLICATION}/OutputProfiles/OutputProfile/Encodes"


def take(text: str, files: Mapping[str, str] | None = None) -> Snapshot:
    every = {"Server.xml": text, **(files or {})}
    source = Memory({file: data.encode() for file, data in every.items()})
    return Snapshot.take(source, folder="/etc/ome", env={})


def migrated(text: str, release: str = "0.21", **files: str) -> tuple[Migrated, str]:
    done = migrate(take(text, files), shipped_schema(release))
    return done, done.snapshot.files["Server.xml"].decode()


def formers() -> list[tuple[Item, Former]]:
    return [(item, former) for item in schema().items.values() for former in item.formers]


@pytest.mark.parametrize(("item", "former"), formers(), ids=lambda each: each.name)
def test_every_former_name(item: Item, former: Former) -> None:
    """Whatever was named otherwise is known afterwards, and nothing of it is thrown away."""
    content = "<Video><!-- keep --></Video>" if former.name == "Decode" else "<!-- keep -->7"
    if "/" in former.becomes or former.name in ("FILE", "P2P"):
        content = "<x/><!-- keep -->"
    text = around(item.path, f"<{former.name}>{content}</{former.name}>")
    if former.becomes == "Host":
        text = text.replace("<Host><Names><Name>*</Name></Names></Host>", "")
    done, new = migrated(text)
    assert f"<{former.name}> is not known" not in str(check(done.snapshot, schema()).errors)
    if former.becomes:
        assert item.find(former.becomes)
        assert f"<{former.becomes.rpartition('/')[2]}>{content}" in new
    else:
        assert re.search(rf"<!-- omeconf: .*<{former.name}>.*<!- - keep - ->", new)
    assert [step.file for step in done.steps] == ["Server.xml"]


def test_a_removed_element() -> None:
    """It stands in a comment on the same lines, with the reason; the comments inside are legal."""
    block = (
        "\r\n\t<DASH>\r\n\t\t<!-- a -- or b -->\r\n".replace(" -- or", " - or")
        + "\t\t<SegmentCount><![CDATA[3---]]></SegmentCount>\r\n\t</DASH>\r\n"
    )
    text = around(f"{APPLICATION}/Publishers", block)
    _, new = migrated(text)
    wanted = (
        "\r\n\t<!-- omeconf: removed after 0.16.5, use LLHLS: <DASH>\r\n\t\t<!- - a - or b - ->\r\n"
        "\t\t<SegmentCount><![CDATA[3- - -]]></SegmentCount>\r\n\t</DASH> -->\r\n"
    )
    assert new == text.replace(block, wanted)


def test_it_can_be_taken_back_by_hand() -> None:
    """Undoing the comments by search and replace gives the old bytes."""
    block = "\n\t<LLDASH>\n\t\t<!-- why\n\t\t     not -->\n\t\t<UTCTiming />\n\t</LLDASH>\n"
    text = around(f"{APPLICATION}/Publishers", block)
    _, new = migrated(text)
    back = re.sub(r"<!-- omeconf: [^<]*?: (<.*?>) -->", r"\1", new, flags=re.DOTALL)
    assert back.replace("<!- -", "<!--").replace("- ->", "-->") == text


def test_a_renamed_element() -> None:
    """Only the two names change; where the new name is taken, the old one is commented out."""
    old = "<SessionLoadBalancingThreadCount > 8<!-- eight --></SessionLoadBalancingThreadCount >"
    text = around(f"{APPLICATION}/Publishers", old)
    _, new = migrated(text)
    assert new == text.replace("SessionLoadBalancingThreadCount", "AppWorkerCount")
    both = around(f"{APPLICATION}/Publishers", f"<AppWorkerCount>2</AppWorkerCount>{old}")
    done, new = migrated(both)
    assert [step.verb for step in done.steps] == ["removed"]
    assert "AppWorkerCount is there already: <SessionLoad" in new


def test_a_renamed_element_and_what_it_holds() -> None:
    """Decode became Decodes, and inside it HWAcceleration became HardwareAcceleration."""
    old = "<Decode><Video><HWAcceleration>true</HWAcceleration></Video></Decode>"
    done, new = migrated(around(APPLICATION, old))
    assert "<Decodes><Video><HardwareAcceleration>true</HardwareAcceleration></Video>" in new
    assert [step.verb for step in done.steps] == ["renamed", "renamed"]


def test_a_moved_element() -> None:
    """It takes its comments along, into what is there or into what is made for it."""
    p2p = "<P2P>\n\t\t<MaxClientPeersPerHostPeer>2</MaxClientPeersPerHostPeer>\n\t</P2P>"
    lead = '<Server version="8">\n\t<Type>origin</Type>\n\t<IP>*</IP>\n\t<Bind/>\n'
    _, new = migrated(f"{lead}\t<!-- peers -->\n\t{p2p}\n</Server>\n")
    assert new == (
        f"{lead}\t<Modules>\n\t\t<!-- peers -->\n"
        "\t\t<P2P>\n\t\t\t<MaxClientPeersPerHostPeer>2</MaxClientPeersPerHostPeer>\n\t\t</P2P>\n"
        "\t</Modules>\n</Server>\n"
    )
    modules = "\t<Modules>\n\t\t<HTTP2/>\n\t</Modules>\n"
    _, new = migrated(f"{lead}\t{p2p}\n{modules}</Server>\n")
    assert new == (
        f"{lead}\t<Modules>\n\t\t<HTTP2/>\n"
        "\t\t<P2P>\n\t\t\t<MaxClientPeersPerHostPeer>2</MaxClientPeersPerHostPeer>\n\t\t</P2P>\n"
        "\t</Modules>\n</Server>\n"
    )
    done, _ = migrated(f"{lead}\t{p2p}\n\t<Modules><P2P/></Modules>\n</Server>\n")
    assert [step.verb for step in done.steps] == ["removed"]


def test_what_a_superseded_name_says() -> None:
    """A name that still works is brought up to date where the release knows the new one."""
    force = "<TcpForce>true</TcpForce>"
    text = around("Server/Bind/Publishers/WebRTC/IceCandidates", force)
    assert "<TcpRelayForce>true</TcpRelayForce>" in migrated(text)[1]
    assert migrated(text, "0.20")[1] == text
    both = around("Server/Bind/Publishers/WebRTC/IceCandidates", f"{force}<TcpRelayForce/>")
    assert migrated(both)[1] == both


def test_the_release_decides() -> None:
    """What the release still knows stays."""
    text = around(f"{APPLICATION}/Publishers", "<DASH/>")
    assert migrated(text, "0.16.5")[1] == text
    assert "omeconf: removed after 0.16.5" in migrated(text, "0.16.6")[1]


def test_version_and_macros() -> None:
    """Old versions become 8, and macros with a dot take a colon."""
    text = around("Server", "<Name>${ome.AppHome}/a${ome.CurrentPath}</Name>")
    done, new = migrated(text.replace('version="8"', "a='\"' version='7'"))
    assert new.startswith("<Server a='\"' version='8'>")
    assert "<Name>${ome:Home}/a${ome:CurrentPath}</Name>" in new
    assert [step.verb for step in done.steps] == ["changed"] * 3


def test_what_is_left_alone() -> None:
    """Ignored elements, and those that no release ever knew."""
    text = around("Server", '<P2P ignore="true"/><Peer2Peer/><!-- <P2P/> -->')
    assert migrated(text)[1] == text


def test_included_files() -> None:
    """They are migrated where they lie; what lies outside of the folder is only told."""
    text = around("Server", '<VirtualHosts include="hosts.xml"/><P2P include="/srv/p2p.xml"/>')
    hosts = "<VirtualHosts><VirtualHost><Name>v</Name><SignedToken/></VirtualHost></VirtualHosts>"
    done, _ = migrated(text, **{"hosts.xml": hosts})
    assert "<!-- omeconf: removed after 0.16.6" in done.snapshot.files["hosts.xml"].decode()
    outside = around("Server", '<VirtualHosts include="/srv/hosts.xml"/>')
    snapshot = take(outside, {"/srv/hosts.xml": hosts})
    done = migrate(snapshot, schema())
    assert done.snapshot.files == snapshot.files
    assert [step.verb for step in done.steps] == ["left"]


def test_the_last_release() -> None:
    """The newest release that knows every former name of a file."""
    publishers = f"{APPLICATION}/Publishers"
    assert last_release_for(take(around(publishers, "<DASH/>")), schema()) == "0.16.5"
    both = take(around(publishers, "<DASH/><SessionLoadBalancingThreadCount/>"))
    assert last_release_for(both, schema()) == "0.12.2"
    assert last_release_for(take(around(publishers, "<HLS/>")), schema()) == ""


def examples() -> list[str]:
    found = sorted((SHARED / "examples-ome").glob("v*.xml"))
    return [path.name for path in found if "Logger" not in path.name]


@pytest.mark.parametrize("name", examples())
def test_the_engines_own_examples(name: str) -> None:
    """Migrated, the engine's example of every release from 0.12 on loads in 0.21."""
    folder = Folder(shared("examples-ome"))
    snapshot = Snapshot.take(folder, main=name, folder=str(folder.path), env={})
    done = migrate(snapshot, schema())
    errors = check(done.snapshot, schema()).errors
    if name == "v0.12.3_Server.xml":
        assert [error.code for error in errors] == ["not-well-formed"]
        return
    assert errors == ()
    assert migrate(done.snapshot, schema()).steps == ()
    lines = [len(each.files[name].splitlines()) for each in (snapshot, done.snapshot)]
    assert lines[0] == lines[1]
    assert bool(unified(snapshot, done.snapshot)) == bool(done.steps)
