"""What several tests need: configurations in memory, and the shared facts where they exist."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from omeconf.core.check import Checked, check
from omeconf.core.effective import EffectiveElement
from omeconf.core.schema import Schema
from omeconf.core.snapshot import Snapshot
from omeconf.store.disk import shipped_xsd

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples"
SHARED = PROJECT.parent / "shared"

MINIMAL = """<?xml version="1.0" encoding="UTF-8"?>
<Server version="8">
	<Type>origin</Type>
	<IP>*</IP>
	<Bind>
		<Providers>
			<RTMP>
				<Port>1935</Port>
			</RTMP>
		</Providers><Publishers ><LLHLS ><Port>3333</Port></LLHLS ></Publishers >
	</Bind>
	<VirtualHosts>
		<VirtualHost>
			<Name>default</Name><Host><Names><Name>*</Name></Names></Host>
			<Applications>
				<Application>
					<Name>app</Name>
					<Type>live</Type>
					<Publishers>
						<LLHLS>
							<SegmentDuration>6</SegmentDuration>
						</LLHLS>
					</Publishers>
				</Application>
				<Application>
					<Name>other</Name>
					<Type>live</Type>
				</Application>
			</Applications>
		</VirtualHost>
	</VirtualHosts>
</Server>
"""
"""Nothing is wrong with it. (The blanks before > keep the bound LLHLS out of the way of tests
that replace the application's.)"""


@cache
def schema() -> Schema:
    """The schema of release 0.21."""
    return Schema(shipped_xsd())


def shared(path: str) -> Path:
    """A file or folder of the shared facts; skips the test where they are not."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"the shared facts are not here: {found}")
    return found


def checked(
    text: str | bytes,
    files: Mapping[str, str | bytes] | None = None,
    *,
    env: Mapping[str, str] | None = None,
) -> Checked:
    """A configuration in memory, checked, with the other files it may include."""
    every = {"Server.xml": text, **(files or {})}
    source = Memory({k: v.encode() if isinstance(v, str) else v for k, v in every.items()})
    return check(Snapshot.take(source, folder="/etc/ome", env=env), schema())


def tree(text: str | bytes = MINIMAL) -> EffectiveElement:
    """The effective tree of a good configuration."""
    found = checked(text)
    assert found.root is not None
    assert found.is_good, found.errors
    return found.root


_NEEDED = {
    "VirtualHost": "<Name>v</Name><Host><Names><Name>*</Name></Names></Host>",
    "Application": "<Name>a</Name><Type>live</Type>",
    "OutputProfile": "<Name>p</Name><OutputStreamName>s</OutputStreamName>",
}


def around(where: str, fragment: str) -> str:
    """A configuration with a fragment inside the element at a path, ``Server/Bind``."""
    inside = fragment
    for name in reversed(where.split("/")[1:]):
        inside = f"<{name}>{_NEEDED.get(name, '')}{inside}</{name}>"
    bind = "" if "<Bind>" in inside else "<Bind><Providers><MPEGTS/></Providers></Bind>"
    return f'<Server version="8"><Type>origin</Type><IP>*</IP>{bind}{inside}</Server>'


class Memory:
    """Files in memory as a source of snapshots."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)

    def read(self, file: str) -> bytes:
        """The bytes of a file."""
        return self.files[file]

    def names(self, folder: str) -> tuple[str, ...] | None:
        """The files of a folder; None if there is none in it."""
        prefix = f"{folder}/" if folder else ""
        names = tuple(
            f[len(prefix) :]
            for f in self.files
            if f.startswith(prefix) and "/" not in f[len(prefix) :]
        )
        return names if names or not folder else None


def codes(found: Checked) -> list[str]:
    """The codes of all violations, in order."""
    return [violation.code for violation in found.violations]
