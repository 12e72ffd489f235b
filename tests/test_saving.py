"""No manual edit is missed: the real daemon, every way of saving, and what may befall a folder.

But where it says so, the daemon looks by itself only every ten minutes: what is found, is found by
its events.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.saving import WAYS, Way
from tests.support import EXAMPLES
from tests.support.daemon import Daemon, wait_for
from tests.test_places import mounted
from tests.torture import cannot_run, need_commands

EXAMPLE = (EXAMPLES / "origin/Server.xml").read_text().replace("<Port>8081<", "<Port>@PORT@<")
COUNT = re.compile(r"<SegmentCount>\d+</SegmentCount>")
HEARING = "[watch]\nsettle_s = 0.05\nlook_every_s = 600.0\nvanished_s = 600.0\n"
LOOKING = "[watch]\nsettle_s = 0.05\nlook_every_s = 0.2\n"
HOST = """<VirtualHost>
	<Name>{0}</Name>
	<Host><Names><Name>{0}.example</Name></Names></Host>
</VirtualHost>
"""


def changed(text: str, count: int) -> str:
    """The text with another value; as long as before for two digits."""
    return COUNT.sub(f"<SegmentCount>{count}</SegmentCount>", text, count=1)


def number(daemon: Daemon) -> int:
    """The newest revision."""
    return int(daemon.status()["revision"]["head"])


def is_adopted(daemon: Daemon, text: str, after: int) -> bool:
    """Whether a text is the newest revision, made after another."""
    found = daemon.get("/omeconf/v1/revisions?limit=1")["revisions"][0]
    if found["number"] <= after or found["origin"] != "file":
        return False
    files = daemon.get(f"/omeconf/v1/revisions/{found['number']}")["files"]
    return bool(files["Server.xml"] == text)


def saves(daemon: Daemon, way: Way, count: int) -> None:
    """Save in a way, and wait until that is a revision, the only new one."""
    before, text = number(daemon), changed(daemon.text, count)
    assert text != daemon.text
    way.save(daemon.server_xml, text)
    assert daemon.text == text, "the way does not save what it should"
    wait_for(lambda: is_adopted(daemon, text, before), f"what was saved: {way.name}")
    assert number(daemon) == before + 1


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("saving"), EXAMPLE, settings=HEARING) as daemon:
        yield daemon


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way(daemon: Daemon, way: Way) -> None:
    """Each is taken up, and so is the next by the same way."""
    if way.command:
        need_commands(way.command)
    for count in (11, 12):
        saves(daemon, way, count)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_saves_in_all_ways(tmp_path: Path) -> None:
    """Three hundred, one upon the other, with edits over the API in between."""
    need_commands(*{way.command for way in WAYS if way.command})
    chance = random.Random(1)
    with Daemon(tmp_path, EXAMPLE, settings=HEARING) as daemon:
        for count in range(300):
            saves(daemon, chance.choice(WAYS), 10 + count % 80)
            if count % 3 == 0:
                body = {"publishers": {"llhls": {"segmentDuration": 2 + count % 7}}}
                for _ in range(chance.randint(1, 4)):
                    assert daemon.call("PATCH", "/v1/vhosts/default/apps/app", body).status == 200


def test_a_folder_replaced_by_another(tmp_path: Path) -> None:
    """The folder is renamed, and another takes its name: that one counts from then on."""
    with Daemon(tmp_path, EXAMPLE, settings=HEARING) as daemon:
        for count in (11, 12, 13):
            text, before = changed(daemon.text, count), number(daemon)
            other = tmp_path / "other"
            other.mkdir()
            (other / "Server.xml").write_text(text)
            daemon.conf.rename(tmp_path / f"old{count}")
            other.rename(daemon.conf)
            wait_for(lambda t=text, b=before: is_adopted(daemon, t, b), "the other folder")  # type: ignore[misc]
            saves(daemon, WAYS[0], count + 10)


def test_a_folder_deleted_and_made_again(tmp_path: Path) -> None:
    """While it is gone nothing is taken up; what is there when it is back, is."""
    with Daemon(tmp_path, EXAMPLE, settings=HEARING) as daemon:
        text = changed(daemon.text, 11)
        shutil.rmtree(daemon.conf)
        wait_for(lambda: daemon.status()["missing"], "the folder to be missed")
        daemon.conf.mkdir()
        daemon.server_xml.write_text(text)
        wait_for(lambda: is_adopted(daemon, text, 1), "the folder that is back")
        saves(daemon, WAYS[0], 12)


def test_an_include_folder_that_appears_later(tmp_path: Path) -> None:
    """A folder that is named before it exists is watched as soon as it does."""
    text = EXAMPLE.replace(
        "<VirtualHosts>", '<VirtualHosts>\n\t\t<VirtualHost include="later/on/*.xml" />', 1
    )
    with Daemon(tmp_path, EXAMPLE, settings=HEARING) as daemon:
        daemon.write(text.replace("@PORT@", str(daemon.port)))
        wait_for(lambda: daemon.status()["drift"], "the folder to be missed")
        folder = daemon.conf / "later/on"
        folder.mkdir(parents=True)
        (folder / "a.xml").write_text(HOST.format("one"))
        wait_for(lambda: "one" in daemon.get("/v1/vhosts"), "the first virtual host")
        (folder / "b.xml").write_text(HOST.format("two"))
        wait_for(lambda: "two" in daemon.get("/v1/vhosts"), "the second one")
        (folder / "a.xml").write_text(HOST.format("three"))
        wait_for(lambda: "three" in daemon.get("/v1/vhosts"), "the first one with another name")


def test_a_config_map(tmp_path: Path) -> None:
    """Kubernetes exchanges a link to a folder; nothing named Server.xml changes there."""
    daemon = Daemon(tmp_path, EXAMPLE, settings=HEARING)
    text = daemon.text

    def publish(version: str, text: str) -> None:
        (daemon.conf / version).mkdir()
        (daemon.conf / version / "Server.xml").write_text(text)
        (daemon.conf / "..data_tmp").symlink_to(version)
        (daemon.conf / "..data_tmp").rename(daemon.conf / "..data")

    daemon.server_xml.unlink()
    publish("..v0", text)
    daemon.server_xml.symlink_to("..data/Server.xml")
    with daemon:
        for count in (11, 12, 13):
            text, before = changed(text, count), number(daemon)
            publish(f"..v{count}", text)
            wait_for(lambda t=text, b=before: is_adopted(daemon, t, b), "the next version")  # type: ignore[misc]


def test_a_file_mounted_by_itself(tmp_path: Path) -> None:
    """As containers do it. What is written to it outside makes no event in the folder it is
    mounted in, but one of the file; with a hard link to it, too.
    """
    daemon = Daemon(tmp_path, EXAMPLE, settings=HEARING)
    outside = tmp_path / "outside.xml"
    shutil.copy(daemon.server_xml, outside)
    with mounted("--bind", str(outside), str(daemon.server_xml)), daemon:
        for count in (11, 12):
            text, before = changed(daemon.text, count), number(daemon)
            outside.write_text(text)
            wait_for(lambda t=text, b=before: is_adopted(daemon, t, b), "the edit outside")  # type: ignore[misc]


def test_a_folder_mounted_over(tmp_path: Path) -> None:
    """Nothing tells of that: a look finds it, and what is saved there is heard of again."""
    with Daemon(tmp_path, EXAMPLE, settings=LOOKING) as daemon:
        text = changed(daemon.text, 11)
        other = tmp_path / "other"
        other.mkdir()
        (other / "Server.xml").write_text(text)
        with mounted("--bind", str(other), str(daemon.conf)):
            wait_for(lambda: is_adopted(daemon, text, 1), "what was mounted")
            saves(daemon, WAYS[0], 12)
        daemon.stop()


LIMITS = ("max_inotify_instances", "max_inotify_watches")


@pytest.mark.parametrize("limit", LIMITS)
def test_no_inotify_left(tmp_path: Path, limit: str) -> None:
    """Looks find each edit, the log says so once; events are heard when there is some again."""
    file = f"/proc/sys/user/{limit}"
    in_own_limits = ["unshare", "--user", "--map-root-user"]
    none = f"echo 0 > {file}"
    try:
        can = subprocess.run([*in_own_limits, "sh", "-c", none], capture_output=True, check=False)
    except OSError:
        can = None
    if can is None or can.returncode:
        cannot_run("limits of our own need a user namespace")
    daemon = Daemon(tmp_path, EXAMPLE, settings=LOOKING)
    daemon.wrapped = [*in_own_limits, "sh", "-c", f'{none} && exec "$@"', "sh"]
    with daemon:
        wait_for(lambda: "Cannot watch, so looking every 0.2 s" in daemon.log, "the complaint")
        for count, way in enumerate(WAYS[:8:3], 11):
            saves(daemon, way, count)
        assert daemon.log.count("Cannot watch") == 1
        assert daemon.process is not None
        enter = ["nsenter", "--target", str(daemon.process.pid), "--user", "--preserve-credentials"]
        subprocess.run([*enter, "sh", "-c", f"echo 99 > {file}"], check=True)
        wait_for(lambda: "watching again" in daemon.log, "events")
        saves(daemon, WAYS[2], 40)


def test_an_edit_beside_a_storm(tmp_path: Path) -> None:
    """Somebody else writes into the folder without end: an edit is found all the same."""
    with Daemon(tmp_path, EXAMPLE, settings=HEARING) as daemon:
        storm = subprocess.Popen(
            ["sh", "-c", f"while :; do : > {daemon.conf}/noise; done"], stdin=subprocess.DEVNULL
        )
        try:
            for count in (11, 12):
                saves(daemon, WAYS[2], count)
        finally:
            storm.kill()
            storm.wait()
        (daemon.conf / "noise").unlink()
