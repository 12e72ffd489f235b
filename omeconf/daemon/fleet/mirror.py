"""What the group has on record, here: read once, then kept up to date by a watch."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from omeconf.core.rollout import Rollout, View, Word, labelled
from omeconf.errors import Compacted, OmeconfError
from omeconf.store.etcd import Compare, Found, Item, Watch
from omeconf.store.group import Group, Pointer

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
"""Between tries to reach etcd: twice as long each time."""
ROUND_S = 2.0
"""How long what we wrote ourselves may take to come round, before we go on without."""


class Changed(Protocol):
    """Is told that something is new."""

    def __call__(self, names: Iterable[str] | None = None) -> None:
        """names: of what, if that is known."""


class Mirror:
    """The state of one group. What it holds is replaced, never changed: any thread may look."""

    def __init__(self, group: Group, changed: Changed) -> None:
        """changed is called on a thread of its own whenever there is something new; it is told the
        names of what, if they are known.
        """
        self.group = group
        self.items: Mapping[str, Item] = {}
        """By key below the state's prefix."""
        self.revision = 0
        """etcd's, as of which this is."""
        self.is_current = False
        """Whether a watch is open, so that what is new is heard of."""
        self.trouble = ""
        """Why it is not; "" if it is, or was not tried yet."""
        self.checked = 0.0
        """When etcd last confirmed that this is so, by the monotonic clock."""
        self._changed = changed
        self._expected, self._expected_until = 0, 0.0
        self._view: tuple[Mapping[str, Item], int, View] | None = None
        """The last one that was made, and what of."""
        self._words: dict[str, tuple[int, Word]] = {}
        """What each said, and when: it is parsed once."""
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._loop, name="fleet-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()
        self._close()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _close(self) -> None:
        watch = self._watch
        if watch is not None:
            with suppress(OmeconfError, OSError):
                watch.close()

    def _loop(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                self._follow()
                pause_s = FIRST_PAUSE_S
            except Compacted:
                log.info("the group's watch was behind: everything is read again")
                continue
            except OmeconfError as error:  # also: what answers there is no etcd
                self._lost(str(error))
            except Exception as error:
                log.exception("Cannot follow the group")
                self._lost(str(error))
            self._stopping.wait(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _lost(self, why: str) -> None:
        if self.is_current or why != self.trouble:
            log.warning("The group is out of reach: %s", why)
        self.is_current, self.trouble = False, why
        self._changed()

    def _follow(self) -> None:
        """Read everything, then hear of all that comes."""
        found = self.group.etcd.read(self.group.state)
        self._reset(found)
        with self.group.etcd.watch(self.group.state, found.revision + 1) as watch:
            self._watch = watch
            if self.trouble:
                log.info("The group is in reach again")
            self.is_current, self.trouble = True, ""
            self._changed()
            for batch in watch:
                if self._stopping.is_set():
                    return
                self._take(batch.revision, [(e.item, e.is_deleted) for e in batch.events])
        self._watch = None

    def _reset(self, found: Found) -> None:
        with self._guard:
            if found.revision < self.revision:  # it was restored from a backup
                self._expected = 0
            self.items = {self._name(item.key): item for item in found.items}
            self.revision, self._words = found.revision, {}
            self.checked = time.monotonic()

    def _take(self, revision: int, events: list[tuple[Item, bool]]) -> None:
        with self._guard:
            if not events:
                self.revision = max(self.revision, revision)
                return
            items, names = dict(self.items), []
            for item, is_deleted in events:
                name = self._name(item.key)
                known = items.get(name)
                if item.changed <= (known.changed if known else 0):
                    continue  # a look was faster
                names.append(name)
                if is_deleted:
                    items.pop(name, None)
                else:
                    items[name] = item
            self.items, self.revision = items, max(self.revision, revision)
        self._changed(names)

    def look(self) -> None:
        """Ask etcd whether this is all: a watch may hang on a server that is cut off itself.

        Raises GroupAway.
        """
        began = self.revision
        found = self.group.etcd.read(self.group.state)
        with self._guard:
            self.checked = time.monotonic()
            now = {self._name(item.key): item for item in found.items}
            if found.revision < began:  # it was restored from a backup
                is_behind, self._expected = True, 0
            elif found.revision < self.revision:
                return  # what has come since is newer
            else:
                is_behind = {k: i.changed for k, i in now.items()} != {
                    k: i.changed for k, i in self.items.items()
                }
            self.items, self.revision = now, found.revision
        if is_behind:
            self._close()  # it is opened anew, somewhere else
            self._changed()

    def _name(self, key: str) -> str:
        return key.removeprefix(self.group.state)

    # -- what it says ----------------------------------------------------------------------

    def text(self, name: str) -> str:
        """What is kept under a name; "" if nothing is."""
        item = self.items.get(name)
        return item.value.decode("utf-8", "replace") if item else ""

    def unchanged(self, name: str) -> Compare:
        """That something is as it is here: so that a write of ours that was thought lost, and is
        carried out later, does not come over a newer one (tried: by a leader that was stopped).
        """
        item = self.items.get(name)
        return Compare.unchanged(self.group.key(name), item.changed if item else 0)

    def pointer(self, name: str) -> Pointer | None:
        """The revision that head or stable is."""
        item = self.items.get(name)
        return Pointer.parse(item.value) if item else None

    def below(self, name: str) -> dict[str, dict[str, Any]]:
        """All JSON objects below a name, by what follows it."""
        return _below(self.items, name)

    def view(self) -> View:
        """What rollouts are decided from."""
        with self._guard:
            items, revision, known = self.items, self.revision, self._view
        if known is not None and known[0] is items and known[1] == revision:
            return known[2]
        view = self._made(items, revision)
        self._view = (items, revision, view)
        return view

    def _made(self, items: Mapping[str, Item], revision: int) -> View:
        rollout, driver = items.get("rollout"), items.get("driver")
        head, stable = items.get("head"), items.get("stable")
        return View(
            Pointer.parse(head.value).number if head else 0,
            Pointer.parse(stable.value).number if stable else 0,
            Rollout.parse(json.loads(rollout.value)) if rollout else None,
            {
                name.removeprefix("words/"): self._word(name, item)
                for name, item in items.items()
                if name.startswith("words/")
            },
            {n: labelled(found.get("labels", ())) for n, found in _below(items, "alive").items()},
            driver.value.decode() if driver else "",
            "paused" in items,
            rollout.changed if rollout else 0,
            revision,
        )

    def _word(self, name: str, item: Item) -> Word:
        known = self._words.get(name)
        if known is None or known[0] != item.changed:
            known = self._words[name] = (item.changed, Word.parse(json.loads(item.value)))
        return known[1]

    # -- what we write ourselves -----------------------------------------------------------

    def wrote(self, revision: int) -> None:
        """We have written something at one of etcd's revisions: it comes round in a moment."""
        self._expected = max(self._expected, revision)
        self._expected_until = time.monotonic() + ROUND_S

    @property
    def is_behind(self) -> bool:
        """Whether what we wrote ourselves has not come round yet."""
        return self.revision < self._expected and time.monotonic() < self._expected_until


def _below(items: Mapping[str, Item], name: str) -> dict[str, dict[str, Any]]:
    prefix = f"{name}/"
    return {
        key.removeprefix(prefix): json.loads(item.value)
        for key, item in sorted(items.items())
        if key.startswith(prefix)
    }
