"""What others take for the like: Caddy's admin API, and programs that read or edit XML."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks import files
from benchmarks.client import BadAnswer
from benchmarks.samples import Operation
from benchmarks.servers import Caddy, find_program

_APPLICATION = "/Server/VirtualHosts/VirtualHost/Applications/Application"
_VALUE = "Publishers/LLHLS/SegmentDuration"
MOST_FOR_AUGEAS = 100
"""With more applications it takes seconds and more."""


class Routes:
    """Caddy with as many routes as there are applications."""

    def __init__(self, caddy: Caddy, count: int, seed: int) -> None:
        self.caddy = caddy
        self.count = count
        self._chance = random.Random(seed)
        self._next = files.FIRST_VALUE

    def choose(self, number: int) -> int:
        """The route of a round: the first, the middle, the last, any, and again."""
        some = (0, self.count // 2, self.count - 1, self._chance.randrange(self.count))
        return some[number % 4]

    def edit(self, number: int) -> float:
        """PATCH one value of one route.

        Over a connection made just before, not counted: Caddy ends its admin server with every
        change, and the connections with it.
        """
        route, client = self.choose(number), self.caddy.client
        for _ in range(3):
            self._next += 1
            text = files.route_text(route, self._next)
            request = client.request("PATCH", f"/id/route{route}/handle/0/body", text)
            client.connect()
            with suppress(OSError):  # taken by the admin server that is about to end
                return client.send(request).seconds
        raise BadAnswer("Caddy takes no edit")

    def get(self, number: int) -> float:
        """GET one route."""
        client = self.caddy.client
        return client.send(client.request("GET", f"/id/route{self.choose(number)}")).seconds


def xml_tools(folder: Path, data: bytes, count: int) -> tuple[dict[str, Operation], list[str]]:
    """What the programs that are here do with the file; and why others are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "Server.xml"
    file.write_bytes(data)
    app = f"{_APPLICATION}[Name='app{count // 2}']/{_VALUE}"
    lens = f"/files/Server.xml{_APPLICATION}[{count // 2 + 1}]/{_VALUE}/#text"
    augtool = ["augtool", "-A", "-L", "-r", str(folder), "-t", "Xml.lns incl /Server.xml"]
    commands: dict[str, tuple[list[str], str]] = {
        "xmllint --noout": (["xmllint", "--noout", str(file)], ""),
        "xmlstarlet ed": (["xmlstarlet", "ed", "-L", "-u", app, "-v", "%d", str(file)], ""),
        "augtool": (augtool, f'load\nset "{lens}" %d\nsave\n'),
    }
    found: dict[str, Operation] = {}
    left_out: list[str] = []
    for name, (command, script) in commands.items():
        if find_program(command[0]) is None:
            left_out.append(f"{name}: {command[0]} is not installed")
        elif name == "augtool" and count > MOST_FOR_AUGEAS:
            left_out.append(f"{name} with {count:,} applications: it takes seconds and more")
        else:
            found[name] = _edits(command, script, file, reads=name.startswith("xmllint"))
    return found, left_out


def _edits(command: Sequence[str], script: str, file: Path, *, reads: bool) -> Operation:
    def run(number: int) -> float:
        value = 1_000_000 + number
        line = [part.replace("%d", str(value)) for part in command]
        seconds = timed(line, script.replace("%d", str(value)))
        if not reads and b">%d<" % value not in file.read_bytes():
            raise BadAnswer(f"{command[0]} has not edited the file")
        return seconds

    return run


def timed(command: Sequence[str], script: str = "") -> float:
    """How long a whole process takes. Raises BadAnswer if it fails."""
    begin = time.perf_counter()
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise BadAnswer(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return seconds
