"""A real daemon that gets edits over its API while somebody saves the file in every way."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from omeconf.store.history import History
from tests.support import EXAMPLES, PROJECT, checked
from tests.support.daemon import DEADLINE_S, Daemon, wait_for
from tests.torture import record

OURS = re.compile(r"(?<=<SegmentCount>)\d+(?=</SegmentCount> <!-- ours -->)")
THEIRS = re.compile(r"(?<=<SegmentCount>)\d+(?=</SegmentCount> <!-- theirs -->)")
MARKER = re.compile(r"<!--m\d+-->")
APP = """<Application>
	<Name>{0}</Name>
	<Type>live</Type>
	<Publishers>
		<LLHLS>
			<SegmentCount>10</SegmentCount> <!-- {0} -->
		</LLHLS>
	</Publishers>
</Application>
"""
HOST = f"""<VirtualHost>
<Name>torture</Name>
<Host><Names><Name>torture.example.com</Name></Names></Host>
<Applications>
{APP.format("ours")}{APP.format("theirs")}</Applications>
</VirtualHost>
</VirtualHosts>"""
SETTINGS = """
[watch]
settle_s = 0.05
look_every_s = 0.5
[history]
keep = 1000000
[reload]
wait_s = 0.0
"""
MOST_WAITING = 2
"""So many saves are asked for at once, at most."""
MOST_UNSEEN = 3
"""So many saves of one run may be saved over, on the same line, by somebody who did not see them:
they are kept in the history, and the log says so.
"""


class Somebody:
    """The writer process, and what it tells."""

    def __init__(self, file: Path) -> None:
        self.saves: list[dict[str, Any]] = []
        self.asked = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.writer", str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.saves.append(json.loads(line))

    @property
    def kept(self) -> int:
        """How many values it saved without giving up."""
        return sum(1 for save in self.saves if save["value"] and not save["error"])

    def ask(self) -> None:
        """Have it save once, unless it is behind."""
        assert self.process.stdin is not None
        if self.asked - len(self.saves) < MOST_WAITING:
            self.asked += 1
            self.process.stdin.write("go\n")
            self.process.stdin.flush()

    def ends(self) -> None:
        """Wait for its last save."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(DEADLINE_S) == 0
        self._reader.join(DEADLINE_S)
        assert len(self.saves) == self.asked


@contextmanager
def somebody(file: Path) -> Iterator[Somebody]:
    made = Somebody(file)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def run(daemon: Daemon, edits: int, seed: int) -> tuple[dict[int, int], list[int], Somebody]:
    """Values by the revision that has them, what was refused, and whoever saved meanwhile."""
    chance = random.Random(seed)
    taken: dict[int, int] = {}
    refused: list[int] = []
    with somebody(daemon.server_xml) as writer:
        until_save = 1
        for value in itertools.count(1000):
            if value >= 1000 + edits and (writer.kept >= edits // 20 or value > 1000 + 9 * edits):
                break  # edits are faster than editors: some more, until there were enough saves
            until_save -= 1
            if not until_save:
                writer.ask()
                until_save = chance.randint(1, 4)
            answer = daemon.call(
                "PATCH",
                "/v1/vhosts/torture/apps/ours",
                {"publishers": {"llhls": {"segmentCount": value}}},
            )
            if answer.status == 200:
                taken[int(answer.headers["omeconf-revision"])] = value
            else:
                assert answer.status in (409, 503), (answer.status, answer.json)
                refused.append(answer.status)
        writer.ends()
    return taken, refused, writer


def is_at_rest(daemon: Daemon) -> bool:
    """Whether what lies on disk is the newest revision."""
    status = daemon.status()
    is_head = status["revision"]["head"] == status["revision"]["disk"]
    text = checked(daemon.text)
    newest = daemon.get("/omeconf/v1/revisions?limit=1")["revisions"][0]
    return bool(is_head and newest["digest"] == text.snapshot.digest)


def lost(
    taken: dict[int, int], saves: list[dict[str, Any]], states: dict[int, str], start: str
) -> list[str]:
    """What is in no revision, or was changed by nobody."""
    found = [
        f"revision {number} has not {value}"
        for number, value in taken.items()
        if value_of(OURS, states.get(number, "")) != str(value)
    ]
    values = {value_of(THEIRS, state) for state in states.values()}
    markers = {marker for state in states.values() for marker in MARKER.findall(state)}
    for save, following in zip(saves, [*saves[1:], None], strict=True):
        was_seen = following is not None and following["found"] == save["value"]
        if save["error"]:
            continue  # the person was told
        if save["value"] and save["value"] not in values and not was_seen:
            found.append(f"save {save} is in no revision")
        if save["marker"] and save["marker"] not in markers:
            found.append(f"save {save} is in no revision")
    found += [
        f"revision {number}: other bytes have changed"
        for number, state in states.items()
        if plain(state).rstrip() != plain(start).rstrip()
    ]
    return found


def value_of(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[0] if match else ""


def plain(text: str) -> str:
    """Without all that is meant to change."""
    return MARKER.sub("", OURS.sub("10", THEIRS.sub("10", text)))


def saved_over_unseen(log: str, states: dict[int, str]) -> set[str]:
    """Markers that were saved over on the same line by somebody who did not see them, as the log
    says of each: they are in one revision and not in the next.
    """
    told = log.count("saved over by somebody who did not see it")
    numbers = sorted(states)
    gone = {
        marker
        for number, following in itertools.pairwise(numbers)
        for marker in set(MARKER.findall(states[number])) - set(MARKER.findall(states[following]))
    }
    return gone if len(gone) <= told else set()


def storm(folder: Path, edits: int, seed: int) -> None:
    """Edits and saves at the same time, and where each of them is afterwards."""
    text = (EXAMPLES / "origin/Server.xml").read_text()
    text = text.replace("<Port>8081</Port>", "<Port>@PORT@</Port>")
    text = text.replace("</VirtualHosts>", HOST, 1)
    with Daemon(folder, text, settings=SETTINGS) as daemon:
        start = daemon.text
        taken, refused, writer = run(daemon, edits, seed)
        edits = len(taken) + len(refused)
        wait_for(lambda: is_at_rest(daemon))
        end = daemon.text
        assert "Traceback" not in daemon.log
    history = History(folder / "state/history.sqlite")
    states = {
        r.number: history.files(r.number)["Server.xml"].decode()
        for r in history.newest(limit=1_000_000)
    }
    history.close()
    harm = lost(taken, writer.saves, states, start)
    saves = [save for save in writer.saves if not save["error"]]
    failed = len(writer.saves) - len(saves)
    print(
        f"torture: writers: {edits} API edits, {len(saves)} manual saves "
        f"({failed} that the editor gave up), {len(harm)} lost, "
        f"{100 * len(taken) / edits:.1f} % taken"
    )
    assert not harm, "\n".join(harm[:20])
    assert end == states[max(states)]
    assert plain(end) == plain(start)
    assert checked(end).is_good
    given_up = {save["marker"] for save in writer.saves if save["error"]}
    unseen = saved_over_unseen(daemon.log, states)
    wanted = [save["marker"] for save in saves if save["marker"] and save["marker"] not in unseen]
    found = [marker for marker in MARKER.findall(end) if marker not in given_up | unseen]
    assert found == wanted
    assert len(unseen) <= MOST_UNSEEN, unseen
    values = [save["value"] for save in writer.saves if save["value"]]
    wanted = [save["value"] for save in saves if save["value"]]
    assert value_of(THEIRS, end) in values[values.index(wanted[-1]) :]
    gave_up = {save["way"] for save in writer.saves if save["error"]}
    assert gave_up <= {"vim_renames", "vim_copies"}, "vim sees that another edit came, and says so"
    assert len(taken) >= 0.95 * edits, f"{len(refused)} refused"
    assert not list(daemon.conf.glob(".omeconf-*"))
    record("edits against a manual writer", f"seed {seed}", edits, saves=len(saves))


def test_some_saves(tmp_path: Path) -> None:
    """Sixty edits while somebody saves in seven ways: nothing is lost on either side."""
    storm(tmp_path, 60, seed=1)


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [2, 3])
def test_many_saves(tmp_path: Path, seed: int) -> None:
    """Two thousand."""
    storm(tmp_path, 2000, seed)
