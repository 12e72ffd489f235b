"""Where a snapshot's files come from, if not straight from the folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from omeconf.errors import NotFound
from omeconf.store.disk import Folder


class Recorded:
    """The files of a revision, as a source of snapshots."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def read(self, file: str) -> bytes:
        """The bytes of a file. Raises NotFound."""
        if file not in self.files:
            raise NotFound(f"the revision has no file {file}")
        return self.files[file]

    def names(self, folder: str) -> tuple[str, ...] | None:
        """The files it has in a folder."""
        paths = [PurePosixPath(file) for file in self.files]
        wanted = PurePosixPath(folder or ".")
        return tuple(path.name for path in paths if path.parent == wanted)


class Replaced:
    """A folder with one file as somebody wants it to be."""

    def __init__(
        self, folder: Folder, file: str, data: bytes, outside: Collection[str] | None = None
    ) -> None:
        """outside: the only files outside of the folder that may be read; None: any."""
        self.folder = folder
        self.file = file
        self.data = data
        self.outside = outside

    def read(self, file: str) -> bytes:
        """The bytes of a file. Raises NotFound or Unwritable."""
        return self.data if file == self.file else self.folder.read(file)

    def names(self, folder: str) -> tuple[str, ...] | None:
        """The regular files of a folder, as far as they may be read; None if missing."""
        found = self.folder.names(folder)
        if found is None or self.outside is None or not folder.startswith("/"):
            return found
        return tuple(name for name in found if f"{folder.rstrip('/')}/{name}" in self.outside)


class Layered:
    """Some files, and below them a folder: what it would be with them in it."""

    def __init__(
        self, files: Mapping[str, bytes], folder: Folder, outside: Collection[str] | None = None
    ) -> None:
        """outside: the only files outside of the folder that may be read; None: any."""
        self.above = Recorded(files)
        self.below = Replaced(folder, "", b"", outside)

    def read(self, file: str) -> bytes:
        """The bytes of a file. Raises NotFound or Unwritable."""
        return self.above.files[file] if file in self.above.files else self.below.read(file)

    def names(self, folder: str) -> tuple[str, ...] | None:
        """The files that would be in a folder; None if it is missing, and none of them in it."""
        above, below = self.above.names(folder) or (), self.below.names(folder)
        if below is None:
            return above or None
        return tuple({*above, *below})
