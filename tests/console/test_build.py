from __future__ import annotations

import filecmp
import subprocess
from pathlib import Path

from omeconf.api.console import FOLDER
from tests.console import SOURCES, give_up


def test_built_from_the_sources(tmp_path: Path) -> None:
    """What is served is what the sources give, to the byte."""
    if not (SOURCES / "node_modules").exists():
        give_up("the console's libraries are not installed: make test-console does it")
    run = ["node", "build.mjs", str(tmp_path)]
    subprocess.run(run, cwd=SOURCES, check=True, capture_output=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in FOLDER.iterdir())
    same, other, broken = filecmp.cmpfiles(tmp_path, FOLDER, names, shallow=False)
    assert (other, broken) == ([], []), "run make console, and commit what it built"
    assert same == names


def test_types() -> None:
    """The types of the sources are right."""
    if not (SOURCES / "node_modules").exists():
        give_up("the console's libraries are not installed: make test-console does it")
    check = ["npm", "run", "--silent", "check"]
    run = subprocess.run(check, cwd=SOURCES, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
