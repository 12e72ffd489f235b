from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support import EXAMPLES, PROJECT

pytestmark = pytest.mark.long


def test_the_wheel_works_alone(tmp_path: Path) -> None:
    """Built and installed elsewhere, it has its schema with it and checks a file."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(PROJECT)], check=True)
    (wheel,) = tmp_path.glob("omeconf-*.whl")
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin/python"
    subprocess.run([str(python), "-m", "pip", "-q", "install", str(wheel)], check=True)
    run = subprocess.run(
        [str(environment / "bin/omeconf"), "check", str(EXAMPLES / "origin")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (environment / "share/man/man1/omeconf.1").exists()
    command = [str(environment / "bin/omeconf"), "install-units", "--conf", "/etc/ome",
               "--command", "/usr/bin/omeconf", "--root", str(tmp_path / "staged")]  # fmt: skip
    subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    assert (tmp_path / "staged/etc/systemd/system/omeconf.service").exists()
    served = "import omeconf.api.console as c; print(len(c.assets()), (c.FOLDER / c.PAGE).exists())"
    shown = subprocess.run(
        [str(python), "-c", served], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert shown.split() == ["3", "True"]
    where = "import omeconf.store.disk as d; print(len(d.shipped_xsd()), d.__file__)"
    shown = subprocess.run(
        [str(python), "-c", where], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert str(environment) in shown
