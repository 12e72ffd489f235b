from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omeconf.errors import Busy, Conflict, NotFound, Unwritable
from omeconf.store import steps
from omeconf.store.publish import Prepared, Publisher, Way
from omeconf.store.steps import is_torn


def nothing_included(_: str) -> bool:
    return False


Files = Mapping[str, bytes | None]


def prepare(publisher: Publisher, new: Files, base: Files) -> list[Prepared]:
    return publisher.prepare(new, base, nothing_included)


def publish(publisher: Publisher, new: Files, base: Files) -> list[tuple[str, bytes]]:
    """All of it, as the repository does; gives displaced saves."""
    prepared = prepare(publisher, new, base)
    try:
        publisher.publish(prepared)
    finally:
        saves = publisher.discard(prepared)
    return saves


def one(publisher: Publisher, new: bytes, base: bytes) -> None:
    publish(publisher, {"Server.xml": new}, {"Server.xml": base})


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "Server.xml").write_bytes(b"old")
    return Publisher(folder, tmp_path / "state")


def listing(publisher: Publisher) -> list[str]:
    return sorted(path.name for path in publisher.folder.iterdir())


def read(publisher: Publisher, file: str = "Server.xml") -> bytes:
    return (publisher.folder / file).read_bytes()


def test_publish(publisher: Publisher) -> None:
    """The new bytes take the place of the old, and nothing is left beside them."""
    one(publisher, b"new", b"old")
    assert read(publisher) == b"new"
    assert listing(publisher) == ["Server.xml"]


def test_files_come_and_go(publisher: Publisher) -> None:
    """A commit may also create and remove files; a new one is as its folder is."""
    (publisher.folder / "b.xml").write_bytes(b"b")
    publisher.folder.chmod(0o750)
    base = {"Server.xml": b"old", "a.xml": None, "b.xml": b"b"}
    publish(publisher, {"Server.xml": b"new", "a.xml": b"a", "b.xml": None}, base)
    assert listing(publisher) == ["Server.xml", "a.xml"]
    assert read(publisher, "a.xml") == b"a"
    assert stat.S_IMODE((publisher.folder / "a.xml").stat().st_mode) == 0o640


def test_a_new_file_that_is_there_already(publisher: Publisher) -> None:
    """It is not overwritten; all is as before."""
    (publisher.folder / "a.xml").write_bytes(b"theirs")
    with pytest.raises(Conflict, match="is there already"):
        publish(
            publisher,
            {"Server.xml": b"new", "a.xml": b"a"},
            {"Server.xml": b"old", "a.xml": None},
        )
    assert (read(publisher), read(publisher, "a.xml")) == (b"old", b"theirs")
    assert listing(publisher) == ["Server.xml", "a.xml"]


def test_somebody_elses_edit_is_not_overwritten(publisher: Publisher) -> None:
    """If the file is not what the edit was made on, it stays as somebody made it."""
    for new in (b"new", None):
        prepared = prepare(publisher, {"Server.xml": new}, {"Server.xml": b"old"})
        (publisher.folder / "Server.xml").write_bytes(b"theirs")
        with pytest.raises(Busy):
            publisher.publish(prepared)
        assert publisher.discard(prepared) == []
        assert read(publisher) == b"theirs"
        assert listing(publisher) == ["Server.xml"]


def test_a_file_that_is_away(publisher: Publisher) -> None:
    """An editor that renames the file away for a moment is waited for."""
    for new in (b"new", None):
        (publisher.folder / "Server.xml").write_bytes(b"old")
        prepared = prepare(publisher, {"Server.xml": new}, {"Server.xml": b"old"})
        (publisher.folder / "Server.xml").unlink()
        with pytest.raises(Busy, match="is away"):
            publisher.publish(prepared)
        publisher.discard(prepared)


def test_an_open_writer_is_waited_for(publisher: Publisher) -> None:
    """Whoever still has the file open for writing would write into the displaced one."""
    with (publisher.folder / "Server.xml").open("r+b"), pytest.raises(Busy):
        one(publisher, b"new", b"old")
    assert read(publisher) == b"old"
    one(publisher, b"new", b"old")


def test_all_or_none(publisher: Publisher) -> None:
    """If one of several files cannot be published, the others are put back."""
    for name in ("b.xml", "c.xml", "d.xml"):
        (publisher.folder / name).write_bytes(b"b")
    new = {"Server.xml": b"1", "a.xml": b"1", "b.xml": b"2", "c.xml": None, "d.xml": b"3"}
    base = {"Server.xml": b"old", "a.xml": None, "b.xml": b"b", "c.xml": b"b", "d.xml": b"other"}
    before = {name: read(publisher, name) for name in listing(publisher)}
    with pytest.raises(Busy):
        publish(publisher, new, base)
    assert {name: read(publisher, name) for name in listing(publisher)} == before


def test_attributes_are_kept(publisher: Publisher) -> None:
    """Mode and extended attributes are those of the live file."""
    live = publisher.folder / "Server.xml"
    live.chmod(0o640)
    try:
        os.setxattr(live, "user.note", b"hello")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    one(publisher, b"new", b"old")
    assert stat.S_IMODE(live.stat().st_mode) == 0o640
    assert os.getxattr(live, "user.note") == b"hello"


def test_symlinks_stay(publisher: Publisher) -> None:
    """A linked Server.xml is edited where it lies; the link stays a link."""
    real, live = publisher.folder / "real", publisher.folder / "Server.xml"
    real.mkdir()
    live.rename(real / "Server.xml")
    live.symlink_to("real/Server.xml")
    one(publisher, b"new", b"old")
    assert live.is_symlink()
    assert (real / "Server.xml").read_bytes() == b"new"


def test_temporaries_avoid_includes(publisher: Publisher) -> None:
    """An include that matches everything in a folder must not load a half-written file."""
    (publisher.folder / "v").mkdir()
    (publisher.folder / "v/a").write_bytes(b"old")

    def in_v(file: str) -> bool:
        return file.startswith("v/")

    (prepared,) = publisher.prepare({"v/a": b"new"}, {"v/a": b"old"}, in_v)
    assert prepared.temporary.parent == publisher.folder
    publisher.publish([prepared])
    publisher.discard([prepared])
    assert read(publisher, "v/a") == b"new"
    with pytest.raises(Unwritable, match="make the pattern narrower"):
        publisher.prepare({"v/a": b"x"}, {"v/a": b"new"}, lambda _: True)


def test_unwritable_places(publisher: Publisher) -> None:
    """What the disk refuses leaves nothing behind."""
    with pytest.raises(NotFound):
        prepare(
            publisher,
            {"Server.xml": b"new", "no/x.xml": b""},
            {"Server.xml": b"old", "no/x.xml": b""},
        )
    assert listing(publisher) == ["Server.xml"]


def test_leases_are_given_back(publisher: Publisher) -> None:
    """The look at the displaced file leaves no lease behind."""
    one(publisher, b"new", b"old")
    with (publisher.folder / "Server.xml").open("r+b") as file:
        assert fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_UNLCK


def test_new_bytes_that_cannot_be_read_back(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was never whole is removed unread: a disk that refused to sync it may not give it."""
    (publisher.folder / "b.xml").write_bytes(b"b")
    real = Path.read_bytes

    def fsync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def read_bytes(path: Path) -> bytes:
        if path.suffix == ".part":
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(Unwritable, match="input/output error"):
        prepare(
            publisher, {"Server.xml": b"new", "b.xml": None}, {"Server.xml": b"old", "b.xml": b"b"}
        )
    assert listing(publisher) == ["Server.xml", "b.xml"]


def test_two_saves_around_the_exchange(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One save before the exchange and one behind it: the newest stays live, both are known."""
    live = publisher.folder / "Server.xml"
    prepared = prepare(publisher, {"Server.xml": b"new"}, {"Server.xml": b"old"})
    live.write_bytes(b"save 1")

    def look(displaced: Path, base: bytes) -> bool:
        assert (displaced.read_bytes(), base) == (b"save 1", b"old")
        other = publisher.folder / "other"
        other.write_bytes(b"save 2")
        other.rename(live)
        return False

    monkeypatch.setattr(steps, "is_quiet", look)
    with pytest.raises(Busy):
        publisher.publish(prepared)
    assert publisher.discard(prepared) == [("Server.xml", b"save 1")]
    assert live.read_bytes() == b"save 2"
    assert listing(publisher) == ["Server.xml"]


def test_leftovers(publisher: Publisher) -> None:
    """What a crash left is found, by the file it belongs to; what was never whole goes at once."""
    for folder in ("one", "two"):
        (publisher.folder / folder).mkdir()
        (publisher.folder / folder / "x").write_bytes(b"old")

    def in_folders(file: str) -> bool:
        return "/" in file

    for file, data in (("one/x", b"1"), ("two/x", b"2")):
        for each in publisher.prepare({file: data}, {file: b"old"}, in_folders):
            each.finish()
    (publisher.folder / ".omeconf-Server.xml-1-2.part").write_bytes(b"ha")
    found = {each.file: each for each in publisher.leftovers(["one/x", "two/x", "Server.xml"])}
    assert {file: each.data for file, each in found.items()} == {"one/x": b"1", "two/x": b"2"}
    assert all(each.is_ours for each in found.values())
    found["one/x"].temporary.write_bytes(b"theirs")
    again = {each.data: each for each in publisher.leftovers(["one/x"])}
    assert not again[b"theirs"].is_ours
    assert again[b"2"].file == ""
    assert not list(publisher.folder.glob("*.part"))


def test_without_the_exchange(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system lacks it, the old file is linked aside first: same result."""

    class Libc:
        def renameat2(self, *_: object) -> int:
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(steps, "_libc", Libc())
    one(publisher, b"new", b"old")
    assert read(publisher) == b"new"
    with pytest.raises(Busy):
        one(publisher, b"newer", b"something else")
    assert read(publisher) == b"new"
    assert listing(publisher) == ["Server.xml"]


# -- in place ----------------------------------------------------------------------------------


@pytest.fixture
def mounted(publisher: Publisher, tmp_path: Path) -> Iterator[Publisher]:
    """A Server.xml that is mounted as a single file, as containers do it."""
    source = tmp_path / "outside.xml"
    source.write_bytes(b"old")
    live = publisher.folder / "Server.xml"
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    command = ["mount", "--bind", str(source), str(live)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield publisher
    subprocess.run(["umount", str(live)], check=True)


def test_a_file_mounted_by_itself(mounted: Publisher, tmp_path: Path) -> None:
    """It cannot be exchanged: it is written in place, behind a journal."""
    assert mounted.needs_in_place("Server.xml")
    (prepared,) = prepare(mounted, {"Server.xml": b"longer than"}, {"Server.xml": b"old"})
    assert prepared.way is Way.IN_PLACE
    (journal,) = mounted.open_journals()
    assert (journal.file, journal.old, journal.new) == ("Server.xml", b"old", b"longer than")
    mounted.publish([prepared])
    mounted.discard([prepared])
    assert (tmp_path / "outside.xml").read_bytes() == b"longer than"
    one(mounted, b"", b"longer than")
    assert read(mounted) == b""
    assert list(mounted.open_journals()) == []
    assert listing(mounted) == ["Server.xml"]
    with pytest.raises(Busy):
        one(mounted, b"new", b"not this")
    with pytest.raises(Unwritable, match="there is no state folder"):
        one(Publisher(mounted.folder), b"new", b"")


def test_mounted_while_we_run(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that is refused as busy is tried again, then in place."""
    prepared = prepare(publisher, {"Server.xml": b"new"}, {"Server.xml": b"old"})

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(steps, "exchange", busy)
    with pytest.raises(Busy):
        publisher.publish(prepared)
    publisher.discard(prepared)
    monkeypatch.setattr(steps, "is_mount_point", lambda _: True)
    one(publisher, b"new", b"old")
    assert read(publisher) == b"new"


def test_an_owner_that_cannot_be_kept(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's file stays theirs: it is written in place."""

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(steps, "_copy_attributes", refused)
    (prepared,) = prepare(publisher, {"Server.xml": b"new"}, {"Server.xml": b"old"})
    assert prepared.way is Way.IN_PLACE
    publisher.publish([prepared])
    publisher.discard([prepared])
    assert read(publisher) == b"new"
    assert listing(publisher) == ["Server.xml"]


def test_undone_in_place(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """With several files, one written in place is written back."""
    monkeypatch.setattr(steps, "is_mount_point", lambda path: path.name == "Server.xml")
    (publisher.folder / "b.xml").write_bytes(b"theirs")
    new = {"Server.xml": b"new", "b.xml": b"2"}
    with pytest.raises(Busy):
        publish(publisher, new, {"Server.xml": b"old", "b.xml": b"b"})
    assert read(publisher) == b"old"


def test_nobody_sees_half_of_it(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens a file while it is written in place waits, where the kernel grants leases."""
    monkeypatch.setattr(steps, "is_mount_point", lambda _: True)
    live = publisher.folder / "Server.xml"
    old, new = b"a" * 3000, b"b" * 4000
    live.write_bytes(old)
    reader = (
        "import sys\nseen = set()\nprint('ready', flush=True)\n"
        "while b'end' not in seen:\n    seen.add(open(sys.argv[1], 'rb').read())\n"
        "print(len(seen), sum(map(len, seen)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", reader, str(live)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    write = steps._write_all

    def in_pieces(handle: int, data: bytes) -> None:
        for at in range(0, len(data), 100):
            write(handle, data[at : at + 100])

    monkeypatch.setattr(steps, "_write_all", in_pieces)
    for _ in range(20):
        for before, after in ((old, new), (new, old)):
            while True:  # the reader may have it open at this moment
                try:
                    one(publisher, after, before)
                    break
                except Busy:
                    continue
    live.write_bytes(b"end")
    printed, _ = process.communicate(timeout=20)
    assert printed.split()[0] in ("2", "3", "4"), printed


@given(st.binary(max_size=3000), st.binary(max_size=3000), st.integers(0, 3000))
def test_torn(old: bytes, new: bytes, at: int) -> None:
    """A write cut off at any byte is known for one, and a whole file is not."""
    at = min(at, len(new))
    torn = new[:at] + old[at:]
    assert is_torn(torn, old, new) == (torn not in (old, new))
    assert not is_torn(old, old, new)


def test_somebody_elses_bytes_are_not_torn() -> None:
    """Neither old nor new, nor a mixture of both."""
    old, new = b"a" * 2000, b"b" * 1500
    assert is_torn(new[:512] + old[512:1024] + new[1024:] + old[1500:], old, new)
    assert not is_torn(b"a" * 1000 + b"c" + b"a" * 999, old, new)
    assert not is_torn(b"a" * 5000, old, new)
    assert not is_torn(b"", old, new)


# -- obstacles ---------------------------------------------------------------------------------


def test_obstacles(publisher: Publisher) -> None:
    """Whether it can be written is known before it is tried."""
    assert publisher.obstacle("Server.xml") == ""
    if os.geteuid() == 0:
        folder = str(publisher.folder)
        mount = subprocess.run(["mount", "--bind", "-o", "ro", folder, folder],
                               capture_output=True, check=False)  # fmt: skip
        if mount.returncode:
            pytest.skip("mounting is not allowed here")
        try:
            assert publisher.obstacle("Server.xml").endswith("is on a read-only file system")
            with pytest.raises(Unwritable, match="read-only file system"):
                one(publisher, b"new", b"old")
        finally:
            subprocess.run(["umount", folder], check=True)
    else:
        publisher.folder.chmod(0o500)
        assert publisher.obstacle("Server.xml").endswith("is not writable")
        publisher.folder.chmod(0o700)
