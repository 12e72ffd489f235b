"""A client of etcd for the configuration of a group, over etcd's documented JSON gateway.

Rules:
- A call ends within one limit of time, however many endpoints there are. The one that worked last
  is asked first (after a write that it did not answer, the next one), then the others in turn;
  while a new leader is being elected, all of them again.
- A read, and what may be done twice without harm, is repeated at another endpoint. A write is
  repeated only if it has certainly not been done; else it is GroupAway with is_unknown, and the
  caller finds out. It may even be done later: a leader that was stopped (SIGSTOP) has been seen to
  carry out a put when it went on, after another leader had put the key anew. So a write that is not
  to come late has a condition that is false by then, as Compare.unchanged.
- All calls may come from any thread at any time.

Facts, tried with etcd 3.4.23: a transaction has at most 128 operations (--max-txn-ops) and 1.5 MB
(--max-request-bytes). 100 keys of 512 KB are read in one answer of 70 MB in 1.3 s; we read them in
pages. The gateway does not take the common name of a client certificate for a user: with
--client-cert-auth and passwords on, every request with a certificate that has a common name is
refused (400, "CommonName of client sending a request against gateway will be ignored and not used
as expected"), even with a token; one with an empty subject is accepted, beside user and password.
Leases but for their keys, the status and alarms ask for no right at all. Without space (NOSPACE)
puts and new leases are refused; reads and transactions that only delete are not. A restored
snapshot has the cluster's old id if members and --initial-cluster-token are as before, and its
revisions go back.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from omeconf.errors import (
    BadSettings,
    Compacted,
    GroupFull,
    GroupRefused,
    NotFound,
    Unwritable,
)
from omeconf.store.etcd_http import (
    NEEDS_LEADER,
    Failed,
    Http,
    Problem,
    Stream,
    answered,
    away,
)
from omeconf.store.etcd_values import (
    Batch,
    Compare,
    Delete,
    DeleteAll,
    DeleteRange,
    Done,
    Event,
    Found,
    Item,
    Keep,
    Operation,
    Put,
    between,
    end_of,
    inner,
    items,
    number,
    one,
    operation_form,
    several,
    text,
)
from omeconf.store.etcd_watch import Watch

__all__ = [
    "Batch", "Compare", "Delete", "DeleteAll", "DeleteRange", "Done", "Etcd", "Event", "Found",
    "Item", "Keep", "Operation", "Put", "Watch",
]  # fmt: skip

PAGE = 64
"""How many keys with values are read at once; of 512 KB each, they make 45 MB of JSON."""
PAGE_OF_KEYS = 10_000
"""The same without values."""
WRITE_S = 1.5
"""So long, at least, one of several endpoints has for a write. One that has handed it to a leader
that has just died does not answer at all: whoever can find out what came of it should soon."""
PAUSE_S = 0.1
"""Between one round of all endpoints and the next, while there is no leader."""
ALARM = re.compile(r"alarm:(\w+)")
"""An alarm among the errors of a status; another one of those is that there is no leader."""
MAKE_SPACE = (
    "compact and defragment it, then `etcdctl alarm disarm`; or give it a bigger"
    " --quota-backend-bytes"
)

Answer = TypeVar("Answer")


class Etcd:
    """One cluster of etcd."""

    def __init__(
        self, endpoints: Sequence[str], *, user: str = "", password: str = "", ca: str = "",
        certificate: str = "", key: str = "", timeout_s: float = 5.0,
    ) -> None:  # fmt: skip
        """endpoints: URLs, as http://127.0.0.1:2379; ca, certificate, key: PEM files for https.

        Without a CA the system's are trusted. timeout_s is the limit of one call. Nothing is sent
        before the first call. Raises BadSettings, and GroupRefused if a file cannot be used.
        """
        self.endpoints = tuple(_url(each, is_tls=bool(ca or certificate)) for each in endpoints)
        if not self.endpoints:
            raise BadSettings("no endpoint of etcd is given")
        self.user = user
        self.timeout_s = timeout_s
        self.endpoint = self.endpoints[0]
        """The one that is asked first."""
        self.full = ""
        """Why nothing can be written, as it was heard last; "" if that is not so."""
        self._password = password
        self._token: str | None = None
        """None: not known yet; "": etcd asks nobody who he is."""
        self._authenticating = threading.Lock()
        self._closed = threading.Event()
        needs_tls = any(each.startswith("https:") for each in self.endpoints)
        self._http = Http(_tls(ca, certificate, key) if needs_tls else None)

    def get(self, key: str) -> Item | None:
        """A key as the group has it now. Raises GroupAway, GroupRefused."""
        found = self._ask("/kv/range", one(key), items)
        return found[0] if found else None

    def read(
        self, prefix: str, *, start: str = "", limit: int = 0, is_serializable: bool = False,
        keys_only: bool = False, descending: bool = False,
    ) -> Found:  # fmt: skip
        """All keys below prefix, in their order, as they were at one revision.

        start: the first key wanted, itself below prefix; limit: how many at most, 0: all;
        is_serializable: as one member knows them, which may be behind, but needs no leader.
        Many are read in pages, each within the limit of time. Raises GroupAway, GroupRefused, and
        Compacted if the revision was compacted meanwhile, time and again.
        """
        first, end = max(start, prefix).encode(), end_of(prefix)
        request: dict[str, Any] = {"sort_target": "KEY"}
        request |= {"sort_order": "DESCEND"} if descending else {}
        request |= {"keys_only": True} if keys_only else {}
        request |= {"serializable": True} if is_serializable else {}
        for attempt in (1, 2, 3):
            try:
                return self._pages(first, end, request, limit)
            except Compacted:
                if attempt == 3:
                    raise
        raise AssertionError

    def _pages(self, first: bytes, end: bytes, request: dict[str, Any], limit: int) -> Found:
        page = PAGE_OF_KEYS if "keys_only" in request else PAGE
        found: list[Item] = []
        head: Found | None = None
        while True:
            wanted = min(page, limit - len(found)) if limit else page
            asked = {**request, **between(first, end), "limit": str(wanted)}
            if head is not None:
                asked["revision"] = str(head.revision)
            part = self._ask("/kv/range", asked, _found, needs_leader="serializable" not in request)
            found += part.items
            head = head or part
            is_enough = bool(limit) and len(found) >= limit
            if part.is_whole or is_enough or not part.items:
                return Found(tuple(found), head.revision, head.cluster, part.is_whole)
            last = part.items[-1].key.encode()
            if "sort_order" in request:
                end = last
            else:
                first = last + b"\0"

    def transact(
        self, compares: Sequence[Compare], operations: Sequence[Operation],
        otherwise_get: Sequence[str] = (),
    ) -> Done:  # fmt: skip
        """Do all operations if all conditions hold, and else read some keys; in one step.

        Raises GroupAway, GroupFull, GroupRefused; NotFound if a lease, or a key to keep, is gone;
        Unwritable for what is too large.
        """
        request = {
            "compare": [dict(each.form) for each in compares],
            "success": [{**operation_form(each)} for each in operations],
            "failure": [{"request_range": one(key)} for key in otherwise_get],
        }
        is_write = bool(operations)
        return self._ask("/kv/txn", request, _done, is_write=is_write)

    def put(self, key: str, value: bytes, lease: int = 0) -> int:
        """Give a key a value; the revision that did. Raises what `transact` does."""
        return self.transact((), (Put(key, value, lease),)).revision

    def grant(self, ttl_s: int) -> int:
        """A new lease that ends so many seconds after it was last kept alive.

        If the answer is lost, one that nobody uses may be left behind until it ends.
        """
        return self._ask("/lease/grant", {"TTL": str(ttl_s)}, lambda found: number(found, "ID"))

    def keep_alive(self, lease: int) -> float:
        """Have a lease begin anew; the seconds it has now, 0.0 if there is no such lease."""
        return self._ask(
            "/lease/keepalive",
            {"ID": str(lease)},
            lambda found: float(number(inner(found, "result"), "TTL")),
        )

    def revoke(self, lease: int) -> None:
        """End a lease, and delete its keys; nothing if it is gone."""
        try:
            self._ask("/lease/revoke", {"ID": str(lease)}, _nothing)
        except NotFound:
            return

    def watch(self, prefix: str, revision: int) -> Watch:
        """What happens below prefix from a revision on (0: from now on); see `Watch`."""
        return Watch(self, prefix, revision)

    def compact(self, revision: int) -> None:
        """Forget what keys were before a revision; nothing if that is done already."""
        try:
            self._ask("/kv/compaction", {"revision": str(revision)}, _nothing)
        except Compacted:
            return

    def status(self) -> dict[str, Any]:
        """How the member that is asked first is: version, db_bytes, used_bytes, leader, alarms.

        leader is 0 while it knows none; alarms are names, as NOSPACE. Needs no leader.
        """
        found = self._ask("/maintenance/status", {}, _status, needs_leader=False)
        is_full = "NOSPACE" in found["alarms"]
        self.full = f"etcd has no space left: {MAKE_SPACE}" if is_full else ""
        return found

    def close(self) -> None:
        """Close all connections but those of watches; calls that wait for a leader end."""
        self._closed.set()
        self._http.close()

    def in_turn(self) -> tuple[str, ...]:
        """The endpoints, the one that worked last first."""
        last = self.endpoint
        at = self.endpoints.index(last)
        return self.endpoints[at:] + self.endpoints[:at]

    def _ask(
        self, path: str, body: Mapping[str, Any], decode: Callable[[dict[str, Any]], Answer], *,
        is_write: bool = False, needs_leader: bool = True,
    ) -> Answer:  # fmt: skip
        """What an endpoint answers."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            failures: dict[str, Failed] = {}
            order = self.in_turn()
            for index, endpoint in enumerate(order):
                left_s = deadline - time.monotonic()
                if left_s <= 0 and failures:
                    break
                share_s = max(left_s / (len(order) - index), 0.001)
                try:
                    answer = self.ask_one(
                        endpoint, path, body, connect_s=share_s, needs_leader=needs_leader,
                        whole_s=min(max(share_s, WRITE_S), max(left_s, 0.001))
                        if is_write
                        else share_s,
                    )  # fmt: skip
                    found = decode(answer)
                except Failed as failed:
                    failures[endpoint] = failed
                except (TypeError, ValueError) as error:
                    failures[endpoint] = Failed(f"answers oddly: {error}", is_undone=False)
                else:
                    self.endpoint = endpoint
                    return found
                if is_write and not failures[endpoint].is_undone:
                    self.endpoint = order[(index + 1) % len(order)]  # not to hang there again
                    raise away(failures, is_unknown=True)
            is_passing = any(each.is_passing for each in failures.values())
            if not is_passing or time.monotonic() + PAUSE_S >= deadline:
                raise away(failures)
            if self._closed.wait(PAUSE_S):
                raise away(failures)

    def ask_one(
        self, endpoint: str, path: str, body: Mapping[str, Any], *, connect_s: float,
        whole_s: float, needs_leader: bool,
    ) -> dict[str, Any]:  # fmt: skip
        """What one endpoint answers, authenticated. Raises Failed, and what `transact` does."""
        deadline = time.monotonic() + whole_s
        for is_again in (False, True):
            token = self.token(endpoint, connect_s)
            status, content = self._http.post(
                f"{endpoint}/v3{path}", body, _headers(token, needs_leader=needs_leader),
                connect_s=connect_s, whole_s=max(deadline - time.monotonic(), 0.001),
            )  # fmt: skip
            found = answered(status, content)
            if not isinstance(found, Problem):
                return found
            if not (found.is_of_token and self.user) or is_again:
                raise self.told(found, endpoint)
            self.forget(token)
        raise AssertionError

    def stream(self, endpoint: str, path: str, body: Mapping[str, Any], token: str) -> Stream:
        """An answer of one endpoint that goes on."""
        headers = _headers(token, needs_leader=True)
        url = f"{endpoint}/v3{path}"
        return self._http.stream(url, body, headers, connect_s=self.timeout_s)

    def told(self, problem: Problem, endpoint: str) -> Exception:
        """The error to raise for one that etcd answered."""
        message = problem.message
        if "database space exceeded" in message:
            self.full = f"etcd has no space left ({message}): {MAKE_SPACE}"
            return GroupFull(f"{endpoint}: {self.full}")
        if "has been compacted" in message:
            return Compacted(f"{endpoint}: {message}", revision=0)
        if problem.is_of_access:
            if "CommonName" in message:
                return GroupRefused(
                    f"{endpoint}: etcd with passwords takes no client certificate that has a common"
                    " name: make one with an empty subject"
                )
            who = f'user "{self.user}"' if self.user else "no user"
            return GroupRefused(
                f"{endpoint}: etcd refuses {who}: {message}: check the user, the password and"
                " the rights of the user's roles"
            )
        if problem.is_of_member:
            return problem.failed()
        if problem.code == 5 or message.endswith("key not found"):
            return NotFound(f"{endpoint}: {message}")
        return Unwritable(f"{endpoint}: etcd refuses the request: {message}")

    def token(self, endpoint: str, limit_s: float) -> str:
        """The token to send, "" if none is needed. Raises Failed, with nothing done; GroupRefused.

        Tokens are known to all members, until one is started anew.
        """
        if not self.user:
            return ""
        known = self._token
        if known is not None:
            return known
        deadline = time.monotonic() + limit_s
        if not self._authenticating.acquire(timeout=limit_s):
            raise Failed("does not authenticate in time", is_undone=True)
        try:
            if self._token is None:
                left_s = max(deadline - time.monotonic(), 0.001)
                self._token = self._authenticate(endpoint, left_s)
            return self._token
        finally:
            self._authenticating.release()

    def forget(self, token: str) -> None:
        """Authenticate again before the next request; token: the one that was not accepted."""
        if self._token == token:
            self._token = None

    def _authenticate(self, endpoint: str, limit_s: float) -> str:
        body = {"name": self.user, "password": self._password}
        try:
            status, content = self._http.post(
                f"{endpoint}/v3/auth/authenticate", body, NEEDS_LEADER,
                connect_s=limit_s, whole_s=limit_s,
            )  # fmt: skip
            found = answered(status, content)
            if not isinstance(found, Problem):
                return text(found, "token")
            if "authentication is not enabled" in found.message:
                return ""
            raise self.told(found, endpoint)
        except Failed as failed:
            reason = f"does not authenticate: {failed.reason}"
            raise Failed(reason, is_undone=True, is_passing=failed.is_passing) from failed


def _headers(token: str, *, needs_leader: bool) -> dict[str, str]:
    return {
        **(NEEDS_LEADER if needs_leader else {}),
        **({"Authorization": token} if token else {}),
    }


def _url(endpoint: str, *, is_tls: bool) -> str:
    """An endpoint as a URL without a slash at its end; one without a scheme is given one."""
    if "://" not in endpoint:
        endpoint = f"{'https' if is_tls else 'http'}://{endpoint}"
    if not endpoint.startswith(("http://", "https://")):
        raise BadSettings(f'"{endpoint}" is no URL of etcd: write http://HOST:2379 or https://')
    return endpoint.rstrip("/")


def _tls(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca or None)
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except (OSError, ValueError) as error:
        files = ", ".join(each for each in (ca, certificate, key) if each)
        raise GroupRefused(
            f"fleet.tls: cannot use the certificates for etcd ({files}): {error}"
        ) from error
    return context


def _found(answer: dict[str, Any]) -> Found:
    header = inner(answer, "header")
    return Found(
        items(answer), number(header, "revision"), number(header, "cluster_id"),
        not answer.get("more"),
    )  # fmt: skip


def _done(answer: dict[str, Any]) -> Done:
    is_done = bool(answer.get("succeeded"))
    found: list[Item] = []
    if not is_done:
        for each in several(answer, "responses"):
            found += items(inner(each, "response_range"))
    return Done(is_done, number(inner(answer, "header"), "revision"), tuple(found))


def _status(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": text(answer, "version"),
        "db_bytes": number(answer, "dbSize"),
        "used_bytes": number(answer, "dbSizeInUse"),
        "leader": number(answer, "leader"),
        "alarms": tuple(ALARM.findall(" ".join(map(str, answer.get("errors") or ())))),
    }


def _nothing(_answer: dict[str, Any]) -> None:
    """Nothing of an answer is of use."""
