from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from omeconf.core.check import check
from omeconf.core.schema import parse_release
from omeconf.core.snapshot import Snapshot
from omeconf.errors import BadSettings
from omeconf.store.disk import Folder, shipped_schema
from tests.support import MINIMAL, PROJECT, SHARED, Memory, shared

COLUMNS = (
    "0.12.10", "0.13.2", "0.14.18", "0.15.14", "0.16.8", "0.17.3", "0.18.0", "0.19.0", "0.20.0",
    "0.21.0",
)  # fmt: skip


def registered() -> list[list[str]]:
    """The rows of the table path x release, from every release's own registry."""
    text = shared("ome/items-by-version.md").read_text()
    table = text[text.index("## 7. ") :]
    rows = [line.strip().strip("|").split("|") for line in table.splitlines() if "| `" in line]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


@pytest.mark.parametrize("release", COLUMNS)
def test_paths_of_a_release(release: str) -> None:
    """The model for a release has exactly the paths that this release registers."""
    column = 3 + COLUMNS.index(release)
    known = {row[0] for row in registered() if row[column]} | {"Server"}
    model = shipped_schema(release).items
    ours = set(model) | {f"{p}/@{name}" for p, item in model.items() for name in item.attributes}
    assert ours == known


def test_012_is_complete_and_strict() -> None:
    """259 paths, every required child insisted on, version 8 only."""
    schema = shipped_schema("0.12")
    required = {row[0] for row in registered() if row[3] == "R"}
    assert len(schema.items) - 1 + 1 == 259
    assert {p for p, item in schema.items.items() if item.is_enforced} == {
        path for path in required if "@" not in path
    }
    for version, is_taken in (("8", True), ("9", False)):
        text = MINIMAL.replace('version="8"', f'version="{version}"').replace("LLHLS", "HLS")
        found = check(Snapshot.take(Memory({"Server.xml": text.encode()})), schema)
        assert found.is_good == is_taken, found.errors


@pytest.mark.skipif(shutil.which("xmllint") is None, reason="xmllint is not installed")
@pytest.mark.parametrize("series", ["0.12", "0.21"])
def test_schemas_are_valid_xsd(series: str, tmp_path: Path) -> None:
    """Debian's xmllint loads each schema and says yes to a file."""
    file = tmp_path / "Server.xml"
    file.write_text(MINIMAL.replace("LLHLS", "HLS"))
    xsd = PROJECT / f"xsd/ome-{series}.xsd"
    run = subprocess.run(
        ["xmllint", "--noout", "--schema", str(xsd), str(file)], capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr


def upstream() -> list[tuple[str, str]]:
    """The engine's own examples: file, first release that ships it."""
    table = SHARED / "examples-ome/verdicts.tsv"
    if not table.exists():
        return []
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    return [(row[0], row[1].removeprefix("v")) for row in rows if "Logger" not in row[0]]


NOT_LOADED = {
    "v0.12.3_Server.xml": "not well-formed",
}
"""Examples that the release that shipped them could not load itself, and why."""


@pytest.mark.parametrize(("name", "release"), upstream())
def test_examples_of_each_release(name: str, release: str) -> None:
    """What a release ships is good for that release."""
    if parse_release(release) < (0, 12, 0):
        pytest.skip("older than 0.12")
    path = SHARED / "examples-ome" / name
    folder = Folder(path.parent)
    snapshot = Snapshot.take(folder, main=path.name, folder=str(folder.path), env={})
    found = check(snapshot, shipped_schema(release))
    assert found.is_good == (name not in NOT_LOADED), found.errors


def test_what_comes_later_is_told() -> None:
    """An element of a later release says from which one on it is known."""
    text = MINIMAL.replace("<LLHLS>", "<Push /><LLHLS>")
    found = check(Snapshot.take(Memory({"Server.xml": text.encode()})), shipped_schema("0.16.5"))
    hints = {v.message: v.hint for v in found.errors}
    assert hints["<Push> is not known in <Publishers>"] == "it is known from 0.16.6 on"
    assert check(
        Snapshot.take(Memory({"Server.xml": text.encode()})), shipped_schema("0.16.6")
    ).is_good


def test_ignore_came_with_0_15_13() -> None:
    """Before, the attribute was not read, and the element counted."""
    text = MINIMAL.replace("<Type>origin</Type>", '<Type ignore="true">x</Type><Type>edge</Type>')
    source = Memory({"Server.xml": text.encode()})
    assert check(Snapshot.take(source), shipped_schema("0.15.13")).is_good
    assert not check(Snapshot.take(source), shipped_schema("0.15.12")).is_good


def test_releases() -> None:
    """A series means its newest release; what is not known is refused."""
    assert parse_release("0.16") > parse_release("0.16.8") > parse_release("0.16.0")
    assert parse_release("v0.21.0") == (0, 21, 0)
    for wrong in ("0.11", "0.22", "1.0", "new", "0"):
        with pytest.raises(BadSettings):
            shipped_schema(wrong)
