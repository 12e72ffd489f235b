"""A stand-in for the engine: its configuration API as a process, faithful to what was recorded.

    python -m tests.support.engine PORT [SERVER_XML]

What it reads from a file is read-only to its API; what its API makes is forgotten when it ends. A
batch is not atomic: what comes before a broken item stays. ``/control`` is for tests: GET gives the
log of what was changed, POST sets ``fail`` (applications whose creation fails), ``slow_s`` and
``end`` (it goes away).
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from omeconf.core.check import check
from omeconf.core.effective import EffectiveElement
from omeconf.core.schema import Item
from omeconf.core.snapshot import Snapshot
from omeconf.store.disk import Folder, shipped_schema
from tests.support.daemon import free_port, wait_for

TOKEN = "engine-token"
SCHEMA = shipped_schema()
_AUDIO = {"bitrate": 128000, "bypassIfMatch": {"codec": "eq"}, "channel": 2, "samplerate": 48000}
DEFAULTS: dict[str, Any] = {
    "providers": {"ovt": {}, "rtmp": {}, "rtspPull": {}, "srt": {}, "webrtc": {}},
    "publishers": {"llhls": {}, "ovt": {}, "webrtc": {}},
    "outputProfiles": {"outputProfile": [{
        "encodes": {
            "audios": [{**_AUDIO, "codec": "opus", "name": "opus"},
                       {**_AUDIO, "codec": "aac", "name": "aac"}],
            "videos": [{"bypass": True, "name": "bypass_video"}],
        },
        "name": "default", "outputStreamName": "${OriginStreamName}",
    }]},
}  # fmt: skip


class Answer(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, text: str, prefix: str = "[HTTP] ") -> None:
        super().__init__(text)
        self.status = status
        self.bare = text if prefix == "[HTTP] " else f"{prefix}{text}"
        self.message = f"{prefix}{text} ({status})" if prefix == "[HTTP] " else self.bare


class Host:
    """A virtual host with its applications."""

    def __init__(self, body: dict[str, Any], *, is_read_only: bool = False) -> None:
        self.body = body
        self.is_read_only = is_read_only
        self.apps: dict[str, dict[str, Any]] = {}


class State:
    """What one engine has."""

    def __init__(self, file: str) -> None:
        self.hosts: dict[str, Host] = {}
        self.log: list[str] = []
        self.looks = 0
        self.fail: list[str] = []
        self.slow_s = 0.0
        self.guard = threading.Lock()
        if file:
            self._read(Path(file))

    def _read(self, file: Path) -> None:
        folder = Folder(file.parent)
        found = check(Snapshot.take(folder, main=file.name, folder=str(folder.path)), SCHEMA)
        assert found.is_good, found.errors
        assert found.root is not None
        for node in found.root.every("VirtualHosts/VirtualHost"):
            body = _as_read(node)
            apps = body.pop("applications", [])
            host = self.hosts[str(body["name"])] = Host(body, is_read_only=True)
            host.apps = {str(app["name"]): app for app in apps}

    def host(self, name: str) -> Host:
        if name not in self.hosts:
            raise Answer(404, f"Could not find the virtual host: [{name}]")
        return self.hosts[name]

    def app(self, vhost: str, name: str) -> dict[str, Any]:
        apps = self.host(vhost).apps
        if name not in apps or name == "*":
            raise Answer(404, f"Could not find the application: [{vhost}/{name}]")
        return apps[name]

    def writable(self, name: str) -> Host:
        host = self.host(name)
        if host.is_read_only:
            raise Answer(403, f"The VirtualHost is read-only: [{name}]")
        return host

    # -- what can be asked -----------------------------------------------------------------

    def get(self, parts: list[str]) -> Any:
        if not parts:
            self.looks += 1
            return list(self.hosts)
        if len(parts) == 1:
            return self.host(parts[0]).body
        if parts[1:] == ["apps"]:
            return [name for name in self.host(parts[0]).apps if name != "*"]
        app = self.app(parts[0], parts[2])
        if len(parts) == 3:
            return {**app, "dynamic": False}
        profiles = app.get("outputProfiles", {}).get("outputProfile", [])
        if len(parts) == 4:
            return [profile["name"] for profile in profiles]
        for profile in profiles:
            if profile["name"] == parts[4]:
                return profile
        raise Answer(404, f"Could not find the output profile: [{parts[0]}/{parts[2]}/{parts[4]}]")

    def create_hosts(self, body: Any) -> list[tuple[int, Any]]:
        if not isinstance(body, list):
            raise Answer(400, "Request body must be an array")
        found: list[tuple[int, Any]] = []
        for item in body:
            try:
                found.append((200, self._create_host(item)))
            except Answer as error:
                found.append((error.status, error.bare))
        return found

    def _create_host(self, item: Any) -> Any:
        judge(SCHEMA.virtual_host, item, "virtualHost")
        name = text(item["name"])
        if name in self.hosts:
            raise Answer(409, f"The virtual host already exists: [{name}]")
        host = Host({key: value for key, value in item.items() if key != "applications"})
        for app in item.get("applications") or []:
            judge(SCHEMA.application, app, "application")
            if text(app["name"]) in host.apps:
                raise Answer(400, f"Failed to create the virtual host: [{name}]")
            host.apps[text(app["name"])] = app
        self.hosts[name] = host
        self.log.append(f"POST {name}")
        return host.body

    def create_apps(self, vhost: str, body: Any) -> list[tuple[int, Any]]:
        host = self.writable(vhost)
        if not isinstance(body, list):
            raise Answer(400, "Request body must be an array")
        found: list[tuple[int, Any]] = []
        for item in body:
            if not isinstance(item, dict):
                raise Answer(500, "in Json::Value::find(begin, end): requires objectValue", "")
            whole = {**DEFAULTS, **{k: v for k, v in item.items() if v is not None}}
            judge(SCHEMA.application, whole, "application")
            name = text(item["name"])
            if name in host.apps:
                why = f"Could not create the application: [{vhost}/{name}] already exists"
                found.append((409, why))
            elif f"{vhost}/{name}" in self.fail:
                self.log.append(f"FAIL {vhost}/{name}")
                found.append((500, f"Failed to create the application: [{vhost}/{name}]"))
            else:
                host.apps[name] = whole
                self.log.append(f"POST {vhost}/{name}")
                found.append((200, {**whole, "dynamic": False}))
        return found

    def create_profiles(self, vhost: str, app: str, body: Any) -> list[tuple[int, Any]]:
        application = self.app(vhost, app)
        self.writable(vhost)
        if not isinstance(body, list):
            raise Answer(400, "Request body must be an array")
        for item in body:
            judge_shape(item)
        listed = application.setdefault("outputProfiles", {}).setdefault("outputProfile", [])
        made = list(listed)
        found: list[tuple[int, Any]] = []
        for item in body:
            try:
                judge(SCHEMA.output_profile, item, "outputProfile")
            except Answer as error:
                raise Answer(error.status, error.bare) from None
            if item["name"] in [profile["name"] for profile in made]:
                found.append((409, f'The output profile "{item["name"]}" already exists'))
            else:
                made.append(item)
                found.append((200, item))
        application["outputProfiles"]["outputProfile"] = made
        self.log.append(f"AGAIN {vhost}/{app}")
        return found

    def patch(self, parts: list[str], body: Any) -> Any:
        app = self.app(parts[0], parts[2])
        if len(parts) == 5:
            return self._replace_profile(app, parts, body)
        self.writable(parts[0])
        if not isinstance(body, dict):
            raise Answer(400, "Request body must be an object")
        for key in ("name", "dynamic", "outputProfiles"):
            if key in body:
                raise Answer(400, f"Cannot change [{key}] using this API")
        new = merge(app, body)
        judge(SCHEMA.application, new, "application")
        self.hosts[parts[0]].apps[parts[2]] = new
        self.log.append(f"AGAIN {parts[0]}/{parts[2]}")
        return {**new, "dynamic": False}

    def _replace_profile(self, app: dict[str, Any], parts: list[str], body: Any) -> Any:
        profiles = app.get("outputProfiles", {}).get("outputProfile", [])
        self.get(parts)
        self.writable(parts[0])
        if not isinstance(body, dict):
            raise Answer(400, "Request body must be an object")
        for key in body:
            if key.lower() == "name":
                raise Answer(400, f"The {key} entry cannot be specified in the modification")
        new = {**body, "name": parts[4]}
        try:
            judge(SCHEMA.output_profile, new, "outputProfile")
        except Answer as error:
            raise Answer(error.status, error.bare) from None
        for place, profile in enumerate(profiles):
            if profile["name"] == parts[4]:
                profiles[place] = new
        self.log.append(f"AGAIN {parts[0]}/{parts[2]}")
        return new

    def delete(self, parts: list[str]) -> None:
        self.get(parts)
        host = self.writable(parts[0])
        if len(parts) == 1:
            del self.hosts[parts[0]]
        elif len(parts) == 3:
            del host.apps[parts[2]]
        else:
            listed = host.apps[parts[2]]["outputProfiles"]["outputProfile"]
            listed[:] = [profile for profile in listed if profile["name"] != parts[4]]
        self.log.append(f"DELETE {'/'.join(part for n, part in enumerate(parts) if n % 2 == 0)}")


def _as_read(node: EffectiveElement) -> Any:
    """As the engine shows what it read from a file: every scalar is a string."""
    from omeconf.core.mapping import to_json

    return to_json(node, leaf=lambda leaf: leaf.element.value)


def text(value: Any) -> str:
    """A value where a text is wanted."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def merge(old: Any, patch: Any) -> Any:
    """Objects deeply, all else replaced, null removes."""
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    new = dict(old)
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merge(new.get(key), value)
    return new


def judge(item: Item, body: Any, path: str) -> None:
    """Unknown keys, and required ones that are not there."""
    body = body if isinstance(body, dict) else {}
    known = {child.json: child for child in item.children.values()}
    for key in body:
        if key not in known:
            raise Answer(400, f"Unknown item found: {path}.{key}", "[Config] ")
    for key, child in known.items():
        value = body.get(key)
        if value is None:
            if child.is_enforced:
                raise Answer(400, f"{path}.{key} is not optional", "[Config] ")
            continue
        flat = child.flat_child
        if flat is not None and isinstance(value, list):
            _judge_items(flat, value)
        elif child.is_list:
            if not isinstance(value, list):
                raise Answer(400, f"Child {key} is not an array", "[Config] ")
            _judge_items(child, value)
        elif child.type is None:
            if isinstance(value, list):
                inner = next((c.json for c in child.children.values() if c.is_list), key)
                raise Answer(400, f"{inner} is not an array", "[Config] ")
            judge(child, value, f"{path}.{key}")
        elif child.type.words and text(value) not in child.type.words and key == "type":
            raise Answer(400, f"Unknown type: {text(value)}", "[Config] ")


def _judge_items(item: Item, values: list[Any]) -> None:
    if item.type is None:
        for each in values:
            judge(item, each, item.body_path)


def judge_shape(item: Any) -> None:
    """What the engine looks at first of an output profile."""
    lead = "Invalid request body: "
    if not isinstance(item, dict) or any(
        item.get(key) is None for key in ("name", "outputStreamName", "encodes")
    ):
        raise Answer(400, lead + '"name", "outputStreamName", "encodes" are required')
    encodes = item["encodes"]
    if not (isinstance(item["name"], str) and isinstance(encodes, dict)):
        raise Answer(400, lead + '"name" must be a string and "encodes" must be an object')
    lists = [encodes[key] for key in ("videos", "audios") if key in encodes]
    if not all(isinstance(each, list) for each in lists) or not sum(map(len, lists)):
        raise Answer(
            400, lead + '"encodes" must have at least one item (videos array or audios array)'
        )


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    state: State

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_any(self) -> None:
        """Answer whatever it is."""
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        with self.state.guard:
            if self.path.startswith("/control"):
                self.control(data)
                return
            if self.state.slow_s:
                time.sleep(self.state.slow_s)
            try:
                status, body = self.answer(data)
            except Answer as error:
                status, body = error.status, {"statusCode": error.status, "message": error.message}
        self.send(status, body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_any  # noqa: N815

    def answer(self, data: bytes) -> tuple[int, Any]:
        """Status and body."""
        wanted = "Basic " + base64.b64encode(TOKEN.encode()).decode()
        if self.headers.get("Authorization") != wanted:
            raise Answer(401, "Invalid credential")
        path, _, query = self.path.partition("?")
        if path == "/v1/version":
            return 200, {"statusCode": 200, "message": "OK", "response": {"version": "0.21.0"}}
        if path.startswith("/v1/stats") or path.endswith((":startPush", ":pushes")):
            told = {"path": path, "query": query, "length": len(data),
                    "agent": self.headers.get("User-Agent")}  # fmt: skip
            return 200, {"statusCode": 200, "message": "OK", "response": told}
        renewed = re.fullmatch(r"/v1/(?:vhosts/([^/:]+)|managers/api):reloadCertificate", path)
        if renewed and self.command == "POST":
            if renewed[1]:
                self.state.host(renewed[1])
            self.state.log.append(f"CERTIFICATE {renewed[1] or 'managers'}")
            return 200, {"statusCode": 200, "message": "OK"}
        match = re.fullmatch(r"/v1/vhosts(?:/([^/]*)(/apps(?:/([^/:]*)(/outputProfiles"
                             r"(?:/([^/]*))?)?)?)?)?", path)  # fmt: skip
        known = ("GET", "POST", "PATCH", "DELETE")
        if match is None or self.command not in known:
            raise Answer(404, "Controller not found")
        vhost, apps, app, profiles, profile = match.groups()
        steps = (vhost, apps and "apps", app, profiles and "outputProfiles", profile)
        parts = [step for step in steps if step is not None]
        is_list = len(parts) in (0, 2, 4)
        if (self.command == "POST") != is_list and self.command != "GET":
            raise Answer(404, "Controller not found")
        if self.command == "PATCH" and len(parts) == 1:
            raise Answer(404, "Controller not found")
        try:
            body = json.loads(data.decode("utf-8-sig")) if data.strip() else None
        except ValueError as error:
            raise Answer(400, f"[JSON] {error}") from None
        return self.carry_out(parts, body)

    def carry_out(self, parts: list[str], body: Any) -> tuple[int, Any]:
        """What a method does."""
        state = self.state
        if self.command == "GET":
            return 200, {"statusCode": 200, "message": "OK", "response": state.get(parts)}
        if self.command == "DELETE":
            state.delete(parts)
            return 200, {"statusCode": 200, "message": "OK"}
        if self.command == "PATCH":
            response = state.patch(parts, body)
            return 200, {"statusCode": 200, "message": "OK", "response": response}
        if not parts:
            made = state.create_hosts(body)
        elif len(parts) == 2:
            made = state.create_apps(parts[0], body)
        else:
            made = state.create_profiles(parts[0], parts[2], body)
        envelopes = [
            {"statusCode": status, "message": "OK", "response": found}
            if status == 200
            else {"statusCode": status, "message": found}
            for status, found in made
        ]
        statuses = {status for status, _ in made}
        return (statuses.pop() if len(statuses) == 1 else 207 if statuses else 200), envelopes

    def control(self, data: bytes) -> None:
        """For tests."""
        if data:
            told = json.loads(data)
            self.state.fail = told.get("fail", self.state.fail)
            self.state.slow_s = told.get("slow_s", self.state.slow_s)
            if told.get("end"):
                os._exit(0)
        if self.path.endswith("/looks"):
            self.send(200, self.state.looks)
            return
        log, self.state.log = self.state.log, []
        self.send(200, log)

    def send(self, status: int, body: Any) -> None:
        """An answer, as the engine writes it."""
        text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Engine:
    """The stand-in as a process; it can go away and come back."""

    def __init__(self, file: str = "") -> None:
        self.port = free_port()
        self.file = file
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Engine:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.engine", str(self.port), self.file],
            cwd=Path(__file__).parents[2],
        )
        wait_for(self.answers, "the engine")
        return self

    def stop(self) -> None:
        """End it at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def __enter__(self) -> Engine:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.stop()

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            self.control()
        except OSError:
            return False
        return True

    def control(self, **told: Any) -> list[str]:
        """Tell it something; gives what was changed since the last time."""
        data = json.dumps(told).encode() if told else None
        with urllib.request.urlopen(f"{self.url}/control", data, timeout=10) as answer:
            log: list[str] = json.loads(answer.read())
        return log

    @property
    def looks(self) -> int:
        """How often its virtual hosts were listed."""
        with urllib.request.urlopen(f"{self.url}/control/looks", timeout=10) as answer:
            found: int = json.loads(answer.read())
        return found

    def get(self, path: str) -> Any:
        """What its API answers."""
        token = base64.b64encode(TOKEN.encode()).decode()
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Basic {token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())["response"]


def main() -> None:
    """Serve until killed."""
    Handler.state = State(sys.argv[2] if len(sys.argv) > 2 else "")
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.serve_forever()


if __name__ == "__main__":
    main()
