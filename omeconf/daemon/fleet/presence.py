"""That this member is there: a lease in etcd which is kept up as long as the daemon works.

Two keys hang on it: that the member is alive, and, if it is the one, that it drives. When the
lease is not kept up they go by themselves.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence

from omeconf.errors import OmeconfError, Unwritable
from omeconf.store.etcd import Compare, Delete, Put
from omeconf.store.group import Group

log = logging.getLogger(__name__)


class Presence:
    """The lease of one member."""

    def __init__(
        self,
        group: Group,
        node: str,
        uid: str,
        labels: Sequence[str],
        lease_s: float,
        changed: Callable[[], None],
        hangs: Callable[[], bool] = bool,
    ) -> None:
        """uid tells this member from another that has the same name by mistake; hangs whether it
        takes no steps any more, so that another has to drive.
        """
        self.group = group
        self.node = node
        self.lease_s = lease_s
        self.value = json.dumps({"uid": uid, "labels": list(labels)}).encode()
        self.lease = 0
        """0 while there is none."""
        self.contact = 0.0
        """When it was last kept up, by the monotonic clock."""
        self.trouble = ""
        """Why there is none."""
        self.is_taken = False
        """Whether another member has our name, so that nothing may be said under it."""
        self.took_s = 0.0
        """How long etcd took for the last answer, in seconds."""
        self._uid = uid
        self._leases: set[int] = set()
        """All that were ours since the start."""
        self._began_at = 0
        """etcd's revision with which the newest of them began."""
        self._was_there = False
        self._changed, self._hangs = changed, hangs
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="fleet-lease", daemon=True)

    def start(self) -> None:
        """Begin to be there."""
        self._thread.start()

    def stop(self) -> None:
        """Keep it up no more. It ends by itself, so that who is only started anew was never away;
        but another may drive at once.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        if self.lease:
            try:
                self.drive_no_more()
            except Unwritable:
                log.info("The group hears that this member stops when its lease ends")

    @property
    def is_ours(self) -> bool:
        """Whether our name is known to be ours, so that something may be said under it."""
        return self._was_there and not self.is_taken

    @property
    def is_kept(self) -> bool:
        """Whether the lease certainly lives."""
        return bool(self.lease) and time.monotonic() - self.contact < self.lease_s

    def _loop(self) -> None:
        while not self._stopping.is_set():
            before = (self.lease, self.trouble)
            try:
                self._keep()
            except OmeconfError as error:
                self.trouble = str(error)
            except Exception as error:
                log.exception("Cannot keep up the lease")
                self.trouble = str(error)
            if (self.lease, self.trouble) != before:
                self._changed()
            self._stopping.wait(self.lease_s / 4 if self.lease else min(self.lease_s / 4, 1.0))

    def _keep(self) -> None:
        began = time.monotonic()
        if self.lease and not self.group.etcd.keep_alive(self.lease):
            self.lease = 0
        if self.lease and self._is_another_there():
            lease, self.lease = self.lease, 0
            self.group.etcd.revoke(lease)
        if not self.lease:
            self._begin()
        self.took_s = time.monotonic() - began
        if self.lease and self._hangs():
            self.drive_no_more()
        if self.lease:
            self.contact, self.trouble, self.is_taken = began, "", False

    def _is_another_there(self) -> bool:
        """Whether our name was taken over by one that has a copy of our state folder."""
        known = self.group.etcd.get(self.group.key("alive", self.node))
        return known is None or known.lease not in self._leases

    def _begin(self) -> None:
        etcd, key = self.group.etcd, self.group.key("alive", self.node)
        known = etcd.get(key)
        compare = Compare.absent(key)
        if known is not None:
            if json.loads(known.value).get("uid") != self._uid:
                self.is_taken = True
                self.trouble = (
                    f"another member of the group is called {self.node}: give [fleet] node"
                )
                return
            is_ours = known.lease in self._leases
            is_old = known.changed <= self._began_at  # etcd was restored from a backup
            if self._was_there and not is_ours and not is_old:
                self.is_taken = True
                self.trouble = (
                    f"another daemon is this member of the group, {self.node}: its state folder "
                    "is a copy of ours; stop it, empty that folder and give [fleet] node"
                )
                return
            compare = Compare.unchanged(key, known.changed)
        lease = etcd.grant(max(int(self.lease_s), 2))
        self._leases.add(lease)
        done = etcd.transact([compare], [Put(key, self.value, lease)])
        if done.is_done:
            self.lease, self._was_there, self._began_at = lease, True, done.revision
        else:
            etcd.revoke(lease)

    def drive(self) -> bool:
        """Become the one that drives, if nobody is. Raises GroupAway."""
        if not self.is_kept:
            return False
        key = self.group.key("driver")
        put = Put(key, self.node.encode(), self.lease)
        return self.group.etcd.transact([Compare.absent(key)], [put]).is_done

    def drive_no_more(self) -> None:
        """Let another drive. Raises GroupAway."""
        key = self.group.key("driver")
        self.group.etcd.transact([Compare.value(key, self.node.encode())], [Delete(key)])
