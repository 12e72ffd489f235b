"""omeconf at one size: its requests, and what the file has to be after them."""

from __future__ import annotations

import random
import time
from pathlib import Path

from benchmarks import files
from benchmarks.client import Events
from benchmarks.servers import Omeconf

STALE = '"1-0000000000000000"'
"""An ETag that nothing has."""


class Subject:
    """A daemon on a Server.xml with so many applications, and what was done to it."""

    def __init__(self, program: Path, folder: Path, count: int, seed: int) -> None:
        self.count = count
        self.values: dict[int, int] = {}
        """<SegmentDuration> of the applications that were edited."""
        self.revisions = 0
        """How many revisions there have to be by what was done."""
        self._next = files.FIRST_VALUE
        self._chance = random.Random(seed)
        self.server = Omeconf(program, folder, files.server_xml(count))
        self.client = self.server.client
        self.revisions = self.newest()

    def choose(self, number: int) -> int:
        """The application of a round: the first, the middle, the last, any, and again."""
        some = (0, self.count // 2, self.count - 1, self._chance.randrange(self.count))
        return some[number % 4]

    def edit(self, number: int) -> float:
        """PATCH a value that was never there before."""
        app, value = self.choose(number), self._new_value()
        seconds = self.client.send(self._patch(app, value)).seconds
        self._was_edited(app, value)
        return seconds

    def no_op(self, number: int) -> float:
        """PATCH the value that is there."""
        app = self.choose(number)
        request = self._patch(app, self.values.get(app, files.FIRST_VALUE))
        return self.client.send(request).seconds

    def stale(self, number: int) -> float:
        """PATCH a new value, with an If-Match that is not so."""
        request = self._patch(self.choose(number), self._next + 1, If_Match=STALE)
        return self.client.send(request, wanted=412).seconds

    def get(self, number: int) -> float:
        """GET an application."""
        return self.client.send(self.client.request("GET", path(self.choose(number)))).seconds

    def get_known(self, number: int) -> float:
        """GET an application that we have already."""
        where = path(self.choose(number))
        tag = self.client.get(where).header("ETag")
        request = self.client.request("GET", where, If_None_Match=tag)
        return self.client.send(request, wanted=304).seconds

    def save(self, number: int, events: Events) -> float:
        """Save the file by hand, as an editor does; the time until the new revision is told of."""
        app, value = self.choose(number), self._new_value()
        beside = self.server.file.with_name("Server.xml~")
        beside.write_bytes(files.changed(self.server.file.read_bytes(), app, value))
        begin = time.perf_counter()
        beside.rename(self.server.file)
        seconds = events.wait_for_revision() - begin
        self._was_edited(app, value)
        return seconds

    def newest(self) -> int:
        """The number of the newest revision."""
        found = self.client.get("/omeconf/v1/revisions?limit=1").json()["revisions"]
        return int(found[0]["number"])

    def expected(self) -> bytes:
        """What the file has to be now, to the byte."""
        return files.server_xml(self.count, self.values)

    def _new_value(self) -> int:
        self._next += 1
        return self._next

    def _was_edited(self, app: int, value: int) -> None:
        self.values[app] = value
        self.revisions += 1

    def _patch(self, app: int, value: int, **headers: str) -> bytes:
        body = {"publishers": {"llhls": {"segmentDuration": value}}}
        return self.client.request("PATCH", path(app), body, **headers)


def path(app: int) -> str:
    """Where an application is in the API."""
    return f"/v1/vhosts/default/apps/app{app}"
