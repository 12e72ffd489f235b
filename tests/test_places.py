"""Where a Server.xml may lie, and how it may be managed: the real daemon on each."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import EXAMPLES
from tests.support.daemon import Daemon, wait_for

EXAMPLE = (EXAMPLES / "origin/Server.xml").read_text().replace("<Port>8081<", "<Port>@PORT@<")
APP = "/v1/vhosts/default/apps/app"
COUNT = "<SegmentCount>8</SegmentCount>"


def segments(count: int) -> object:
    return {"publishers": {"llhls": {"segmentCount": count}}}


@contextmanager
def mounted(*arguments: str) -> Iterator[None]:
    """Something mounted for a while; the last argument is where. Skips where that is refused."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting needs root")
    run = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"mounting is not allowed here: {run.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", arguments[-1]], check=True)


def test_a_file_mounted_by_itself(tmp_path: Path) -> None:
    """As containers do it: edits go into the file in place, and those from outside are seen."""
    daemon = Daemon(tmp_path, EXAMPLE)
    outside = tmp_path / "outside.xml"
    shutil.copy(daemon.server_xml, outside)
    with mounted("--bind", str(outside), str(daemon.server_xml)), daemon:
        assert "written in place, behind a journal" in daemon.log
        answer = daemon.call("PATCH", APP, segments(9))
        assert answer.status == 200, answer.json
        assert "<SegmentCount>9</SegmentCount>" in outside.read_text()
        outside.write_text(outside.read_text().replace("<SegmentCount>9<", "<SegmentCount>7<"))
        wait_for(lambda: daemon.status()["revision"]["head"] == 3, "the edit from outside")
        assert [path.name for path in daemon.conf.iterdir()] == ["Server.xml"]
        assert list((tmp_path / "state/in-place").iterdir()) == []


def test_a_read_only_folder(tmp_path: Path) -> None:
    """The daemon starts, serves, and says why it takes no edits; later it takes them."""
    daemon = Daemon(tmp_path, EXAMPLE)
    with daemon:
        with mounted("--bind", "-o", "ro", str(daemon.conf), str(daemon.conf)):
            daemon.stop()
            daemon.start()
            assert "Read only" in daemon.log
            assert daemon.call("GET", APP).status == 200
            answer = daemon.call("PATCH", APP, segments(9))
            assert answer.status == 503
            assert "read-only file system" in answer.json["message"]
            assert daemon.status()["readOnly"].endswith("is on a read-only file system")
            assert "read only:" in daemon.cli("status").stdout
        assert daemon.call("PATCH", APP, segments(9)).status == 200
        assert daemon.status()["readOnly"] is None


def test_a_config_map(tmp_path: Path) -> None:
    """As Kubernetes does it: a link to a folder that is exchanged; each exchange is an edit."""
    daemon = Daemon(tmp_path, EXAMPLE)
    text = daemon.server_xml.read_text()
    daemon.server_xml.unlink()

    def publish(version: str, text: str) -> None:
        (daemon.conf / version).mkdir()
        (daemon.conf / version / "Server.xml").write_text(text)
        (daemon.conf / "..data_tmp").symlink_to(version)
        (daemon.conf / "..data_tmp").rename(daemon.conf / "..data")

    publish("..v1", text)
    daemon.server_xml.symlink_to("..data/Server.xml")
    with daemon:
        publish("..v2", text.replace(COUNT, "<SegmentCount>7</SegmentCount>"))
        wait_for(lambda: daemon.status()["revision"]["head"] == 2, "the new version")
        shutil.rmtree(daemon.conf / "..v1")
        publish("..v3", text.replace("<SegmentCount>", "<SegmentCuont>", 1))
        wait_for(lambda: daemon.status()["drift"], "the broken version")
        assert daemon.call("GET", APP).response["publishers"]["llhls"]["segmentCount"] == 7
        publish("..v4", text)
        wait_for(lambda: daemon.status()["revision"]["head"] == 3, "the repaired version")
        wait_for(lambda: daemon.calls == ["restart application default/app"] * 2, "both reloads")


def test_includes_are_edited_where_they_lie(tmp_path: Path) -> None:
    """An edit lands in the file of its virtual host, and so does a new application."""
    host = """<VirtualHost>
	<Name>{0}</Name><!-- of {0} -->
	<Host><Names><Name>{0}.example</Name></Names></Host>
	<Applications>
		<Application>
			<Name>app</Name>
			<Type>live</Type>
		</Application>
	</Applications>
</VirtualHost>
"""
    text = EXAMPLE.replace(
        "<VirtualHosts>", '<VirtualHosts>\n\t\t<VirtualHost include="hosts/*.xml" />', 1
    )
    daemon = Daemon(tmp_path, text)
    (daemon.conf / "hosts").mkdir()
    for name in ("one", "two"):
        (daemon.conf / f"hosts/{name}.xml").write_text(host.format(name))
    with daemon:
        main = daemon.text
        apps = [{"name": "new", "type": "live", "providers": {}, "publishers": {},
                 "outputProfiles": {}}]  # fmt: skip
        assert daemon.call("POST", "/v1/vhosts/two/apps", apps).status == 200
        assert daemon.text == main
        assert (daemon.conf / "hosts/one.xml").read_text() == host.format("one")
        two = (daemon.conf / "hosts/two.xml").read_text()
        assert "<Name>new</Name>" in two
        assert "<!-- of two -->" in two
        (daemon.conf / "hosts/three.xml").write_text(host.format("three"))
        wait_for(lambda: "three" in daemon.get("/v1/vhosts"), "the new virtual host")
        (daemon.conf / "hosts/three.xml").unlink()
        wait_for(lambda: "three" not in daemon.get("/v1/vhosts"), "its end")
        head = daemon.status()["revision"]["head"]
        answer = daemon.call("POST", "/omeconf/v1/rollback", {"revision": head - 1})
        assert answer.status == 200, answer.json
        assert (daemon.conf / "hosts/three.xml").read_text() == host.format("three")
        assert "three" in daemon.get("/v1/vhosts")


def test_rollback_confirm_and_hold(tmp_path: Path) -> None:
    """Over the API and on the command line, with the reloads they bring."""
    with Daemon(tmp_path, EXAMPLE) as daemon:
        before = daemon.text
        answer = daemon.call("PATCH", f"{APP}?confirm=600", segments(9))
        assert (answer.status, answer.headers["omeconf-revision"]) == (200, "2")
        refused = daemon.call("PATCH", APP, segments(7))
        assert refused.status == 409
        assert "confirm it first" in refused.json["message"]
        assert "else back to revision 1" in daemon.cli("status").stdout
        confirmed = daemon.cli("confirm")
        assert confirmed.stdout == "confirmed: everything since revision 1 stays\n"
        assert daemon.cli("confirm").returncode != 0
        rolled = daemon.cli("rollback", "--yes", "1", "-m", "too much")
        assert rolled.stdout.endswith("revision 3: the engine runs it\n")
        assert "too much" in daemon.cli("log").stdout
        assert daemon.text == before
        assert daemon.cli("rollback", "99").returncode != 0
        assert daemon.calls == ["restart application default/app"] * 2
        assert daemon.cli("hold", "git pull").stdout == "held: git pull\n"
        daemon.write(before.replace(COUNT, "<SegmentCount>7</SegmentCount>"))
        assert daemon.call("PATCH", APP, segments(9)).status == 409
        assert "held: git pull" in daemon.cli("status").stdout
        assert daemon.cli("resume").stdout == "resumed: revision 4 is the newest\n"
        answer = daemon.call("PATCH", f"{APP}?confirm=1", segments(9))
        assert answer.status == 200
        begin = time.monotonic()
        wait_for(lambda: "<SegmentCount>7</SegmentCount>" in daemon.text, "the way back")
        assert time.monotonic() - begin > 0.5
        newest = daemon.get("/omeconf/v1/revisions?limit=1")["revisions"][0]
        assert (newest["origin"], newest["reverts"]) == ("rollback", [5])
        for body in ({}, {"revision": "1"}, {"revision": True}, [1]):
            assert daemon.call("POST", "/omeconf/v1/rollback", body).status == 400
        assert daemon.call("PATCH", f"{APP}?confirm=soon", segments(5)).status == 400
