"""200 edits at once, and a hook that takes a second: a few calls, and each answer is true."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support import MINIMAL
from tests.support.daemon import Daemon

EDITS = 200
TEXT = MINIMAL.replace(
    "<VirtualHosts>",
    "<Managers><API><AccessToken>ome-access-token</AccessToken></API></Managers><VirtualHosts>",
).replace(
    "<Providers>", "<Managers><API><Port>@PORT@</Port></API></Managers><Providers>", 1
)  # fmt: skip
SETTINGS = """
[watch]
settle_s = 0.05
[reload]
wait_s = 60
on_failure = "{on_failure}"
[[hooks]]
run = ["sh", "-c", "sleep 1; echo $OMECONF_REVISION >> {calls}; exit {code}"]
retries = 0
"""


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("code", [0, 1])
def test_a_burst(tmp_path: Path, code: int) -> None:
    """At most 4 calls if they succeed; if they fail, nobody is told ok, and all is taken back."""
    calls = tmp_path / "calls"
    settings = SETTINGS.format(calls=calls, code=code, on_failure="revert")
    with Daemon(tmp_path, TEXT, settings=settings) as daemon:
        before = daemon.text
        answers = []

        def edit(count: int) -> None:
            body = {"publishers": {"llhls": {"segmentCount": count}}}
            answers.append(daemon.call("PATCH", "/v1/vhosts/default/apps/app", body))

        threads = [threading.Thread(target=edit, args=(10 + n,)) for n in range(EDITS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == EDITS
        told = {(a.status, a.headers.get("omeconf-reload")) for a in answers}
        made = calls.read_text().split()
        if code == 0:
            assert told == {(200, "ok")}
            assert len(made) <= 4
            assert daemon.status()["revision"]["running"] == int(made[-1]) == 1 + EDITS
        else:
            assert told == {(502, None)}
            assert daemon.text == before
