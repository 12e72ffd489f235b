"""That this member is there: a lease in etcd which is kept up as long as the daemon works.

Two keys hang on it: that the member is alive, and, if it is the one, that it drives. When the
lease is not kept up they go by themselves.
"""

from __future__ import annotations

import json
import logging
import secrets
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
        on_record: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        """uid tells this member from another that has the same name by mistake; hangs whether it
        takes no steps any more, so that another has to drive; on_record gives the lease that is
        there under our name, and when it was written, as far as is known.
        """
        self.group = group
        self.node = node
        self.lease_s = lease_s
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
        self.uid = uid
        self._labels = list(labels)
        self._on_record = on_record
        self._written = 0
        """When our lease was, as etcd counts."""
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
        lease, written = self._on_record()
        if self.lease and lease not in (0, self.lease) and written > self._written:
            # another has our name and our state folder, too: it was copied
            self.uid, self.lease = secrets.token_hex(8), 0
        if not self.lease:
            self._begin()
        self.took_s = time.monotonic() - began
        if self.lease and self._hangs():
            self.drive_no_more()
        if self.lease:
            self.contact, self.trouble, self.is_taken = began, "", False

    def _begin(self) -> None:
        etcd, key = self.group.etcd, self.group.key("alive", self.node)
        known = etcd.get(key)
        compare = Compare.absent(key)
        if known is not None:
            if json.loads(known.value).get("uid") != self.uid:
                self.is_taken = True
                self.trouble = (
                    f"another member of the group is called {self.node}: give [fleet] node"
                )
                return
            compare = Compare.unchanged(key, known.changed)
        value = json.dumps({"uid": self.uid, "labels": self._labels}).encode()
        lease = etcd.grant(max(int(self.lease_s), 2))
        done = etcd.transact([compare], [Put(key, value, lease)])
        if done.is_done:
            self.lease, self._written = lease, done.revision
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
