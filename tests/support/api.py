"""The API in this process: the application on a configuration in a folder, and its answers."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from omeconf.api.app import build
from omeconf.core.check import check
from omeconf.daemon.service import Service
from omeconf.settings import Settings, Token
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.support import MINIMAL, schema
from tests.support.daemon import TOKEN

SECRET = "hush-hush-hush"
"""A secret in SERVER."""
SERVER = MINIMAL.replace(
    "<VirtualHosts>",
    """<Managers>
		<API>
			<AccessToken>s3cret</AccessToken>
		</API>
	</Managers>
	<VirtualHosts>""",
).replace(
    "<Applications>",
    f"<SignedPolicy><SecretKey>{SECRET}</SecretKey></SignedPolicy>\n\t\t\t<Applications>",
)
"""A good configuration with an API whose token is s3cret, and a signed policy."""

LISTENING = SERVER.replace(
    "<Bind>", "<Bind><Managers><API><Port>@PORT@</Port></API></Managers>"
).replace("s3cret", TOKEN)
"""As SERVER, for a real daemon (`tests.support.daemon`)."""

HOST = "/v1/vhosts/default"
APPS = f"{HOST}/apps"
APP = f"{APPS}/app"
PROFILES = f"{APP}/outputProfiles"
OWN = "/omeconf/v1"
PROFILE = {
    "name": "p1",
    "outputStreamName": "${OriginStreamName}_p1",
    "encodes": {"videos": [{"name": "v", "bypass": True}]},
}
PLAIN = {"type": "live", "providers": {}, "publishers": {}, "outputProfiles": {}}
"""An application without the engine's defaults, but for its name."""

TOKENS = {"admin": "s3cret", "write": "pen", "read": "look"}
"""A token for each role: that of SERVER, and those of ROLES."""
ROLES = (
    Token("grafana", hashlib.sha256(b"look").hexdigest(), "read"),
    Token("alice", hashlib.sha256(b"pen").hexdigest(), "write"),
)


def basic(text: str) -> str:
    """The Authorization header for a token."""
    return "Basic " + base64.b64encode(text.encode()).decode()


def app_path(name: str, host: str = "default") -> str:
    """Where an application is, from Server down."""
    return (
        f'/Server/VirtualHosts/VirtualHost[Name="{host}"]/Applications/Application[Name="{name}"]'
    )


class ApiInProcess:
    """The application on a Server.xml in a folder; closes its service at the end of a block."""

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        text: str = SERVER,
        *,
        files: dict[str, str] | None = None,
        is_trusted: bool = False,
    ) -> None:
        self.folder = folder
        self.file = folder / "Server.xml"
        self.file.write_bytes(text.encode())
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content.encode())
        self.settings = settings or Settings()
        self.is_trusted = is_trusted
        self.header = basic("s3cret")
        self.start()

    def start(self) -> None:
        """Start the service: again, after `stop`."""
        repository = Repository(
            self.file, History(self.folder / "state/h"), schema(), clock=lambda: 1.0
        )
        self.service = Service(repository, self.settings)
        self.service.start()
        app = build(self.service, is_trusted=self.is_trusted)
        self.client = TestClient(app, raise_server_exceptions=False)

    def stop(self) -> None:
        """Stop the service."""
        self.service.stop(1)

    def __enter__(self) -> ApiInProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """One call as admin, or with what `header` or the headers say."""
        headers = {"Authorization": self.header, **options.pop("headers", {})}
        kind = "content" if isinstance(body, str | bytes) else "json"
        return self.client.request(method, path, headers=headers, **{kind: body}, **options)

    def message(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and message of an answer."""
        answer = self.call(method, path, body)
        shown = answer.json()
        return answer.status_code, shown.get("message", "") if isinstance(shown, dict) else ""

    def etag(self, path: str) -> str:
        """The ETag of what is there."""
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        tag: str = answer.headers["ETag"]
        return tag

    def commit(self, *edits: tuple[str, str, Any], query: str = "", **options: Any) -> Any:
        """A transaction of edits: verb, path, value."""
        body = {"edits": [{"verb": v, "path": p, "value": each} for v, p, each in edits]}
        return self.call("POST", f"{OWN}/transactions{query}", body, **options)

    @property
    def text(self) -> str:
        """The file on disk."""
        return self.file.read_bytes().decode()

    @property
    def revision(self) -> int:
        """The number of head."""
        return self.service.view().revision.number

    def must_be_good(self) -> None:
        """The file on disk is what head says, and the engine takes it."""
        found = check(self.service.repository.on_disk(), schema())
        assert found.is_good, found.errors
        assert found.snapshot.digest == self.service.view().revision.digest
