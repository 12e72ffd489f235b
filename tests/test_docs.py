"""The reference documentation is true: every code is in its table, and every example is found."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from omeconf.core.check import check
from omeconf.core.snapshot import Snapshot
from omeconf.errors import Unwritable
from tests.support import PROJECT, Memory, around, schema

ROW = re.compile(r"\| `([a-z-]+)` \| ([a-z, ]+) \| (.+) \| (.+?) \| `(.+)` \|")
MAKERS = {"violation", "Violation", "at", "_error", "report_file", "_unreadable"}
BESIDE = {"cycle.xml": b'<VirtualHosts include="cycle.xml"/>'}


def rows() -> list[tuple[str, str, str, str]]:
    text = (PROJECT / "docs/violations.md").read_text()
    return [(m[1], m[2], m[4].strip("`"), m[5]) for m in ROW.finditer(text)]


class Beside(Memory):
    """Some files beside Server.xml, one of them unreadable."""

    def names(self, folder: str) -> tuple[str, ...] | None:
        found = super().names(folder)
        return found if folder or found is None else (*found, "secret.xml")

    def read(self, file: str) -> bytes:
        if file == "secret.xml":
            raise Unwritable("cannot read secret.xml: permission denied")
        return super().read(file)


@pytest.mark.parametrize(("code", "weights", "where", "example"), rows())
def test_every_example_is_found(code: str, weights: str, where: str, example: str) -> None:
    """The example of each row gives the code of the row, with the first of its weights."""
    whole = example if where == "the file" else around(where, example)
    files = {"Server.xml": whole.encode(), **BESIDE}
    if code == "legacy-file":
        files["LastConfig.xml"] = b""
    found = check(Snapshot.take(Beside(files), folder="/etc/ome"), schema()).violations
    weight = weights.split(", ")[0]
    assert (code, weight) in {(v.code, v.severity.value) for v in found}, found


def codes_in_source() -> Iterator[str]:
    for path in (PROJECT / "omeconf/core").glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            if getattr(call.func, "attr", getattr(call.func, "id", "")) not in MAKERS:
                continue
            for argument in call.args:
                value = argument.value if isinstance(argument, ast.Constant) else None
                if isinstance(value, str) and re.fullmatch(r"[a-z]+(-[a-z]+)*", value):
                    yield value


def test_every_code_is_documented() -> None:
    """The table has the codes that the source has, each once."""
    documented = [code for code, *_ in rows()]
    assert sorted(documented) == sorted(set(codes_in_source()))


def fields_in_source() -> set[str]:
    """The names of all fields that a line of the log can have."""
    found = {"time", "level", "message", "logger", "request_id", "traceback"}
    for path in (PROJECT / "omeconf").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "fields":
                found |= {keyword.arg for keyword in call.keywords if keyword.arg}
    return found | {"peer", "uid", "pid"}


def test_every_field_of_the_log() -> None:
    """docs/logs.md has each, and no other."""
    text = (PROJECT / "docs/logs.md").read_text().partition("## Fields")[2]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", text, re.M)) == fields_in_source()


def test_every_event_of_the_log() -> None:
    """docs/logs.md has each kind, and no other."""
    text = (PROJECT / "docs/logs.md").read_text().partition("## Fields")[0]
    told = {name for row in re.findall(r"^\| (`.*?`) \|", text, re.M)
            for name in re.findall(r"`([a-z]+)`", row)} - {"event"}  # fmt: skip
    made: set[str] = set()
    for path in (PROJECT / "omeconf").rglob("*.py"):
        for match in re.finditer(r"\bevent=((?:\([^)]*\)|[^,)])*)", path.read_text()):
            made |= set(re.findall(r'"([a-z]+)"', match[1]))
    assert told == made
