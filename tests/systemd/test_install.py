"""install-units on a machine, an upgrade, an uninstall: what is written, and what stays."""

from __future__ import annotations

import stat

import pytest

from tests.support import EXAMPLES
from tests.systemd.machine import OMECONF, SETTINGS, UNITS, Machine, wait_for

pytestmark = pytest.mark.systemd

EXAMPLE = (EXAMPLES / "origin/Server.xml").read_text()
CONF = "/etc/ovenmediaengine"
ETC = "/etc/systemd/system"
APP = "/v1/vhosts/default/apps/app"
WRITTEN = (
    f"{ETC}/omeconf.service",
    f"{ETC}/omeconf.socket",
    f"{ETC}/omeconf-ready.target",
    f"{ETC}/omeconf.service.d/10-omeconf.conf",
    "/etc/polkit-1/rules.d/50-omeconf.rules",
    "/etc/sysusers.d/omeconf-omeconf.conf",
    f"{ETC}/ovenmediaengine.service.d/50-omeconf.conf",
)


def test_dry_run(bare: Machine) -> None:
    """It shows what would be done, and does nothing."""
    shown = bare.omeconf(
        "install-units", "--conf", CONF, "--engine-drop-in", "guard", "--dry-run"
    ).stdout
    for path in WRITTEN:
        assert f"write {path}" in shown
        assert not bare.path(path).exists()
    assert f"give {CONF} to omeconf" in shown
    assert bare.path(CONF).stat().st_uid == 0


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ("/etc/nowhere", "is not a folder"),
        ("ovenmediaengine", "must be an absolute path"),
        ("/root/conf", "where the unit cannot see it"),
    ],
)
def test_refused(bare: Machine, conf: str, why: str) -> None:
    """A folder that cannot work is refused before anything is written."""
    run = bare.omeconf("install-units", "--conf", conf, check=False)
    assert run.returncode == 2
    assert why in run.stderr
    assert not bare.path(WRITTEN[0]).exists()


def test_install(bare: Machine) -> None:
    """A secret file of root's that only root may read, and a folder of includes: all is managed."""
    server_xml = bare.server_xml
    server_xml.chmod(0o600)
    include = '<VirtualHosts>\n\t\t<VirtualHost include="vhosts/*.xml" />'
    server_xml.write_text(server_xml.read_text().replace("<VirtualHosts>", include, 1))
    hosts = bare.path(f"{CONF}/vhosts")
    hosts.mkdir()
    (hosts / "one.xml").write_text("<VirtualHost><Name>one</Name></VirtualHost>")
    bare.install()
    user = bare.run("id", "-u", "omeconf").stdout.strip()
    assert bare.path(CONF).stat().st_uid == int(user) == hosts.stat().st_uid
    found = server_xml.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o640)
    for path in WRITTEN:
        assert bare.path(path).exists(), path
    assert bare.call("GET", "/v1/vhosts/one").status == 200
    new = [{"name": "new", "type": "live"}]
    assert bare.call("POST", "/v1/vhosts/one/apps", new).status == 200
    assert "<Name>new</Name>" in (hosts / "one.xml").read_text()
    assert (hosts / "one.xml").stat().st_uid == 0
    assert not list(bare.path(CONF).rglob(".omeconf-*"))


def test_verify(bare: Machine) -> None:
    """systemd has nothing to say about any of the units, installed as they are."""
    units = [f"{ETC}/{name}" for name in (*UNITS, "ovenmediaengine.service")]
    run = bare.run("systemd-analyze", "verify", "--man=no", *units)
    assert run.stderr == ""
    log = bare.log("init.scope")
    for word in ("Unknown key", "Failed to parse", "ignoring"):
        assert not [line for line in log.splitlines() if word in line and "omeconf" in line]


def test_exposure(bare: Machine) -> None:
    """The daemon, as systemd runs it, is exposed no more than 2.0 on the scale of systemd."""
    run = bare.run("systemd-analyze", "security", "--threshold=20", "omeconf.service")
    assert "Overall exposure level for omeconf.service: 1." in run.stdout
    assert bare.run("systemd-analyze", "security", "--threshold=17", "omeconf.service",
                    check=False).returncode == 1, "the measure can fail"  # fmt: skip


def test_again(bare: Machine) -> None:
    """A second call replaces nothing that is as it should be."""
    shown = bare.omeconf("install-units", "--conf", CONF).stdout
    assert shown.splitlines() == [f"write {WRITTEN[3]}", "have systemd read its units"]


def test_upgrade(bare: Machine) -> None:
    """Units of an older version are replaced; settings, history and what was ours beside stay."""
    before = bare.call("GET", "/omeconf/v1/revisions").json
    service = bare.path(WRITTEN[0])
    service.write_text(service.read_text().replace("WatchdogSec=30", "WatchdogSec=77"))
    ours = bare.path(f"{ETC}/omeconf.service.d/90-ours.conf")
    ours.write_text("[Service]\nLimitNOFILE=4096\n")
    bare.run("/opt/omeconf/bin/pip", "install", "-q", "--no-deps", "--no-index",
             "--force-reinstall", f"/opt/{bare.image.wheel}")  # fmt: skip
    shown = bare.omeconf("install-units", "--conf", CONF).stdout
    assert f"replace {WRITTEN[0]}" in shown
    bare.systemctl("restart", "omeconf.service")
    assert bare.show("WatchdogUSec") == "30s"
    assert bare.show("LimitNOFILE") == "4096"
    assert bare.path("/etc/omeconf/omeconf.toml").read_text() == SETTINGS
    assert bare.call("GET", "/omeconf/v1/revisions").json == before
    ours.unlink()


def test_uninstall(bare: Machine) -> None:
    """Nothing of the units is left; state, settings and files are, and a new install goes on."""
    before = bare.call("GET", "/omeconf/v1/revisions").json
    text = bare.server_xml.read_text()
    bare.omeconf("uninstall-units")
    for path in WRITTEN:
        assert not bare.path(path).exists(), path
    left = bare.run("find", ETC, "-name", "omeconf*").stdout.split()
    assert left == [f"{ETC}/omeconf-test.target"]
    bare.systemctl("restart", "ovenmediaengine.service")  # by itself, as before
    assert bare.systemctl("is-active", "omeconf.service", check=False).stdout.strip() == "inactive"
    assert bare.show("LoadState") == "not-found"
    assert bare.server_xml.read_text() == text
    assert bare.path("/var/lib/omeconf/history.sqlite").exists()
    bare.install()
    assert bare.call("GET", "/omeconf/v1/revisions").json == before


def test_instances(bare: Machine) -> None:
    """Two more daemons, one as another user, one with an odd folder: each has its own of all."""
    for name, user in (("east", "omeconf"), ("west", "ome-west")):
        conf = {"east": "/etc/50% of 'east'", "west": "/etc/ome-west"}[name]
        port = {"east": 18081, "west": 18082}[name]
        text = EXAMPLE.replace("<Port>8081<", f"<Port>{port}<")
        bare.path(conf).mkdir()
        bare.path(f"{conf}/Server.xml").write_text(text)
        bare.path(f"{ETC}/engine-{name}.service").write_text(
            "[Service]\nExecStart=/usr/bin/sleep infinity\n"
        )
        bare.omeconf("install-units", "--instance", name, "--conf", conf, "--user", user,
                     "--engine-unit", f"engine-{name}.service",
                     "--engine-drop-in", "guard")  # fmt: skip
        settings = SETTINGS.replace("ovenmediaengine.service", f"engine-{name}.service")
        bare.path(f"/etc/omeconf/{name}.toml").write_text(settings)
        bare.systemctl("enable", "--now", f"omeconf@{name}.socket", f"omeconf@{name}.service",
                       f"omeconf-ready@{name}.target")  # fmt: skip
        assert bare.show("User", f"omeconf@{name}.service") == user
        answer = bare.call(
            "PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 2}}},
            socket_path=f"/run/omeconf-{name}/omeconf.sock",
        )  # fmt: skip
        assert (answer.status, answer.headers["omeconf-reload"]) == (200, "ok"), answer.json
        assert bare.show("ActiveState", f"engine-{name}.service") == "active"
        assert "<SegmentDuration>2<" in bare.path(f"{conf}/Server.xml").read_text()
        bare.systemctl("reload", f"omeconf@{name}.service")
    assert "<SegmentDuration>2<" not in bare.server_xml.read_text()
    units = [f"{ETC}/omeconf{end}" for end in ("@.service", "@.socket", "-ready@.target")]
    assert bare.run("systemd-analyze", "verify", "--man=no", *units).stderr == ""
    bare.run("systemd-analyze", "security", "--threshold=20", "omeconf@west.service")
    bare.omeconf("uninstall-units", "--instance", "west")
    assert bare.show("ActiveState", "omeconf@east.service") == "active"
    assert bare.path(f"{ETC}/omeconf@.service").exists()
    bare.omeconf("uninstall-units", "--instance", "east")
    assert not bare.path(f"{ETC}/omeconf@.service").exists()
    assert bare.path(WRITTEN[0]).exists()
    wait_for(lambda: bare.call("GET", "/v1/vhosts").status == 200, "the one without a name")


def test_guard(bare: Machine) -> None:
    """The engine of a shared folder is not started with a broken file, and says what is broken."""
    good = bare.server_xml.read_text()
    bare.server_xml.write_text(good.replace("<Providers>", "<Nonsense/><Providers>", 1))
    run = bare.systemctl("restart", "ovenmediaengine.service", check=False)
    assert run.returncode != 0
    assert "<Nonsense> is not known in <Bind>" in bare.log("ovenmediaengine.service")
    bare.server_xml.write_text(good)
    bare.systemctl("restart", "ovenmediaengine.service")
    assert OMECONF in bare.show("ExecStartPre", "ovenmediaengine.service")
