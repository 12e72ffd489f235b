"""Certificate files: when one is renewed, the engine is told to read it again, and drops nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from omeconf.core.effective import EffectiveElement
from omeconf.core.render import resolved
from omeconf.core.values import expand
from omeconf.store.head import Head

FILES = ("CertPath", "KeyPath", "ChainCertPath")
MANAGERS = ""
"""Stands for the engine's own API where else the name of a virtual host is."""

Seen = Mapping[str, tuple[int, ...] | None]
"""What is known of each file; None if it is away."""


class Certificates:
    """The certificate files of a head, as they were when they were last looked at."""

    def __init__(self, *, of_managers: bool) -> None:
        """of_managers: those of the engine's own API, too."""
        self.of_managers = of_managers
        self._known: dict[str, Seen] | None = None
        """As the engine has read them, by virtual host; None before the first look: they may have
        been renewed while we were away."""
        self._last: dict[str, Seen] = {}
        """As they were at the last look."""

    def renewed(self, head: Head) -> list[str]:
        """The virtual hosts whose files are others than the engine has read.

        Only those where the last look saw the same already: the others are being renewed, and
        a key without its certificate would be refused. `is_read` ends it.
        """
        now: dict[str, Seen] = {
            name: {path: stamp(path) for path in files} for name, files in _files(head)
        }
        if not self.of_managers:
            now.pop(MANAGERS, None)
        if self._known is None:
            self._known = {name: dict.fromkeys(seen, ()) for name, seen in now.items()}
        for name, seen in now.items():
            if seen.keys() != self._known.get(name, {}).keys():
                self._known[name] = seen  # the engine reads them when it is given their paths
        found = [
            name
            for name, seen in now.items()
            if seen != self._known[name]
            and seen == self._last.get(name)
            and None not in seen.values()
        ]
        self._known = {name: seen for name, seen in self._known.items() if name in now}
        self._last = now
        return found

    def is_read(self, name: str) -> None:
        """The engine has read the files of a virtual host again."""
        assert self._known is not None
        self._known[name] = self._last[name]


def _files(head: Head) -> Iterator[tuple[str, list[str]]]:
    root = head.checked.root
    if root is None:
        return
    for host in root.every("VirtualHosts/VirtualHost"):
        yield host.key or "", list(_paths(host, "Host/TLS", head))
    yield MANAGERS, list(_paths(root, "Managers/Host/TLS", head))


def _paths(node: EffectiveElement, where: str, head: Head) -> Iterator[str]:
    snapshot = head.checked.snapshot
    for name in FILES:
        for found in node.every(f"{where}/{name}"):
            text = expand(found.element.value, snapshot.env)
            if text:
                yield resolved(found, snapshot, text)


def stamp(path: str) -> tuple[int, ...] | None:
    """What changes when a file is written or replaced; None if it is away."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
