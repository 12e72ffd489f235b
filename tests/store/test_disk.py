from __future__ import annotations

from pathlib import Path

import pytest

from omeconf.errors import Conflict, NotFound, Unwritable
from omeconf.store.disk import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "Server.xml").write_bytes(b"old")
    return Folder(tmp_path)


def test_lock(folder: Folder, tmp_path: Path) -> None:
    """A second daemon on the same folder is refused, until the first lets go."""
    folder.lock("Server.xml")
    other = Folder(folder.path)
    with pytest.raises(Conflict, match="another omeconf already manages"):
        other.lock("Server.xml")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/Server.xml").symlink_to("../Server.xml")
    linked = Folder(tmp_path / "link")
    with pytest.raises(Conflict, match="another omeconf already manages"):
        linked.lock("Server.xml")
    folder.unlock()
    linked.lock("Server.xml")
    with pytest.raises(Conflict):
        other.lock("Server.xml")
    linked.unlock()
    other.lock("Server.xml")
    other.unlock()


def test_what_cannot_be_read(folder: Folder, tmp_path: Path) -> None:
    """What the disk refuses is told in words."""
    with pytest.raises(NotFound, match=r"cannot read gone\.xml: there is no such file"):
        folder.read("gone.xml")
    with pytest.raises(Unwritable, match="is a directory"):
        Folder(tmp_path.parent).read(tmp_path.name)
    (tmp_path / "loop.xml").symlink_to("loop.xml")
    with pytest.raises(Unwritable, match=r"cannot read loop\.xml"):
        folder.read("loop.xml")


def test_names(folder: Folder) -> None:
    """Only regular files count, and ours do not."""
    (folder.path / ".omeconf-Server.xml-1-2-3.tmp").touch()
    (folder.path / "sub").mkdir()
    assert folder.names("") == ("Server.xml",)
    assert folder.names("no") is None


def test_rescue(folder: Folder, tmp_path: Path) -> None:
    """Bytes that would be lost are kept, each once."""
    kept = folder.rescue(tmp_path / "state/rescued", "sub/a.xml", b"work")
    assert kept.read_bytes() == b"work"
    assert kept.parent.stat().st_mode & 0o077 == 0
    assert folder.rescue(tmp_path / "state/rescued", "sub/a.xml", b"work") == kept
    assert folder.rescue(tmp_path / "state/rescued", "sub/a.xml", b"more") != kept
