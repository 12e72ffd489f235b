"""The whole job inside the shipped unit, as its own user, with an engine in a unit beside it."""

from __future__ import annotations

import json
import stat

import pytest

from tests.systemd.machine import OMECONF, SETTINGS, Machine, wait_for

pytestmark = pytest.mark.systemd

APP = "/v1/vhosts/default/apps/app"
DURATION = {"publishers": {"llhls": {"segmentDuration": 4}}}


def engine_of(machine: Machine) -> str:
    """What changes with each start of the engine."""
    return machine.show("InvocationID", "ovenmediaengine.service")


def test_ready(machine: Machine) -> None:
    """systemctl enable --now returns when it serves; it runs as its own user."""
    assert machine.show("ActiveState") == "active"
    assert machine.show("User") == "omeconf"
    assert machine.call("GET", "/v1/vhosts").status == 200
    assert machine.call("GET", "/omeconf/v1/health/ready").json["engine"] == "none"
    text = "revision 1 assumed to run; 2 virtual hosts, 4 applications"
    wait_for(lambda: machine.show("StatusText") == text, "the status")


def test_an_edit_restarts_the_engine(machine: Machine) -> None:
    """An edit over the API: into root's file, which stays root's; polkit lets the hook restart."""
    before, inode, engine = machine.server_xml.read_text(), machine.server_xml.stat(), ""
    engine = engine_of(machine)
    assert (inode.st_uid, inode.st_gid) == (0, 0)
    answer = machine.call("PATCH", APP, DURATION)
    assert (answer.status, answer.headers["omeconf-reload"]) == (200, "ok"), answer.json
    after = machine.server_xml.stat()
    expected = before.replace("<SegmentDuration>6<", "<SegmentDuration>4<", 1)
    assert machine.server_xml.read_text() == expected
    assert (after.st_uid, after.st_gid, after.st_mode) == (0, 0, inode.st_mode)
    assert after.st_ino != inode.st_ino, "it was exchanged, not written over"
    assert engine_of(machine) != engine
    assert machine.show("ActiveState") == "active", "the engine's restart did not take us along"
    wait_for(lambda: "revision 2 healthy" in machine.show("StatusText"), "the status")


def test_other_units_stay_out_of_reach(machine: Machine) -> None:
    """The rule of polkit is for the engine alone."""
    for unit in ("systemd-journald.service", "omeconf.service"):
        run = machine.run("runuser", "-u", "omeconf", "--", "systemctl", "restart", unit,
                          check=False)  # fmt: skip
        assert run.returncode != 0, unit
        assert "authentication required" in run.stderr.lower(), run.stderr


def test_edits_by_hand(machine: Machine) -> None:
    """As root with sed, mv and vi: adopted, also when a save gave the file another owner."""
    number = machine.status()["revision"]["head"]
    engine = engine_of(machine)
    machine.run("sed", "-i", "s/<SegmentCount>8</<SegmentCount>9</",
                "/etc/ovenmediaengine/Server.xml")  # fmt: skip
    wait_for(lambda: machine.status()["revision"]["running"] == number + 1, "the manual edit")
    assert engine_of(machine) != engine
    machine.run("sh", "-c", "cd /etc/ovenmediaengine && sed 's/>9<.SegmentC/>7<\\/SegmentC/' "
                "Server.xml > new && chown daemon:games new && mv new Server.xml")  # fmt: skip
    wait_for(lambda: machine.status()["revision"]["running"] == number + 2, "the other save")
    answer = machine.call("PATCH", APP, {"publishers": {"llhls": {"segmentCount": 6}}})
    assert answer.status == 200, answer.json
    found = machine.server_xml.stat()
    assert (found.st_uid, found.st_gid) == (1, 60), "daemon and games, as the save had it"
    machine.run("chown", "root:root", "/etc/ovenmediaengine/Server.xml")


def test_somebody_is_writing(machine: Machine) -> None:
    """Who has root's file open for writing is noticed: nothing is exchanged under his hands."""
    before = machine.server_xml.read_text()
    with machine.server_xml.open("r+b"):
        answer = machine.call("PATCH", APP, {"publishers": {"llhls": {"segmentCount": 4}}})
        assert answer.status == 409, answer.json
        assert "is being written by somebody else" in answer.json["message"]
    assert machine.server_xml.read_text() == before


def test_a_broken_edit_by_hand(machine: Machine) -> None:
    """It is told with its line, everywhere, is not written over, and does not reach the engine."""
    good, engine = machine.server_xml.read_text(), engine_of(machine)
    broken = good.replace("<Providers>", "<Nonsense/><Providers>", 1)
    line = broken[: broken.index("<Nonsense/>")].count("\n") + 1
    machine.server_xml.write_text(broken)
    wait_for(lambda: machine.status()["drift"], "the broken edit to be seen")
    wait_for(
        lambda: f"errors in the files on disk: Server.xml:{line}" in machine.show("StatusText"),
        "the status",
    )
    assert f"Server.xml:{line}:" in machine.log()
    assert machine.call("PATCH", APP, DURATION).status == 409
    reload = machine.systemctl("reload", "omeconf", check=False)
    assert reload.returncode != 0
    assert f"Server.xml:{line}:" in machine.log()
    assert machine.server_xml.read_text() == broken
    assert engine_of(machine) == engine
    machine.server_xml.write_text(good)
    wait_for(lambda: not machine.status()["drift"], "the repair")
    wait_for(lambda: "errors" not in machine.show("StatusText"), "the status")
    machine.systemctl("reload", "omeconf")


def test_a_file_that_only_root_may_read(machine: Machine) -> None:
    """It is told, nothing is written over it, and all goes on when it may be read again."""
    text = machine.server_xml.read_text()
    machine.server_xml.chmod(0o600)
    wait_for(lambda: "ermission denied" in machine.show("StatusText"), "it to be told")
    answer = machine.call("PATCH", APP, {"publishers": {"llhls": {"segmentCount": 4}}})
    assert answer.status in (409, 503), answer.json
    assert machine.server_xml.read_text() == text
    machine.server_xml.chmod(0o644)
    wait_for(lambda: "denied" not in machine.show("StatusText"), "the end of it")
    assert machine.call("PATCH", APP, {"publishers": {"llhls": {"segmentCount": 4}}}).status == 200


def test_rollback(machine: Machine) -> None:
    """`omeconf rollback` as root, over the socket: an old state again, and the engine with it."""
    engine = engine_of(machine)
    machine.omeconf("rollback", "--yes", "1")
    wait_for(machine.is_quiet, "the reload")
    assert "<SegmentDuration>6<" in machine.server_xml.read_text()
    assert engine_of(machine) != engine


def test_a_failing_hook_takes_the_edit_back(machine: Machine) -> None:
    """An engine that does not start is a failed reload: 502, and the file as before."""
    before = machine.server_xml.read_text()
    fails = "ovenmediaengine.service", "fails.conf"
    machine.drop_in("[Service]\nExecStartPre=/bin/false\n", *fails)
    answer = machine.call("PATCH", APP, DURATION)
    assert answer.status == 502, answer.json
    assert machine.server_xml.read_text() == before
    machine.drop_in("", *fails)
    machine.omeconf("retry", check=False)
    wait_for(machine.is_quiet, "the reload of what was taken back")


def test_reload(machine: Machine) -> None:
    """systemctl reload takes up settings; wrong ones fail it, with the line, and change nothing."""
    settings = machine.path("/etc/omeconf/omeconf.toml")
    pid, before = machine.show("MainPID"), machine.call("GET", "/omeconf/v1/config").json
    settings.write_text(SETTINGS + "[api]\nvirtual_hosts = 'read-write'\n")
    machine.systemctl("reload", "omeconf")
    assert "api.virtual_hosts changed" in machine.log()
    assert machine.call("DELETE", "/v1/vhosts/studio").status == 200
    machine.omeconf("rollback", "--yes", "1")
    settings.write_text(SETTINGS + "[api]\nvirtual_hosts = 'read-write'\n]broken\n")
    line = settings.read_text().count("\n")
    failed = machine.systemctl("reload", "omeconf", check=False)
    assert failed.returncode != 0
    assert f"(at line {line}," in machine.log()
    assert machine.show("ActiveState") == "active"
    assert machine.show("MainPID") == pid
    wait_for(machine.is_quiet, "the engine")
    assert machine.call("GET", "/omeconf/v1/config").json == before
    assert machine.call("POST", "/v1/vhosts", [{"name": "x"}]).status != 403, "the old settings"
    machine.omeconf("rollback", "--yes", "1")
    settings.write_text(SETTINGS)
    machine.systemctl("reload", "omeconf")
    assert machine.call("DELETE", "/v1/vhosts/studio").status == 403
    assert machine.show("MainPID") == pid


def test_hangup(machine: Machine) -> None:
    """SIGHUP does the same; what needs a restart is told."""
    settings = machine.path("/etc/omeconf/omeconf.toml")
    settings.write_text(SETTINGS + "[engine]\nrelease = '0.20'\n")
    machine.systemctl("kill", "-s", "HUP", "omeconf")
    wait_for(lambda: "engine.release need a restart" in machine.log(), "the answer to SIGHUP")
    settings.write_text(SETTINGS)
    machine.systemctl("reload", "omeconf")


def test_protection(machine: Machine) -> None:
    """A hook, which is what strangers write, can write nothing but the configuration folder, and
    has no capability; what the unit hides is hidden."""
    script = machine.path("/usr/local/bin/try-to-write")
    script.write_text(
        "#!/bin/sh\nexec 2>&1\n"
        "for f in /etc/x /etc/omeconf/x /usr/x /opt/omeconf/x /var/x /root/x /boot/x /x; do\n"
        'if touch $f; then echo "WROTE $f"; fi; done\n'
        "touch /etc/ovenmediaengine/allowed && rm /etc/ovenmediaengine/allowed && echo inside\n"
        "grep CapEff /proc/self/status; id -un; ls /root /home; cat /etc/shadow\n"
    )
    script.chmod(0o755)
    settings = SETTINGS.replace('use = "systemd"\nunit = "ovenmediaengine.service"',
                                'run = ["/usr/local/bin/try-to-write"]')  # fmt: skip
    machine.path("/etc/omeconf/omeconf.toml").write_text(settings)
    machine.systemctl("reload", "omeconf")
    assert machine.call("PATCH", APP, {"publishers": {"llhls": {"segmentCount": 5}}}).status
    calls = wait_for(lambda: machine.status()["reload"]["last"]["calls"], "the hook")
    output = calls[-1]["output"]
    assert "WROTE" not in output
    assert "Read-only file system" in output
    assert "inside" in output.splitlines()
    assert "CapEff:\t0000000000000000" in output
    assert "omeconf" in output.splitlines()
    assert output.count("Permission denied") >= 3, output
    machine.path("/etc/omeconf/omeconf.toml").write_text(SETTINGS)
    machine.systemctl("reload", "omeconf")


def test_the_local_socket(machine: Machine) -> None:
    """Others may not even connect; the group may write, and is known by its user."""
    found = machine.path("/run/omeconf/omeconf.sock").stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    run = machine.run("runuser", "-u", "daemon", "--", OMECONF, "status", check=False)
    assert run.returncode == 3
    assert "may not be asked" in run.stderr
    run = machine.run("runuser", "-u", "daemon", "-G", "omeconf", "--", OMECONF, "status",
                      "--json")  # fmt: skip
    assert json.loads(run.stdout)["revision"]["head"]


def test_stop_and_start(machine: Machine) -> None:
    """A stop ends cleanly; the history, the file and the answers are there after a start."""
    before = machine.call("GET", "/omeconf/v1/revisions").json
    machine.systemctl("stop", "omeconf.service")
    assert machine.show("Result") == "success"
    assert machine.path("/run/omeconf/omeconf.sock").exists(), "the socket outlives a stop"
    machine.systemctl("start", "omeconf.service")
    assert machine.call("GET", "/omeconf/v1/revisions").json == before
    machine.systemctl("restart", "omeconf.service")
    assert machine.call("GET", "/omeconf/v1/revisions").json == before
