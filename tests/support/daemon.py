"""The real daemon as a process, its API as calls, and a hook that records how it was called."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

DEADLINE_S = 20.0
TOKEN = "ome-access-token"

HOOK = """#!/bin/sh
read -r told
echo "$OMECONF_ACTION $OMECONF_SCOPE $OMECONF_VHOST/$OMECONF_APP" >> "{calls}"
if [ -e "{folder}/fail" ]; then echo "told to fail"; exit 3; fi
if [ -e "{folder}/hang" ]; then sleep 60; fi
"""

SETTINGS = """
[watch]
settle_s = 0.05
look_every_s = 0.5
[[hooks]]
run = ["{hook}"]
retries = 0
timeout_s = 20
"""


def wait_for(condition: Callable[[], Any], what: str = "") -> Any:
    """What a condition gives once it is true; fails at the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited in vain for {what or condition}"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Answer:
    """What the API answered."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.json: Any = json.loads(body) if body else None

    @property
    def response(self) -> Any:
        """The response member of the envelope."""
        return self.json["response"]


def call(
    port: int, method: str, path: str, body: Any = None, *, token: str | None = TOKEN,
    headers: dict[str, str] | None = None,
) -> Answer:  # fmt: skip
    """One call over TCP to a daemon; a body that is no bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = "Basic " + base64.b64encode(token.encode()).decode()
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


class Daemon:
    """`omeconf serve` on a configuration folder below `base`."""

    def __init__(self, base: Path, server_xml: str, *, settings: str = SETTINGS) -> None:
        self.base = base
        self.conf = base / "conf"
        self.server_xml = self.conf / "Server.xml"
        self.socket = base / "omeconf.sock"
        self.calls_file = base / "calls"
        self.conf.mkdir()
        self.port = free_port()
        self.server_xml.write_bytes(server_xml.replace("@PORT@", str(self.port)).encode())
        hook = base / "hook"
        hook.write_text(HOOK.format(calls=self.calls_file, folder=base))
        hook.chmod(0o755)
        self.settings_file = base / "omeconf.toml"
        self.settings_file.write_text(settings.replace("{hook}", str(hook)))
        self.options: list[str] = []
        """More options for `serve`."""
        self.wrapped: list[str] = []
        """A command that runs it, if not we ourselves."""
        self.environment: dict[str, str] = {}
        """More variables of its environment."""
        self.process: subprocess.Popen[str] | None = None
        self.log_file = base / "log"

    def start(self) -> Self:
        """Start it, and wait until it serves."""
        return self.spawn().greet()

    def spawn(self) -> Self:
        """Start it."""
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                [
                    *self.wrapped, sys.executable, "-m", "omeconf", "serve", str(self.server_xml),
                    "--config", str(self.settings_file), "--state", str(self.base / "state"),
                    "--socket", str(self.socket), "--show-token",
                    *self.options,
                ],
                stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, **self.environment},
            )  # fmt: skip
        return self

    def greet(self) -> Self:
        """Wait until it serves."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()
        assert "serving" in self.greeting, self.log
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def __enter__(self) -> Daemon:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.stop()

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return self.log_file.read_text()

    @property
    def calls(self) -> list[str]:
        """How the hook was called, in order: "restart application default/app"."""
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    @property
    def text(self) -> str:
        """The file on disk."""
        return self.server_xml.read_bytes().decode()

    def write(self, text: str) -> None:
        """Save the file as an editor does that writes in place."""
        self.server_xml.write_bytes(text.encode())

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """One call over TCP; a body that is no bytes is sent as JSON."""
        return call(self.port, method, path, body, token=token, headers=headers)

    def get(self, path: str) -> Any:
        """The response of a GET that must succeed."""
        answer = self.call("GET", path)
        assert answer.status == 200, answer.json
        return answer.response if path.startswith("/v1") else answer.json

    def answers(self, token: str = TOKEN) -> bool:
        """Whether it answers at its port, and takes the token."""
        try:
            return self.call("GET", "/v1/vhosts", token=token).status == 200
        except OSError:
            return False

    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.get("/omeconf/v1/status")
        return found

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, talking to this daemon."""
        return self.cli_with({}, *arguments)

    def cli_with(
        self, environment: dict[str, str], *arguments: str, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """The same with more in its environment, and something on its standard input."""
        own = {"OMECONF_SOCKET": str(self.socket), **environment}
        return omeconf(*arguments, environment=own, given=given)


def omeconf(
    *arguments: str,
    environment: dict[str, str] | None = None,
    given: str = "",
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command line; given: what is on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "omeconf", *arguments],
        capture_output=True, text=True, check=False, timeout=DEADLINE_S, input=given, cwd=folder,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip


def uncommented_api(text: str) -> str:
    """The engine's own example with its two API blocks taken out of their comments."""
    for start in ("\t\t<!--\n\t\t<Managers>", "\t<!--\n\t<Managers>"):
        assert start in text
        head, _, tail = text.partition(start)
        indent = start.partition("<!--")[0]
        block, _, rest = tail.partition(f"{indent}-->\n")
        text = f"{head}{indent}<Managers>{block}{rest}"
    return re.sub(r"(<API>\s*<Port>)8081(</Port>)", r"\1@PORT@\2", text)
