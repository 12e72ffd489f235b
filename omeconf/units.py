"""The units for systemd, put in their places and taken away again.

A list of steps is made first, and then carried out, so that --dry-run shows what will be done.
State, settings, the user and the owners of files outlive an uninstall.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from omeconf.errors import BadSettings, Unwritable
from omeconf.store.disk import translated

SHIPPED = "/usr/bin/omeconf"
"""Where the shipped units have the command."""
HIDDEN = ("/root", "/home", "/run/user", "/tmp", "/var/tmp")
"""What ProtectHome= and PrivateTmp= hide."""
NAME = re.compile(r"[A-Za-z0-9_.\\-]+")
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|target)")
MARK = "omeconf install-units"
"""Stands in the first line of what is written for one machine."""
FOR_ENGINE = "50-omeconf.conf"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie below a root: for this machine (/etc), or in a package (/usr)."""

    root: Path
    """/, or where a package is being put together."""
    prefix: Path = Path("/etc")

    def _in(self, etc: str, usr: str) -> Path:
        return self.below(self.prefix / etc if self.prefix == Path("/etc") else self.prefix / usr)

    def below(self, path: Path) -> Path:
        """A path of the machine, below the root."""
        return self.root / path.relative_to("/")

    @property
    def units(self) -> Path:
        """systemd.unit(5)."""
        return self._in("systemd/system", "lib/systemd/system")

    @property
    def users(self) -> Path:
        """sysusers.d(5)."""
        return self._in("sysusers.d", "lib/sysusers.d")

    @property
    def rules(self) -> Path:
        """polkit(8)."""
        return self._in("polkit-1/rules.d", "share/polkit-1/rules.d")

    @property
    def settings(self) -> Path:
        """Always below /etc: they are the administrator's."""
        return self.below(Path("/etc/omeconf"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be installed."""

    conf: Path
    """The folder of Server.xml: the one that the daemon may write."""
    user: str = "omeconf"
    instance: str = ""
    """"" for the one daemon of a machine."""
    engine_units: tuple[str, ...] = ("ovenmediaengine.service",)
    """What a hook may restart."""
    command: str = SHIPPED
    """The omeconf that the units are to run."""
    also: tuple[Path, ...] = ()
    """Another folder that it may write: where a linked Server.xml lies."""
    engine_drop_in: Literal["", "order", "guard"] = ""
    """Whether the engine's units are started behind us; guard: and only with a folder that the
    engine takes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    text: str
    """For people: ``write /etc/systemd/system/omeconf.service``."""
    do: Callable[[], None]


def own_command() -> str:
    """The omeconf that runs now, as the units are to call it."""
    beside = Path(sys.executable).parent / "omeconf"
    return str(beside if beside.exists() else shutil.which("omeconf") or SHIPPED)


def install(wanted: Wanted, layout: Layout) -> list[Step]:
    """What is to be done so that systemd runs us. Raises BadSettings for what cannot work.

    What is there already is left as it is, and what differs is replaced, but for settings.
    """
    _must_be_sound(wanted, layout)
    return list(_steps(wanted, layout))


def uninstall(layout: Layout, instance: str = "") -> list[Step]:
    """What is to be done so that systemd forgets us: what `install` wrote, and nothing else."""
    return list(_steps_back(layout, instance))


def carry_out(
    steps: Sequence[Step], tell: Callable[[str], None], layout: Layout, *, dry_run: bool
) -> None:
    """Do them one after the other, or only tell of them. Raises BadSettings or Unwritable."""
    if layout.root == Path("/") and not dry_run and os.geteuid() != 0:
        raise BadSettings(
            "this needs root; --dry-run shows what would be done, --root DIR does it elsewhere"
        )
    for step in steps:
        tell(step.text)
        if not dry_run:
            step.do()
    if not steps:
        tell("nothing to do")


def shipped(name: str) -> str:
    """A file of systemd/, from the wheel or from a source tree."""
    packed = files("omeconf") / "systemd" / name
    found = packed if packed.is_file() else Path(__file__).parents[1] / "systemd" / name
    return found.read_text()


def unit_names(instance: str) -> tuple[str, str, str]:
    """The service, the socket and the target, as systemctl takes them."""
    of = f"@{instance}" if instance else ""
    return f"omeconf{of}.service", f"omeconf{of}.socket", f"omeconf-ready{of}.target"


def _templates(instance: str) -> tuple[str, str, str]:
    """The files that the units come from: an instance shares them with others."""
    at = "@" if instance else ""
    return f"omeconf{at}.service", f"omeconf{at}.socket", f"omeconf-ready{at}.target"


def drop_in(wanted: Wanted) -> str:
    """What is different on this machine: the folder, the user, what groups it needs to read."""
    groups = sorted(_groups_to_read(wanted))
    lines = [
        f"# Written by `{MARK}`; put what is yours into a file of its own beside it.",
        "[Service]",
        f"Environment=OMECONF_CONF={_quoted(wanted.conf)}",
        "# The folder, not the file: the file is replaced by another, which a mount would refuse.",
        f"ReadWritePaths={' '.join(map(_quoted, [wanted.conf, *wanted.also]))}",
    ]
    if wanted.user != "omeconf":
        lines += [f"User={wanted.user}", f"Group={wanted.user}"]
    if groups:
        lines += ["# Files in it can be read by these only.",
                  f"SupplementaryGroups={' '.join(groups)}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("%", "%%")
    return '"' + text.replace('"', '\\"') + '"' if re.search(r"[\s\"']", text) else text


def _must_be_sound(wanted: Wanted, layout: Layout) -> None:
    if wanted.instance and not NAME.fullmatch(wanted.instance):
        raise BadSettings(f'"{wanted.instance}" cannot be the name of an instance: letters, '
                          "digits, - _ and . can")  # fmt: skip
    if not NAME.fullmatch(wanted.user):
        raise BadSettings(f'"{wanted.user}" cannot be the name of a user')
    for unit in wanted.engine_units:
        if not UNIT.fullmatch(unit):
            raise BadSettings(f'"{unit}" is not the name of a unit, such as engine.service')
    command = Path(wanted.command)
    behind = [command, command.resolve(), Path(sys.executable).resolve()]
    for path in behind if layout.root == Path("/") else [command]:
        hidden = next((each for each in HIDDEN if path.is_relative_to(each)), "")
        if hidden:
            raise BadSettings(
                f"{path} lies below {hidden}, which the unit does not see: install omeconf "
                "elsewhere, `/usr/bin/python3 -m venv /opt/omeconf && /opt/omeconf/bin/pip "
                "install omeconf`, and call that one"
            )
    if not wanted.conf.is_absolute():
        raise BadSettings(f"--conf must be an absolute path, not {wanted.conf}")
    lies_in = (wanted.conf / "Server.xml").resolve().parent
    inside = [wanted.conf, *wanted.also]
    if not any(lies_in.is_relative_to(each.resolve()) for each in inside):
        raise BadSettings(  # whoever may write the folder made that link: not followed unasked
            f"{wanted.conf}/Server.xml is a link to a file in {lies_in}: if the daemon is to own "
            f"that folder too, say so with --also {lies_in}"
        )
    if any(wanted.conf.is_relative_to(each) for each in HIDDEN):
        raise BadSettings(f"{wanted.conf} lies where the unit cannot see it: move it, or write a "
                          "unit of your own")  # fmt: skip
    if layout.root == Path("/") and not wanted.conf.is_dir():
        raise BadSettings(f"{wanted.conf} is not a folder: give --conf the folder of Server.xml")


def _steps(wanted: Wanted, layout: Layout) -> Iterator[Step]:
    service, socket, target = unit_names(wanted.instance)
    is_here = layout.root == Path("/")

    def fitted(name: str) -> str:
        text = shipped(name).replace(SHIPPED, wanted.command)
        # an instance has its user in its drop-in: the template is for all of them
        return text if wanted.instance else text.replace("User=omeconf", f"User={wanted.user}"
                       ).replace("Group=omeconf", f"Group={wanted.user}")  # fmt: skip

    user = shipped("omeconf.sysusers").replace("u omeconf ", f"u {wanted.user} ")
    yield from _write(layout.users / f"omeconf-{wanted.user}.conf", user)
    if is_here and not _exists(wanted.user):
        yield Step(f"make the user {wanted.user}", lambda: _make_user(wanted.user))
    for unit in _templates(wanted.instance):
        yield from _write(layout.units / unit, fitted(unit))
    if wanted.engine_units != ("ovenmediaengine.service",):
        text = f"# Written by `{MARK}`.\n[Unit]\nBefore={' '.join(wanted.engine_units)}\n"
        yield from _write(layout.units / f"{target}.d/10-omeconf.conf", text)
    if wanted.engine_drop_in:
        for unit in wanted.engine_units:
            place = layout.units / f"{unit}.d/{FOR_ENGINE}"
            yield from _write(place, _for_engine(wanted, target))
    if wanted.instance and wanted.user != "omeconf":
        text = f"# Written by `{MARK}`.\n[Socket]\nSocketUser={wanted.user}\n"
        text += f"SocketGroup={wanted.user}\n"
        yield from _write(layout.units / f"{socket}.d/10-omeconf.conf", text)
    name = f"50-omeconf-{wanted.instance}.rules" if wanted.instance else "50-omeconf.rules"
    yield from _write(layout.rules / name, _rules(wanted))
    settings = layout.settings / f"{wanted.instance or 'omeconf'}.toml"
    if not settings.exists():
        text = shipped("omeconf.toml")
        yield from _write(settings, text, mode=0o640, group=wanted.user if is_here else "")
    if is_here:
        yield from _opened(wanted)
    # last: which groups are needed to read shows once the files are opened
    place = layout.units / f"{service}.d/10-omeconf.conf"
    yield Step(f"write {place}", lambda: _put(place, drop_in(wanted)))
    if is_here:
        yield from _daemon_reload()


def _steps_back(layout: Layout, instance: str) -> Iterator[Step]:
    names = unit_names(instance)
    is_here = layout.root == Path("/")
    if is_here:
        yield Step(
            f"stop and disable {', '.join(names)}",
            lambda: _call("systemctl", "disable", "--now", *names, must=False),
        )
    name = f"50-omeconf-{instance}.rules" if instance else "50-omeconf.rules"
    gone = [layout.units / f"{unit}.d/10-omeconf.conf" for unit in names]
    gone.append(layout.rules / name)
    for path in sorted(layout.units.glob(f"*.d/{FOR_ENGINE}")):
        text = path.read_text()
        if MARK in text and f"After={names[-1]}\n" in text:
            gone.append(path)
    others = [
        each
        for each in layout.units.glob("omeconf@*.service.d/10-omeconf.conf")
        if each not in gone
    ]
    if not (instance and others):
        gone += [layout.units / unit for unit in _templates(instance)]
    has_single = bool(instance) and (layout.units / "omeconf.service").exists()
    if not others and not has_single:
        gone += sorted(layout.users.glob("omeconf-*.conf"))
    for path in gone:
        if path.exists():
            yield Step(f"remove {path}", lambda path=path: _take_away(path))  # type: ignore[misc]
    if is_here:
        yield from _daemon_reload()


def _for_engine(wanted: Wanted, target: str) -> str:
    """The drop-in for the engine's unit, as it is shipped, for this machine."""
    text = shipped(f"ovenmediaengine.service.d/{FOR_ENGINE.removeprefix('50-')}")
    if wanted.engine_drop_in == "order":
        text = text.partition("\n[Service]")[0]
    conf = _quoted(wanted.conf).replace("$", "$$")
    text = text.replace("omeconf-ready.target", target).replace(SHIPPED, wanted.command)
    return f"# Written by `{MARK}`.\n" + text.replace("/etc/ovenmediaengine", conf)


def _rules(wanted: Wanted) -> str:
    units = ", ".join(map(json.dumps, wanted.engine_units))
    text = shipped("omeconf.rules").replace('"ovenmediaengine.service"', units)
    return text.replace('subject.user == "omeconf"', f'subject.user == "{wanted.user}"')


def _write(path: Path, text: str, *, mode: int = 0o644, group: str = "") -> Iterator[Step]:
    """A step that writes a file, if it is not there as it should be."""
    if path.exists() and path.read_text() == text:
        return
    verb = "replace" if path.exists() else "write"
    yield Step(f"{verb} {path}", lambda: _put(path, text, mode=mode, group=group))


def _put(path: Path, text: str, *, mode: int = 0o644, group: str = "") -> None:
    with translated(f"cannot write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text)
        temporary.chmod(mode)
        if group:
            os.chown(temporary, 0, grp.getgrnam(group).gr_gid)
        temporary.replace(path)


def _take_away(path: Path) -> None:
    with translated(f"cannot remove {path}"):
        path.unlink(missing_ok=True)
        folder = path.parent
        is_drop_in = folder.name.endswith(".d") and folder.parent.name == "system"
        if is_drop_in and not any(folder.iterdir()):
            folder.rmdir()


def _opened(wanted: Wanted) -> Iterator[Step]:
    """Steps that give the daemon's user the folders, and leave the files their owners.

    Whoever owned a folder goes on writing to it by its group: an engine that is not root keeps its
    Server.id there.
    """
    for folder in [wanted.conf.resolve(), *wanted.also, *_folders(wanted.conf)]:
        before = folder.stat()
        if _exists(wanted.user) and before.st_uid == pwd.getpwnam(wanted.user).pw_uid:
            continue
        yield Step(
            f"give {folder} to {wanted.user}",
            lambda folder=folder, before=before: _give(folder, before, wanted.user),  # type: ignore[misc]
        )
    for file, seen in _unreadable(wanted):
        yield Step(
            f"let the group {wanted.user} read {file}",
            lambda file=file, seen=seen: _let_read(file, seen, wanted.user),  # type: ignore[misc]
        )


def _give(folder: Path, before: os.stat_result, user: str) -> None:
    with translated(f"cannot give {folder} to {user}"):
        group, mode = before.st_gid, stat.S_IMODE(before.st_mode)
        if before.st_uid != 0:
            group, mode = _group_of(before.st_uid, group), mode | 0o070
        with _the_same(folder, before, os.O_DIRECTORY) as handle:
            os.fchown(handle, pwd.getpwnam(user).pw_uid, group)
            os.fchmod(handle, mode | 0o700)


@contextmanager
def _the_same(path: Path, before: os.stat_result, flags: int = 0) -> Iterator[int]:
    """What was looked at before, opened; Unwritable if something else has its name by now.

    Others may write the folder: a link, or another file, in its place would be given away.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags)
    try:
        found = os.fstat(handle)
        is_same = (found.st_dev, found.st_ino) == (before.st_dev, before.st_ino)
        if not is_same or (stat.S_ISREG(found.st_mode) and found.st_nlink != 1):
            raise Unwritable(f"{path} was exchanged meanwhile, or has another name: left alone")
        yield handle
    finally:
        os.close(handle)


def _group_of(uid: int, otherwise: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return otherwise


def _let_read(file: Path, before: os.stat_result, user: str) -> None:
    with translated(f"cannot let {user} read {file}"), _the_same(file, before) as handle:
        os.fchown(handle, -1, grp.getgrnam(user).gr_gid)
        os.fchmod(handle, stat.S_IMODE(before.st_mode) | 0o040)


def _folders(conf: Path) -> list[Path]:
    return sorted(p for p in conf.rglob("*") if p.is_dir() and not p.is_symlink())


def _configuration(conf: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files that may be read: what is XML, and what lies beside it."""
    for path in sorted(conf.rglob("*")):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            yield path, found


def _unreadable(wanted: Wanted) -> list[tuple[Path, os.stat_result]]:
    """Files that neither their group nor everybody may read, and that are not the user's own."""
    uid = pwd.getpwnam(wanted.user).pw_uid if _exists(wanted.user) else -1
    return [
        (path, found)
        for path, found in _configuration(wanted.conf)
        if path.suffix == ".xml" and found.st_uid != uid and not found.st_mode & 0o044
    ]


def _groups_to_read(wanted: Wanted) -> set[str]:
    """The groups without which some of the files cannot be read."""
    if not wanted.conf.is_dir():
        return set()
    groups = {
        found.st_gid
        for _, found in _configuration(wanted.conf)
        if found.st_mode & 0o040 and not found.st_mode & 0o004
    }
    groups |= {
        found.st_gid
        for found in (folder.stat() for folder in [wanted.conf, *_folders(wanted.conf)])
        if not found.st_mode & 0o001 and found.st_mode & 0o010
    }
    names = {grp.getgrgid(group).gr_name for group in groups if _group_exists(group)}
    return names - {wanted.user}


def _group_exists(number: int) -> bool:
    try:
        grp.getgrgid(number)
    except KeyError:
        return False
    return True


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _make_user(user: str) -> None:
    if shutil.which("systemd-sysusers"):
        _call("systemd-sysusers", f"omeconf-{user}.conf")
    if not _exists(user):
        _call("useradd", "--system", "--user-group", "--no-create-home", "--shell",
              "/usr/sbin/nologin", user)  # fmt: skip


def _daemon_reload() -> Iterator[Step]:
    if Path("/run/systemd/system").is_dir():
        yield Step("have systemd read its units", lambda: _call("systemctl", "daemon-reload"))


def _call(*command: str, must: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and must:
        raise Unwritable(f"{' '.join(command)} failed: {done.stderr.strip()}")
