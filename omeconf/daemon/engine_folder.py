"""The engine's own folder: the last good configuration, published there for it to start with.

The API in it is moved to the port and token of ``[engine]``, since the one of the managed file is
ours. In live mode the start file has no virtual hosts; a complete file lies beside it, with which
the engine can be started without us (``-c`` and its folder).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from omeconf.core.render import start_file
from omeconf.core.snapshot import LEGACY_FILES, LOGGER_FILE
from omeconf.errors import Unwritable
from omeconf.settings import Engine
from omeconf.store.disk import translated
from omeconf.store.head import Head
from omeconf.store.steps import sync_folder

log = logging.getLogger(__name__)

COMPLETE = "complete"
"""The folder, inside of the engine's, with the complete file."""


class EngineFolder:
    """One engine's folder."""

    def __init__(self, settings: Engine, token: str) -> None:
        self.path = Path(settings.config_dir)
        self.settings = settings
        self.token = token

    def publish(self, head: Head) -> bool:
        """Write what a head says, if it is not there already; whether something was written.

        Raises Unwritable; then each file is old or new.
        """
        root, snapshot = head.checked.root, head.checked.snapshot
        assert root is not None, "head is good, so it has a tree"
        whole = self._instead()
        start = whole if self.settings.mode == "plain" else {
            **whole, "Server/VirtualHosts": "<VirtualHosts></VirtualHosts>"
        }  # fmt: skip
        files = {"Server.xml": start_file(root, snapshot, start)}
        if self.settings.mode == "live":
            files[f"{COMPLETE}/Server.xml"] = start_file(root, snapshot, whole)
        if snapshot.logger is not None:
            files |= {
                str(Path(name).with_name(LOGGER_FILE)): snapshot.logger for name in list(files)
            }
        with translated(f"cannot publish in {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)
            written = [self._write(self.path / name, data) for name, data in files.items()]
        for name in LEGACY_FILES:
            if (self.path / name).exists():
                raise Unwritable(f"{self.path / name} keeps the engine from starting: remove it")
        return any(written)

    def _instead(self) -> Mapping[str, str]:
        """The engine's own API, and not ours."""
        if not self.settings.url:
            return {"Server/Bind/Managers": "<Managers></Managers>"}
        port = urlsplit(self.settings.url).port
        return {
            "Server/Bind/Managers": f"<Managers><API><Port>{port}</Port></API></Managers>",
            "Server/Managers": "<Managers><Host><Names><Name>*</Name></Names></Host><API>"
            f"<AccessToken>{escape(self.token)}</AccessToken></API></Managers>",
        }

    def _write(self, target: Path, data: bytes) -> bool:
        target.parent.mkdir(exist_ok=True)
        if target.exists() and target.read_bytes() == data:
            return False
        temporary = target.with_name(f".{target.name}.tmp")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
        sync_folder(target.parent)
        return True
