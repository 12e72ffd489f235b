from __future__ import annotations

import grp
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from omeconf.errors import BadSettings, Unwritable
from omeconf.units import (
    Layout,
    Wanted,
    _let_read,
    carry_out,
    drop_in,
    install,
    shipped,
    uninstall,
)
from tests.support import PROJECT
from tests.support.daemon import omeconf

CONF = Path("/etc/ovenmediaengine")


def staged(root: Path, wanted: Wanted, prefix: str = "/etc") -> list[str]:
    """Install below a root; what was done."""
    done: list[str] = []
    layout = Layout(root, Path(prefix))
    carry_out(install(wanted, layout), done.append, layout, dry_run=False)
    return done


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_layout(tmp_path: Path) -> None:
    """For this machine all lies below /etc; for a package units and rules lie below /usr."""
    staged(tmp_path / "etc", Wanted(CONF))
    assert files(tmp_path / "etc") == {
        "etc/systemd/system/omeconf.service",
        "etc/systemd/system/omeconf.socket",
        "etc/systemd/system/omeconf-ready.target",
        "etc/systemd/system/omeconf.service.d/10-omeconf.conf",
        "etc/polkit-1/rules.d/50-omeconf.rules",
        "etc/sysusers.d/omeconf-omeconf.conf",
        "etc/omeconf/omeconf.toml",
    }
    staged(tmp_path / "usr", Wanted(CONF), "/usr")
    assert {name.partition("/")[0] for name in files(tmp_path / "usr")} == {"usr", "etc"}
    assert "usr/lib/systemd/system/omeconf.service" in files(tmp_path / "usr")
    assert "usr/share/polkit-1/rules.d/50-omeconf.rules" in files(tmp_path / "usr")
    assert "etc/omeconf/omeconf.toml" in files(tmp_path / "usr")


def test_what_is_asked_for(tmp_path: Path) -> None:
    """Command, user, folder and engine stand wherever they must."""
    staged(tmp_path, Wanted(CONF, "olga", "", ("a.service", "b.service"), "/opt/o/bin/omeconf"))
    units = tmp_path / "etc/systemd/system"
    service = (units / "omeconf.service").read_text()
    assert "ExecStart=/opt/o/bin/omeconf serve" in service
    assert "ExecReload=/opt/o/bin/omeconf reload --wait" in service
    assert "User=olga\nGroup=olga\n" in service
    assert "/usr/bin/omeconf" not in service
    assert "SocketUser=olga\nSocketGroup=olga\n" in (units / "omeconf.socket").read_text()
    ready = (units / "omeconf-ready.target.d/10-omeconf.conf").read_text()
    assert "Before=a.service b.service" in ready
    own = (units / "omeconf.service.d/10-omeconf.conf").read_text()
    assert f"Environment=OMECONF_CONF={CONF}\n" in own
    assert f"ReadWritePaths={CONF}\n" in own
    rules = (tmp_path / "etc/polkit-1/rules.d/50-omeconf.rules").read_text()
    assert 'units = ["a.service", "b.service"];' in rules
    assert 'subject.user == "olga"' in rules
    assert (tmp_path / "etc/sysusers.d/omeconf-olga.conf").read_text().count("u olga - ") == 1


@pytest.mark.parametrize("kind", ["order", "guard"])
def test_engine_drop_in(tmp_path: Path, kind: Literal["order", "guard"]) -> None:
    """The engine is started behind us, and with guard only if it takes the folder."""
    conf = Path("/srv/$5 conf")
    wanted = Wanted(conf, instance="one", engine_units=("e@1.service",), engine_drop_in=kind)
    staged(tmp_path, wanted)
    place = tmp_path / "etc/systemd/system/e@1.service.d/50-omeconf.conf"
    text = place.read_text()
    assert "Wants=omeconf-ready@one.target\nAfter=omeconf-ready@one.target\n" in text
    guard = 'ExecStartPre=/usr/bin/omeconf check "/srv/$$5 conf"\n'
    assert (guard in text) == (kind == "guard") == ("[Service]" in text)
    layout = Layout(tmp_path)
    carry_out(uninstall(layout), print, layout, dry_run=False)
    assert place.exists(), "it is another's"
    carry_out(uninstall(layout, "one"), print, layout, dry_run=False)
    assert not place.parent.exists()


def test_settings_are_never_replaced(tmp_path: Path) -> None:
    """Units that differ are; a second time nothing differs."""
    staged(tmp_path, Wanted(CONF))
    settings = tmp_path / "etc/omeconf/omeconf.toml"
    settings.write_text("[reload]\n")
    service = tmp_path / "etc/systemd/system/omeconf.service"
    service.write_text("old")
    done = staged(tmp_path, Wanted(CONF))
    assert f"replace {service}" in done
    assert service.read_text() == shipped("omeconf.service")
    assert settings.read_text() == "[reload]\n"
    assert len(staged(tmp_path, Wanted(CONF))) == 1, "the drop-in alone is always written"


def test_uninstall(tmp_path: Path) -> None:
    """What was written goes; settings stay, and what others share as long as they are there."""
    layout = Layout(tmp_path)
    for instance in ("", "one", "two"):
        staged(tmp_path, Wanted(CONF, instance=instance))
    before = files(tmp_path)
    (tmp_path / "etc/systemd/system/omeconf.service.d/ours.conf").write_text("[Service]\n")
    for instance in ("one", "", "two"):
        carry_out(uninstall(layout, instance), print, layout, dry_run=True)
        assert before <= files(tmp_path) | {""}
        carry_out(uninstall(layout, instance), print, layout, dry_run=False)
        template = tmp_path / "etc/systemd/system/omeconf@.service"
        assert template.exists() == (instance != "two")
        before = files(tmp_path)
    assert before == {
        "etc/omeconf/omeconf.toml", "etc/omeconf/one.toml", "etc/omeconf/two.toml",
        "etc/systemd/system/omeconf.service.d/ours.conf",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Wanted(CONF, instance="a b"), "cannot be the name of an instance"),
        (Wanted(CONF, user="a b"), "cannot be the name of a user"),
        (Wanted(CONF, engine_units=("engine",)), "is not the name of a unit"),
        (Wanted(CONF, command="/root/.venv/bin/omeconf"), "lies below /root"),
        (Wanted(CONF, command="/home/me/bin/omeconf"), "lies below /home"),
        (Wanted(Path("conf")), "must be an absolute path"),
        (Wanted(Path("/home/me/conf")), "where the unit cannot see it"),
    ],
    ids=["instance", "user", "unit", "root", "home", "relative", "hidden"],
)
def test_refused(tmp_path: Path, wanted: Wanted, why: str) -> None:
    """What could never work is told beforehand."""
    with pytest.raises(BadSettings, match=why):
        install(wanted, Layout(tmp_path))


def test_an_escaped_unit(tmp_path: Path) -> None:
    """The polkit rule names the unit that was asked for, in JavaScript's spelling."""
    wanted = Wanted(CONF, engine_units=(r"ome\x2deast.service",))
    (step,) = (s for s in install(wanted, Layout(tmp_path)) if "50-omeconf.rules" in s.text)
    step.do()
    (rules,) = tmp_path.rglob("50-omeconf.rules")
    assert r'var units = ["ome\\x2deast.service"];' in rules.read_text()


def test_what_was_exchanged_is_not_given_away(tmp_path: Path) -> None:
    """A link, or another file, that somebody put in the place of one that was looked at."""
    file, other = tmp_path / "a.xml", tmp_path / "other"
    for each in (file, other):
        each.write_text("")
        each.chmod(0o600)
    before = file.lstat()
    file.rename(tmp_path / "gone")
    file.symlink_to(other)
    with pytest.raises(Unwritable):
        _let_read(file, before, "root")
    file.unlink()
    file.hardlink_to(other)
    with pytest.raises(Unwritable, match="was exchanged meanwhile"):
        _let_read(file, before, "root")
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_odd_folder() -> None:
    """A folder with blanks and percent signs is written so that systemd reads it as it is."""
    text = drop_in(Wanted(Path("/srv/50% of it/conf")))
    assert 'ReadWritePaths="/srv/50%% of it/conf"\n' in text


def test_what_is_written_and_read(tmp_path: Path) -> None:
    """A Server.xml that is a link: its folder is written too. Files for a group: it is needed."""
    conf, behind = tmp_path / "conf", tmp_path / "behind"
    for folder in (conf, behind):
        folder.mkdir()
        folder.chmod(0o755)
    (behind / "Server.xml").write_text("")
    (conf / "Server.xml").symlink_to(behind / "Server.xml")
    with pytest.raises(BadSettings, match=f"say so with --also {behind}"):
        install(Wanted(conf), Layout(tmp_path / "root"))
    text = drop_in(Wanted(conf, also=(behind,)))
    assert f"ReadWritePaths={conf} {behind}\n" in text
    assert "SupplementaryGroups" not in text
    (conf / "secret.xml").write_text("")
    (conf / "secret.xml").chmod(0o640)
    group = grp.getgrgid((conf / "secret.xml").stat().st_gid).gr_name
    assert f"SupplementaryGroups={group}\n" in drop_in(Wanted(conf))


def test_command_line(tmp_path: Path) -> None:
    """install-units --root puts it together elsewhere, and tells what is next."""
    arguments = ("--root", str(tmp_path), "--command", "/usr/bin/omeconf")
    run = omeconf("install-units", "--conf", str(CONF), *arguments)
    assert run.returncode == 0, run.stderr
    assert "systemctl enable --now omeconf-ready.target omeconf.socket" in run.stderr
    assert omeconf("uninstall-units", "--root", str(tmp_path)).returncode == 0
    assert files(tmp_path) == {"etc/omeconf/omeconf.toml"}
    assert omeconf("install-units", "--conf", "x", *arguments).returncode == 2


def directives(name: str) -> list[str]:
    text = (PROJECT / "systemd" / name).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(
    "name", ["omeconf{}.service", "omeconf{}.socket", "omeconf-ready{}.target"]
)
def test_templates_follow(name: str) -> None:
    """A template differs from the plain unit in names alone."""
    plain, template = directives(name.format("")), directives(name.format("@"))
    assert len(plain) == len(template)
    for one, other in zip(plain, template, strict=True):
        stripped = re.sub(r"[@-]%i| \(%i\)| ovenmediaengine@%i.service", "", other)
        assert stripped.replace("%i.toml", "omeconf.toml") == one


def test_every_loosening_has_its_reason() -> None:
    """What systemd-analyze finds loose in the unit is named in a comment."""
    text = (PROJECT / "systemd/omeconf.service").read_text()
    comments = " ".join(line for line in text.splitlines() if line.startswith("#"))
    for word in ("PrivateUsers=", "PrivateNetwork=", "IPAddressDeny=", "@privileged", "CHOWN",
                 "FOWNER", "LEASE", "0077"):  # fmt: skip
        assert word in comments, word


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_exposure() -> None:
    """Offline, systemd rates the unit 2.0 or less; `make test-systemd` asks the running one."""
    run = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20",
         str(PROJECT / "systemd/omeconf.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
