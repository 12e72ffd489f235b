"""`make bench` measures what it says: a small run of it, with its proofs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PROJECT


@pytest.mark.long
def test_a_small_run(tmp_path: Path) -> None:
    """As many revisions as edits, all different, the file as it must be; and the report is kept."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--sizes", "1,20", "--edits", "4", "--no-peers",
         "--only", "edit,manual,order,start", "--results", str(tmp_path), "--work", str(tmp_path)],
        capture_output=True, text=True, timeout=240, cwd=PROJECT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("changes made") == 2
    assert done.stdout.count("to the byte") == 2
    (report,) = tmp_path.glob("*.json")
    sizes = json.loads(report.read_text())["sizes"]
    assert [each["applications"] for each in sizes] == [1, 20]
    for each in sizes:
        assert {"python -c pass", "omeconf status"} <= set(each["samples"])
