"""The daemon's own API as calls, over its local socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from omeconf.errors import NotFound, OmeconfError


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Client:
    """Calls to one daemon; method names are those of the service."""

    def __init__(self, path: Path, *, timeout_s: float = 60.0) -> None:
        """The daemon that listens at a socket."""
        self.path = path
        self.timeout_s = timeout_s

    def status(self) -> dict[str, Any]:
        """How things stand."""
        found: dict[str, Any] = self._call("GET", "/omeconf/v1/status")
        return found

    def revisions(self, limit: int = 20) -> list[dict[str, Any]]:
        """The history, newest first."""
        found: list[dict[str, Any]] = self._call("GET", f"/omeconf/v1/revisions?limit={limit}")[
            "revisions"
        ]
        return found

    def revision(self, number: int) -> dict[str, Any]:
        """One revision, with its files."""
        found: dict[str, Any] = self._call("GET", f"/omeconf/v1/revisions/{number}")
        return found

    def diff(self, number: int, against: int | None = None) -> dict[str, Any]:
        """What a revision changed; against its parent, unless told."""
        query = "" if against is None else f"?against={against}"
        found: dict[str, Any] = self._call("GET", f"/omeconf/v1/revisions/{number}/diff{query}")
        return found

    def reloads(self) -> list[dict[str, Any]]:
        """Reloads, newest first."""
        found: list[dict[str, Any]] = self._call("GET", "/omeconf/v1/reloads")["reloads"]
        return found

    def retry(self, job_id: str) -> dict[str, Any]:
        """Do a failed or waiting reload again."""
        found: dict[str, Any] = self._call("POST", f"/omeconf/v1/reloads/{job_id}:retry")
        return found

    def rollback(
        self, number: int, message: str = "", *, confirm_s: float | None = None
    ) -> dict[str, Any]:
        """An old state again, as a new revision."""
        query = f"?confirm={confirm_s:g}" if confirm_s is not None else ""
        path = f"/omeconf/v1/rollback{query}"
        found: dict[str, Any] = self._call("POST", path, {"revision": number}, message)
        return found

    def confirm(self) -> dict[str, Any]:
        """What was committed with a deadline stays."""
        found: dict[str, Any] = self._call("POST", "/omeconf/v1/confirm")
        return found

    def reload(self) -> dict[str, Any]:
        """Settings and files are looked at again; what that reloads goes on by itself."""
        found: dict[str, Any] = self._call("POST", "/omeconf/v1/reload")
        return found

    def reload_of(self, job_id: str) -> dict[str, Any]:
        """One reload, as it stands now."""
        found: dict[str, Any] = self._call("GET", f"/omeconf/v1/reloads/{job_id}")
        return found

    def hold(self, reason: str = "") -> dict[str, Any]:
        """Adopt nothing and refuse edits until `resume`."""
        found: dict[str, Any] = self._call("POST", "/omeconf/v1/hold", {"reason": reason})
        return found

    def resume(self) -> dict[str, Any]:
        """Adopt again, beginning with what lies on disk now."""
        found: dict[str, Any] = self._call("POST", "/omeconf/v1/resume")
        return found

    def _call(self, method: str, path: str, body: object = None, message: str = "") -> Any:
        connection = _UnixConnection(self.path, self.timeout_s)
        try:
            headers = {"Omeconf-Message": message.encode()} if message else {}
            text = json.dumps(body) if body is not None else None
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            body = answer.read()
        except PermissionError:
            raise NotFound(
                f"the daemon at {self.path} may not be asked: be root, or in its socket's group"
            ) from None
        except OSError as error:
            raise NotFound(
                f"cannot reach the daemon at {self.path}: {error.strerror or error}; "
                "is `omeconf serve` running? (--socket PATH names another)"
            ) from None
        finally:
            connection.close()
        found = json.loads(body)
        if answer.status >= 400:
            raise OmeconfError(found.get("title") or found.get("message") or str(found))
        return found
