"""The group on one machine that docs/fleet.md has to try."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import EXAMPLES, PROJECT
from tests.support.daemon import free_port
from tests.support.etcd import need_etcd

pytestmark = pytest.mark.fleet
LONGEST_S = 60.0


def test_try_it(tmp_path: Path) -> None:
    """Pasted into a shell, it ends with three members that run what was committed."""
    need_etcd()
    found = re.search(r"```sh\n(.*?)```", (PROJECT / "docs/fleet.md").read_text(), re.DOTALL)
    assert found is not None
    script = found[1]
    etcd = f"http://127.0.0.1:{free_port()}"
    peers = f"http://127.0.0.1:{free_port()}"
    for old, new in (
        ("port=8081", f"port={free_port()}"),
        ("http://127.0.0.1:2379", etcd),
        ("etcd --data-dir", f"etcd --listen-client-urls {etcd} --advertise-client-urls {etcd} "
                            f"--listen-peer-urls {peers} --data-dir"),
        ("sleep 1", "sleep 0.2"),
    ):  # fmt: skip
        assert old in script
        script = script.replace(old, new)
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    log = tmp_path / "log"
    with log.open("w") as out:
        shell = subprocess.Popen(
            ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, start_new_session=True,
            stdout=out, stderr=out,
        )  # fmt: skip
        try:
            assert shell.wait(LONGEST_S) == 0, log.read_text()
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    said = log.read_text()
    rows = re.findall(r"^([abc]) +present +\S+ +(\S+) +(\S+)", said, re.MULTILINE)[-3:]
    assert rows == [(node, "2", "2") for node in "abc"], said
    for node in "abc":
        text = (tmp_path / f"fleet/{node}/conf/Server.xml").read_text()
        assert "<SegmentDuration>4<" in text
