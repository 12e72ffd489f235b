"""The daemon's own API as calls, over its local socket."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from omeconf import __version__
from omeconf.errors import Answered, Unreachable

OWN = "/omeconf/v1"
XML, MERGE_PATCH = "application/xml", "application/merge-patch+json"
JSON, JSON_PATCH = "application/json", "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the daemon answered to a call that succeeded."""

    body: bytes
    headers: Mapping[str, str]
    """By name in lower case."""

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Wish:
    """How something is to be changed; every write takes one."""

    message: str = ""
    """Kept with the revision."""
    base: int | None = None
    """Only if that revision is the newest."""
    etag: str = ""
    """Only if the thing itself is what had this ETag."""
    confirm_s: float | None = None
    """Take it back unless it is confirmed within so many seconds."""
    is_dry: bool = False
    """Change nothing, and answer as if it had."""

    @property
    def query(self) -> dict[str, str]:
        """As query options."""
        found = {
            "base": None if self.base is None else str(self.base),
            "confirm": None if self.confirm_s is None else f"{self.confirm_s:g}",
            "dryRun": "true" if self.is_dry else None,
        }
        return {name: text for name, text in found.items() if text is not None}

    @property
    def headers(self) -> dict[str, str]:
        """As headers; a message is sent as one line, in the bytes of its UTF-8."""
        line = "".join(c if c.isprintable() else " " for c in " ".join(self.message.split()))
        found = {"Omeconf-Message": line.encode("utf-8", "replace").decode("latin-1")}
        found["If-Match"] = self.etag
        return {name: text for name, text in found.items() if text}


AS_IT_IS = Wish()
AGENT = f"omeconf-cli/{__version__}"
"""How the daemon knows that a revision comes from the command line."""
_ENGINE_MARKS = re.compile(r"^\[(?:HTTP|Config)\] | \([0-9]{3}\)$")
"""What the engine's messages begin and end with, which says nothing to a person."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Client:
    """Calls to one daemon; method names are those of the service.

    All raise Unreachable if there is none, and Answered if it refuses.
    """

    def __init__(self, path: Path, *, timeout_s: float = 90.0) -> None:
        """The daemon that listens at a socket; timeout_s: so long an answer may take."""
        self.path = path
        self.timeout_s = timeout_s

    # -- how things stand ------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return self._get("/status")

    def revisions(
        self, limit: int = 20, *, below: int | None = None, changes: bool = False
    ) -> list[dict[str, Any]]:
        """The history, newest first; changes: with what each changed, in short."""
        query = {"limit": limit, "changes": str(changes).lower()}
        query |= {} if below is None else {"below": below}
        found: list[dict[str, Any]] = self._get("/revisions", query)["revisions"]
        return found

    def revision(self, number: int) -> dict[str, Any]:
        """One revision, with its files."""
        return self._get(f"/revisions/{number}")

    def diff(self, number: int, against: int | None = None) -> dict[str, Any]:
        """What a revision changed; against its parent, unless told."""
        query = {} if against is None else {"against": against}
        return self._get(f"/revisions/{number}/diff", query)

    def compare(self, old: str, new: str) -> dict[str, Any]:
        """What differs between two states: disk, head, running, healthy, or numbers."""
        return self._get("/diff", {"from": old, "to": new})

    def config(self) -> Reply:
        """Everything as JSON, from Server down."""
        return self.call("GET", f"{OWN}/config")

    def document(self, *, file: str | None = None, path: str | None = None) -> Reply:
        """A file, or the element at a path, as it is written; Server.xml unless told."""
        return self.call("GET", f"{OWN}/document", query=_only(file=file, path=path))

    def check(
        self, text: bytes, *, path: str | None = None, against: str | None = None
    ) -> dict[str, Any]:
        """What a check finds in a Server.xml, or in the element at a path; and what it changes."""
        query = _only(path=path, against=against)
        found: dict[str, Any] = self.call("POST", f"{OWN}/check", text, XML, query=query).json
        return found

    def events(
        self, after: int | None = None, *, once: bool = False
    ) -> Iterator[tuple[int | None, str, Any]]:
        """What happens, as it happens: id, kind, data; a gap has no id.

        once: what is kept, and no more; else it ends when the daemon stops.
        """
        query: dict[str, object] = {} if after is None else {"after": after}
        query |= {"once": "true"} if once else {}
        connection = _UnixConnection(self.path, None)
        try:
            answer = self._ask(connection, "GET", _url(f"{OWN}/events", query), None, {})
            if answer.status >= 400:
                raise _refusal(answer.status, answer.read())
            yield from _events(answer)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    # -- changes ---------------------------------------------------------------------------

    def put(
        self,
        text: bytes,
        wish: Wish,
        *,
        file: str | None = None,
        path: str | None = None,
    ) -> Reply:
        """A whole file, or the element at a path, as given; wish has an ETag or a base."""
        return self._write("PUT", f"{OWN}/document", text, wish, XML, _only(file=file, path=path))

    def commit(self, body: object, wish: Wish = AS_IT_IS, kind: str = JSON) -> Reply:
        """Edits as one revision: ``{"edits": [...]}``, a merge patch or a JSON Patch, by kind."""
        return self._write("POST", f"{OWN}/transactions", body, wish, kind)

    def rollback(self, number: int, wish: Wish = AS_IT_IS) -> Reply:
        """An old state again, as a new revision."""
        return self._write("POST", f"{OWN}/rollback", {"revision": number}, wish)

    def confirm(self) -> dict[str, Any]:
        """What was committed with a deadline stays."""
        return self._post("/confirm")

    def hold(self, reason: str = "") -> dict[str, Any]:
        """Adopt nothing and refuse edits until `resume`."""
        return self._post("/hold", {"reason": reason})

    def resume(self) -> dict[str, Any]:
        """Adopt again, beginning with what lies on disk now."""
        return self._post("/resume")

    # -- the engine's own API --------------------------------------------------------------

    def engine_get(self, *names: str) -> Reply:
        """GET below /v1; the names are those of one path."""
        return self.call("GET", _v1(*names))

    def engine_write(
        self, method: str, *names: str, body: object = None, wish: Wish = AS_IT_IS
    ) -> Reply:
        """POST, PATCH or DELETE below /v1; the names are those of one path."""
        return self._write(method, _v1(*names), body, wish)

    # -- reloads ---------------------------------------------------------------------------

    def reloads(self) -> list[dict[str, Any]]:
        """Reloads, newest first."""
        found: list[dict[str, Any]] = self._get("/reloads")["reloads"]
        return found

    def reload_of(self, job_id: str) -> dict[str, Any]:
        """One reload, as it stands now."""
        return self._get(f"/reloads/{quote(job_id, safe='')}")

    def retry(self, job_id: str) -> dict[str, Any]:
        """Do a failed or waiting reload again."""
        return self._post(f"/reloads/{quote(job_id, safe='')}:retry")

    def reload(self) -> dict[str, Any]:
        """Settings and files are looked at again; what that reloads goes on by itself."""
        return self._post("/reload")

    # -- the group -------------------------------------------------------------------------

    def fleet(self) -> dict[str, Any]:
        """How the group and every member of it stands. Refused with 404 if there is none."""
        return self._get("/fleet")

    def fleet_diff(self, node: str | None = None) -> dict[str, Any]:
        """What differs between the disk of each member, or of one, and the newest revision."""
        return self._get("/fleet/diff", _only(node=node))

    def fleet_rollout(self) -> dict[str, Any]:
        """Begin a rollout to the newest revision."""
        return self._post("/fleet/rollout")

    def fleet_pause(self, reason: str = "") -> dict[str, Any]:
        """Have no rollout go on, or begin, until `fleet_resume`."""
        return self._post("/fleet/pause", {"reason": reason})

    def fleet_resume(self) -> dict[str, Any]:
        """Have rollouts go on."""
        return self._post("/fleet/resume")

    def fleet_abort(self) -> dict[str, Any]:
        """End the rollout that is under way: all go back."""
        return self._post("/fleet/abort")

    def fleet_forget(self, node: str) -> dict[str, Any]:
        """Have a member that is away for good on no list any more."""
        return self._delete(f"/fleet/members/{quote(node, safe='')}")

    # -- calls -----------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        kind: str = JSON,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Any call; a body that is no bytes is sent as JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {**(headers or {}), **({} if data is None else {"Content-Type": kind})}
        connection = _UnixConnection(self.path, self.timeout_s)
        try:
            answer = self._ask(connection, method, _url(path, query), data, sent)
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise _refusal(answer.status, text)
        return Reply(text, {name.lower(): value for name, value in answer.getheaders()})

    def _ask(
        self,
        connection: _UnixConnection,
        method: str,
        url: str,
        data: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        connection.request(method, url, data, {"User-Agent": AGENT, **headers})
        return connection.getresponse()

    def _get(self, path: str, query: Mapping[str, object] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", OWN + path, query=query).json
        return found

    def _delete(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("DELETE", f"{OWN}{path}").json
        return found

    def _post(self, path: str, body: object = None) -> dict[str, Any]:
        found: dict[str, Any] = self.call("POST", OWN + path, body).json
        return found

    def _write(
        self,
        method: str,
        path: str,
        body: object,
        wish: Wish,
        kind: str = JSON,
        query: Mapping[str, object] | None = None,
    ) -> Reply:
        asked = {**(query or {}), **wish.query}
        return self.call(method, path, body, kind, query=asked, headers=wish.headers)

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, PermissionError):
            return Unreachable(
                f"the daemon at {self.path} may not be asked: be root, or in its socket's group"
            )
        if isinstance(error, TimeoutError):
            return Unreachable(f"the daemon at {self.path} does not answer: see its log")
        reason = getattr(error, "strerror", None) or error
        return Unreachable(
            f"cannot reach the daemon at {self.path}: {reason}; is `omeconf serve` running? "
            "(--socket PATH names another)"
        )


def _v1(*names: str) -> str:
    return "/v1/" + "/".join(quote(name, safe="", errors="replace") for name in names)


def _url(path: str, query: Mapping[str, object] | None) -> str:
    return f"{path}?{urlencode(query, errors='replace')}" if query else path


def _only(**given: str | None) -> dict[str, str]:
    return {name: text for name, text in given.items() if text is not None}


def _refusal(status: int, text: bytes) -> Answered:
    """A problem document, or the engine's envelope, as an error."""
    try:
        found = json.loads(text)
    except ValueError:
        return Answered(status, text.decode("utf-8", "replace") or f"status {status}", {})
    if isinstance(found, list):  # a batch of which nothing was done
        found = next((each for each in found if each.get("statusCode", 200) >= 400), {})
    title = found.get("title") or found.get("message") or str(found)
    return Answered(status, _ENGINE_MARKS.sub("", title), found)


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[int | None, str, Any]]:
    """Server-sent events, as the standard writes them."""
    fields: dict[str, str] = {}
    for raw in answer:
        line = raw.decode().rstrip("\r\n")
        if line:
            name, _, text = line.partition(":")
            fields[name] = text.removeprefix(" ")
        elif "data" in fields:
            number = fields.get("id")
            yield (
                None if number is None else int(number),
                fields.get("event", "message"),
                json.loads(fields["data"]),
            )
            fields = {}
