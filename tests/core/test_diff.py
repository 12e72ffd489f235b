from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omeconf.core.diff import Kind, changes, unified, unified_text
from tests.support import MINIMAL, checked


def changed(old: str, new: str) -> list[tuple[str, str]]:
    found = changes(checked(old).root, checked(new).root)
    return [(change.kind.value, str(change.path).rpartition("/")[2]) for change in found]


def test_values_and_elements() -> None:
    """Changed, added and removed elements are found, by their path."""
    assert changed(MINIMAL, MINIMAL.replace("1935", "1936")) == [("changed", "Port")]
    more = MINIMAL.replace("<LLHLS>", "<OVT /><LLHLS>")
    assert changed(MINIMAL, more) == [("added", "OVT")]
    assert changed(more, MINIMAL) == [("removed", "OVT")]
    renamed = MINIMAL.replace("<Name>other<", "<Name>third<")
    assert changed(MINIMAL, renamed) == [
        ("removed", 'Application[Name="other"]'), ("added", 'Application[Name="third"]'),
    ]  # fmt: skip


def test_what_the_engine_does_not_see() -> None:
    """Comments, layout, order of elements and another way to write a value are no change."""
    same = (
        MINIMAL.replace("\t", "  ")
        .replace("<Bind>", "<!-- c --><Bind>")
        .replace("<Port>1935</Port>", "<Port> 1935/tcp </Port>")
        .replace("<SegmentDuration>6<", "<SegmentDuration>6.0<")
        .replace("<IP>*</IP>", "")
        .replace("<Type>origin</Type>", "<IP>*</IP><Type>origin</Type>")
    )
    assert changed(MINIMAL, same) == []


def test_whole_wrappers() -> None:
    """A wrapper that comes or goes counts as what it holds."""
    start, end = MINIMAL.index("\t\t\t<Applications>"), MINIMAL.index("\t\t</VirtualHost>")
    assert changed(MINIMAL, MINIMAL[:start] + MINIMAL[end:]) == [
        ("removed", 'Application[Name="app"]'), ("removed", 'Application[Name="other"]'),
    ]  # fmt: skip


def test_order_of_named_items() -> None:
    """Another order of virtual hosts is a move."""
    host = "<VirtualHost><Name>{}</Name></VirtualHost>"
    one = MINIMAL.replace("<VirtualHosts>", "<VirtualHosts>" + host.format("a") + host.format("b"))
    two = MINIMAL.replace("<VirtualHosts>", "<VirtualHosts>" + host.format("b") + host.format("a"))
    assert changed(one, two) == [(Kind.MOVED.value, "VirtualHost")]


def test_secrets_are_not_shown() -> None:
    """A changed secret is shown as changed, not as what it is."""
    policy = "<SignedPolicy><SecretKey>{}</SecretKey></SignedPolicy><Applications>"
    old, new = (MINIMAL.replace("<Applications>", policy.format(s)) for s in ("one", "two"))
    (change,) = changes(checked(old).root, checked(new).root)
    assert change.as_json()["old"] == change.as_json()["new"] == "***"


def test_unified_text() -> None:
    """The file diff is in the form that everyone knows."""
    new = checked(MINIMAL.replace("1935", "1936"))
    lines = unified(checked(MINIMAL).snapshot, new.snapshot).splitlines()
    assert lines[:3] == ["--- a/Server.xml", "+++ b/Server.xml", "@@ -5,7 +5,7 @@"]
    assert [line for line in lines if line[0] in "+-"][2:] == [
        "-\t\t\t\t<Port>1935</Port>", "+\t\t\t\t<Port>1936</Port>",
    ]  # fmt: skip
    assert unified_text("f", b"same", b"same") == ""


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_patch_takes_it(old: list[str], new: list[str]) -> None:
    """`patch` makes the new file of the old one, also without a final newline."""
    import tempfile

    before, after = "\n".join(old).encode(), "\n".join(new).encode()
    text = unified_text("f", before, after)
    if not text:
        assert before == after
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f"
        file.write_bytes(before)
        subprocess.run(["patch", "-s", "-p1"], input=text.encode(), cwd=folder, check=True)
        assert (file.read_bytes() if file.exists() else b"") == after


def test_unified_text_of_other_encodings() -> None:
    """Only a newline ends a line, and bytes that are no UTF-8 still show that they differ."""
    assert unified_text("f", "a\u2028b\n".encode(), "a\u2028c\n".encode()).count("\n") == 5
    assert "\\xe8" in unified_text("f", b"\xe9\n", b"\xe8\n")
