from __future__ import annotations

import pytest

from omeconf.core.snapshot import Snapshot, _regex
from omeconf.errors import NotFound
from tests.support import MINIMAL, Memory

HOST = "<VirtualHost><Name>{}</Name></VirtualHost>"


def take(files: dict[str, str], **options: object) -> Snapshot:
    source = Memory({name: text.encode() for name, text in files.items()})
    return Snapshot.take(source, **options)  # type: ignore[arg-type]


def including(pattern: str) -> str:
    return f'<Server><VirtualHosts><VirtualHost include="{pattern}"/></VirtualHosts></Server>'


def test_digest_is_of_all_files() -> None:
    """Any byte, any name, any further file makes another digest; order does not."""
    one = take({"Server.xml": including("v/*.xml"), "v/a.xml": HOST, "v/b.xml": HOST})
    two = take({"v/b.xml": HOST, "v/a.xml": HOST, "Server.xml": including("v/*.xml")})
    less = take({"Server.xml": including("v/*.xml"), "v/a.xml": HOST})
    assert one.digest == two.digest
    assert len({one.digest, less.digest, take({"Server.xml": MINIMAL}).digest}) == 3
    assert set(one.files) == {"Server.xml", "v/a.xml", "v/b.xml"}


def test_current_folder() -> None:
    """A relative include inside a sub-folder starts at the configuration folder again."""
    files = {
        "Server.xml": including("v/a.xml"),
        "v/a.xml": '<VirtualHost include="b.xml"/>',
        "b.xml": HOST,
        "v/b.xml": "<Wrong/>",
    }
    assert set(take(files).files) == {"Server.xml", "v/a.xml", "b.xml"}


def test_absolute_includes() -> None:
    """One that points into the folder is the same file; one outside keeps its path."""
    inside = take({"Server.xml": including("/etc/ome/a.xml"), "a.xml": HOST}, folder="/etc/ome")
    assert set(inside.files) == {"Server.xml", "a.xml"}
    files = {"Server.xml": including("/srv/a.xml"), "/srv/a.xml": HOST}
    outside = take(files, folder="/etc/ome")
    assert [f for f in outside.files if not outside.is_inside(f)] == ["/srv/a.xml"]


def test_patterns() -> None:
    """* and ? are wildcards, ( ) ] keep their regular meaning, all else stands for itself."""
    import re

    matches = {
        ("VHost*.xml", "VHost1.xml"): True,
        ("VHost?.xml", "VHost.xml"): True,
        ("a.xml", "aXxml"): False,
        ("(a).xml", "a.xml"): True,
        ("a+b.xml", "a+b.xml"): True,
        ("vhost*.xml", "VHost1.xml"): False,
    }
    for (pattern, name), wanted in matches.items():
        assert (re.fullmatch(_regex(pattern), name) is not None) == wanted, pattern


def test_a_temporary_must_not_be_included() -> None:
    """Whether an include would take up a new file is known before it is written."""
    snapshot = take({"Server.xml": including("v/*"), "v/a": HOST})
    assert snapshot.would_include("v/.omeconf-a.tmp")
    assert not snapshot.would_include(".omeconf-a.tmp")


def test_macros_in_includes() -> None:
    """The engine's environment decides what is included; without it the default does."""
    files = {"Server.xml": including("${env:WHICH:a}.xml"), "a.xml": HOST, "b.xml": HOST}
    assert set(take(files).files) == {"Server.xml", "a.xml"}
    assert set(take(files, env={"WHICH": "b"}).files) == {"Server.xml", "b.xml"}


def test_missing_main_file() -> None:
    """Without Server.xml there is no snapshot."""

    class Nothing:
        def read(self, file: str) -> bytes:
            raise NotFound(file)

        def names(self, _folder: str) -> None:
            return None

    with pytest.raises(NotFound):
        Snapshot.take(Nothing())
