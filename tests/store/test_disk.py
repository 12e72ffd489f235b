from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from omeconf.errors import Busy, Conflict, NotFound, Unwritable
from omeconf.store import disk
from omeconf.store.disk import Folder


def nothing_included(_: str) -> bool:
    return False


def publish(folder: Folder, new: bytes, base: bytes, file: str = "Server.xml") -> None:
    folder.publish(folder.prepare({file: new}, {file: base}, nothing_included))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "Server.xml").write_bytes(b"old")
    return Folder(tmp_path)


def listing(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_publish(folder: Folder) -> None:
    """The new bytes take the place of the old, and nothing is left beside them."""
    publish(folder, b"new", b"old")
    assert folder.read("Server.xml") == b"new"
    assert listing(folder) == ["Server.xml"]


def test_somebody_elses_edit_is_not_overwritten(folder: Folder) -> None:
    """If the file is not what the edit was made on, it stays as somebody made it."""
    prepared = folder.prepare({"Server.xml": b"new"}, {"Server.xml": b"old"}, nothing_included)
    (folder.path / "Server.xml").write_bytes(b"theirs")
    with pytest.raises(Busy):
        folder.publish(prepared)
    assert folder.read("Server.xml") == b"theirs"
    assert listing(folder) == ["Server.xml"]


def test_an_open_writer_is_waited_for(folder: Folder) -> None:
    """Whoever still has the file open for writing would write into the displaced one."""
    with (folder.path / "Server.xml").open("r+b"), pytest.raises(Busy):
        publish(folder, b"new", b"old")
    assert folder.read("Server.xml") == b"old"
    publish(folder, b"new", b"old")


def test_several_files_or_none(folder: Folder) -> None:
    """If one of several files cannot be exchanged, the others are exchanged back."""
    (folder.path / "b.xml").write_bytes(b"b")
    new = {"Server.xml": b"1", "b.xml": b"2"}
    with pytest.raises(Busy):
        folder.publish(
            folder.prepare(new, {"Server.xml": b"old", "b.xml": b"other"}, nothing_included)
        )
    assert (folder.read("Server.xml"), folder.read("b.xml")) == (b"old", b"b")
    assert listing(folder) == ["Server.xml", "b.xml"]


def test_attributes_are_kept(folder: Folder) -> None:
    """Mode and extended attributes are those of the live file."""
    live = folder.path / "Server.xml"
    live.chmod(0o640)
    try:
        os.setxattr(live, "user.note", b"hello")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    publish(folder, b"new", b"old")
    assert stat.S_IMODE(live.stat().st_mode) == 0o640
    assert os.getxattr(live, "user.note") == b"hello"


def test_symlinks_stay(folder: Folder, tmp_path: Path) -> None:
    """A linked Server.xml is edited where it lies; the link stays a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/Server.xml").write_bytes(b"old")
    live = folder.path / "Server.xml"
    live.unlink()
    live.symlink_to("real/Server.xml")
    publish(folder, b"new", b"old")
    assert live.is_symlink()
    assert (tmp_path / "real/Server.xml").read_bytes() == b"new"


def test_temporaries_avoid_includes(folder: Folder) -> None:
    """An include that matches everything in a folder must not load a half-written file."""
    (folder.path / "v").mkdir()
    (folder.path / "v/a").write_bytes(b"old")

    def in_v(file: str) -> bool:
        return file.startswith("v/")

    (prepared,) = folder.prepare({"v/a": b"new"}, {"v/a": b"old"}, in_v)
    assert prepared.temporary.parent == folder.path
    folder.publish([prepared])
    assert folder.read("v/a") == b"new"
    with pytest.raises(Unwritable, match="make the pattern narrower"):
        folder.prepare({"v/a": b"x"}, {"v/a": b"new"}, lambda _: True)


def test_unwritable_places(folder: Folder, tmp_path: Path) -> None:
    """What the disk refuses is told in words, and nothing is left behind."""
    with pytest.raises(NotFound, match=r"cannot read gone\.xml: there is no such file"):
        folder.read("gone.xml")
    with pytest.raises(Unwritable, match="is a directory"):
        Folder(tmp_path.parent).read(tmp_path.name)
    with pytest.raises(NotFound):
        folder.prepare({"no/x.xml": b""}, {"no/x.xml": b""}, nothing_included)
    assert listing(folder) == ["Server.xml"]


def test_lock(folder: Folder) -> None:
    """A second daemon on the same folder is refused, until the first lets go."""
    folder.lock()
    other = Folder(folder.path)
    with pytest.raises(Conflict, match="another omeconf already manages"):
        other.lock()
    folder.unlock()
    other.lock()
    other.unlock()


def test_names_leave_our_temporaries_out(folder: Folder) -> None:
    """Only regular files count, and ours do not."""
    (prepared,) = folder.prepare({"Server.xml": b"x"}, {"Server.xml": b"old"}, nothing_included)
    (folder.path / "sub").mkdir()
    assert folder.names("") == ("Server.xml",)
    assert folder.names("no") is None
    ((file, leftover),) = folder.leftovers(["Server.xml"])
    assert (file, leftover.temporary, leftover.new) == ("Server.xml", prepared.temporary, b"x")
    assert not leftover.is_displaced
    folder.discard([prepared])


def test_leases_are_given_back(folder: Folder) -> None:
    """The look at the displaced file leaves no lease behind."""
    publish(folder, b"new", b"old")
    with (folder.path / "Server.xml").open("r+b") as file:
        assert fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_UNLCK


def test_a_save_while_exchanging_back(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two saves in a row, one before and one after the exchange: the newest stays live."""
    live = folder.path / "Server.xml"
    prepared = folder.prepare({"Server.xml": b"new"}, {"Server.xml": b"old"}, nothing_included)
    live.write_bytes(b"save 1")

    def look(displaced: Path, base: bytes) -> bool:
        assert (displaced.read_bytes(), base) == (b"save 1", b"old")
        other = folder.path / "other"
        other.write_bytes(b"save 2")
        other.rename(live)
        return False

    monkeypatch.setattr(disk, "_is_quiet", look)
    with pytest.raises(Busy):
        folder.publish(prepared)
    assert live.read_bytes() == b"save 2"
    assert listing(folder) == ["Server.xml"]


def test_unfinished_temporaries_go(folder: Folder) -> None:
    """What was not even whole when the power went is nobody's work."""
    (folder.path / ".omeconf-Server.xml-1-2.part").write_bytes(b"ha")
    assert folder.leftovers(["Server.xml"]) == []
    assert listing(folder) == ["Server.xml"]


def test_without_the_exchange(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system lacks it, the old file is linked aside first: same result."""

    class Libc:
        def renameat2(self, *_: object) -> int:
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(disk, "_libc", Libc())
    publish(folder, b"new", b"old")
    assert folder.read("Server.xml") == b"new"
    with pytest.raises(Busy):
        publish(folder, b"newer", b"something else")
    assert folder.read("Server.xml") == b"new"
    assert listing(folder) == ["Server.xml"]
