"""A daemon whose configuration goes to and fro between two states, and what must always hold."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.daemon import DEADLINE_S, Answer
from tests.torture.daemons import APP, SETTINGS, Broken, Quick, State, Strace, Zygote


class Point(NamedTuple):
    """A system call of an edit."""

    place: int
    """Of the thread: 0 has the event loop; -1 is the writer, wherever it stands."""
    name: str
    number: int
    """The how manieth call of that name in its thread."""
    text: str
    """Its arguments, descriptors with what they stand for."""


STATUS = "/omeconf/v1/status"


class Plant:
    """A daemon with two states of its files; an edit is from the one to the other."""

    def __init__(
        self,
        zygote: Zygote,
        base: Path,
        states: tuple[State, State],
        *,
        disk: Path | None = None,
        state_disk: Path | None = None,
        settings: str = SETTINGS,
    ) -> None:
        self.zygote = zygote
        self.base = base
        self.states = states
        self.disks = {"disk": disk, "state_disk": state_disk}
        self.settings = settings
        self.edits = 0
        """Edits that were asked for, struck or not."""
        self._numbers = itertools.count()
        self.renew()

    def renew(self) -> None:
        """Begin in a new folder: revision 1 has the first state, 2 the second."""
        base = self.base / str(next(self._numbers))
        self.daemon = Quick(self.zygote, base, self.states[0], **self.disks, settings=self.settings)
        self.daemon.start()
        self.daemon.write(self.states[1])
        adopted = self.daemon.call("POST", "/omeconf/v1/resume")
        assert adopted is not None
        assert adopted.json == {"held": None, "revision": 2}, adopted.json
        self.now, self.head = 1, 2

    def ask(self) -> Answer | None:
        """Ask for the other state: an edit of one value, or a rollback of several files."""
        self.edits += 1
        other = 1 - self.now
        if len(self.states[0]) == 1:
            edit = {"publishers": {"llhls": {"segmentCount": 10 + other}}}
            return self.daemon.call("PATCH", APP, edit)
        return self.daemon.call("POST", "/omeconf/v1/rollback", {"revision": 1 + other})

    def edit(self) -> None:
        """An edit that must be taken."""
        answer = self.ask()
        _hold(answer is not None and answer.status == 200, "an edit was refused", answer)
        self.now, self.head = 1 - self.now, self.head + 1

    def restart(self) -> None:
        """Kill it if it lives, and start it again."""
        self.daemon.kill()
        try:
            self.daemon.start()
        except AssertionError as error:
            raise Broken(str(error)) from None

    # -- what must hold --------------------------------------------------------------------

    def look_at_files(self, answer: Answer | None) -> None:
        """Each file that lies there is one of its two versions, whole; the new one if 200."""
        files = self.daemon.files()
        old, new = self.states[self.now], self.states[1 - self.now]
        for name in old:
            found = files.get(name)
            _hold(found in (old[name], new[name]), f"{name} is neither old nor new", found)
            if answer is not None and answer.status == 200:
                _hold(found == new[name], f"{name} is not the one that was acknowledged", found)

    def look(self, answer: Answer | None, *, litter: bool = False) -> None:
        """All files are old, or all are new as they must be after 200, and head says the same.

        Takes note of what it found. litter: ours may lie there.
        """
        self.daemon.get(STATUS)  # the writer has done what no answer waits for
        files = self.daemon.files()
        if litter:
            for name in self.daemon.litter():
                del files[name]
        old, new = (_there(self.states[each]) for each in (self.now, 1 - self.now))
        _hold(files in (old, new), "old and new are mixed, or there is litter", _shown(files, new))
        is_new = files == new
        if answer is not None:
            _hold(is_new == (answer.status == 200), f"answered {answer.status}, is_new={is_new}",
                  answer.json)  # fmt: skip
        revision = self._revision()
        found = self.daemon.get(f"/omeconf/v1/revisions/{revision['head']}")
        _hold(revision["disk"] == revision["head"], "head is not what is on disk", revision)
        recorded = {name: text.encode() for name, text in found["files"].items()}
        _hold(recorded == files, "head has other files than the disk", found)
        _hold(revision["head"] == self.head + is_new, "another revision than that of the edit",
              self.daemon.get("/omeconf/v1/revisions?limit=3"))  # fmt: skip
        self.now, self.head = (self.now + is_new) % 2, self.head + is_new

    def _revision(self) -> dict[str, int | None]:
        """The revisions apart; looked at anew if the disk could not be read the last time."""
        found: dict[str, int | None] = self.daemon.get(STATUS)["revision"]
        if found["disk"] is None:
            self.daemon.call("POST", "/omeconf/v1/resume")
            found = self.daemon.get(STATUS)["revision"]
        return found

    # -- strikes ---------------------------------------------------------------------------

    def calls(self) -> list[Point]:
        """The system calls of an edit."""
        for _ in range(2):
            self.edit()  # so that everything is loaded
        threads = self.daemon.threads()
        trace = Strace(threads, "-y", out=self.base / "trace")
        self.edit()
        self.daemon.get(STATUS)
        seen: Counter[tuple[int, str]] = Counter()
        points = []
        for who, name, text in re.findall(r"^(\d+) +(\w+)\((.*)", trace.stop(), re.M):
            place = -1 if int(who) == self.daemon.writer else threads.index(int(who))
            seen[place, name] += 1
            points.append(Point(place, name, seen[place, name], text))
        return sorted(points)

    def strike(self, place: int, inject: str) -> tuple[Answer | None, str]:
        """An edit while strace strikes one thread; the answer, and the call that failed."""
        threads = self.daemon.threads()
        thread = self.daemon.writer if place < 0 else threads[min(place, len(threads) - 1)]
        name = inject.partition(":")[0]
        trace = Strace(
            [thread], "-e", f"trace={name}", "-e", f"inject={inject}", out=self.base / "trace"
        )
        answer = self.ask()
        if answer is None:
            self.daemon.is_gone(DEADLINE_S)
        else:
            self.daemon.call("GET", STATUS)  # what comes after the answer, too
        struck = re.search(r"^.*INJECTED", trace.stop(), re.M)
        return answer, struck[0] if struck else ""


def _there(state: State) -> dict[str, bytes]:
    return {name: data for name, data in state.items() if data is not None}


def _shown(files: State, new: State) -> dict[str, str]:
    return {
        name: "new" if files.get(name) == new.get(name) else "not new"
        for name in files.keys() | new.keys()
    }


def _hold(is_so: bool, what: str, seen: Any) -> None:
    if not is_so:
        if isinstance(seen, Answer):
            seen = (seen.status, seen.json)
        raise Broken(f"{what}: {str(seen)[:600]}")
