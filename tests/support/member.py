"""One member of a fleet: a real daemon on its host, and an engine that does as it is told."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Answer, Daemon, is_alive
from tests.support.etcd import MUST_RUN
from tests.torture.daemons import Local

GROUP = "edge"
FAKETIME = "*/faketime/libfaketimeMT.so.1"
"""Where Debian has what makes a clock wrong, below /usr/lib; for each kind of machine."""

SETTINGS = """
[watch]
settle_s = 0.05
[reload]
wait_s = 8
[[hooks]]
run = ["{hook}"]
retries = 0
timeout_s = 30
[health]
run = ["{health}"]
after_s = 0.05
timeout_s = 5
[engine]
release = "{release}"
[fleet]
endpoints = [{endpoints}]
group = "{group}"
node = "{node}"
lease_s = 2
confirm_s = 6
apply_s = 10
vote_s = 5
timeout_s = 2
max_unavailable = 3
"""

HOOK = """#!/bin/sh
read -r told
note() {
    read -r up _ < /proc/uptime
    echo "$up $1 $OMECONF_ACTION $OMECONF_SCOPE $OMECONF_VHOST/$OMECONF_APP" >> "{folder}/calls"
}
note begun
if [ -e "{folder}/slow" ]; then sleep "$(cat "{folder}/slow")"; fi
if [ "$OMECONF_ACTION" != delete ] && [ -e "{folder}/refuses/$OMECONF_APP" ]; then
    note failed; echo "refused, as the test wants it"; exit 3
fi
note done
"""
"""An engine that can be told to refuse an application, or to be slow. Times are of the kernel."""

HEALTH = """#!/bin/sh
for app in "{folder}/dies"/*; do
    if [ -e "$app" ] && grep -q "<Name>${app##*/}</Name>" "{folder}/conf/Server.xml"; then
        echo "died, as the test wants it"; exit 1
    fi
done
"""
"""An engine that can be told to die of an application, whenever that is in its configuration."""


def need_faketime() -> None:
    """Skip the test where no clock can be wrong, or fail it."""
    if any(Path("/usr/lib").glob(FAKETIME)):
        return
    why = f"{FAKETIME}: not installed (faketime)"
    if os.environ.get(MUST_RUN):
        pytest.fail(f"{why}, and {MUST_RUN} is set")
    pytest.skip(why)


@dataclass(frozen=True, slots=True)
class Call:
    """One line of what a member's hook recorded."""

    at_s: float
    """Since the machine was started, to a hundredth."""
    state: str
    """``begun``, ``done`` or ``failed``."""
    action: str
    scope: str
    name: str
    """VHOST/APPLICATION."""


class Member(Daemon):
    """One member: a real daemon on its host, asked over its local socket."""

    def __init__(
        self,
        base: Path,
        name: str,
        *,
        wrapped: Sequence[str] = (),
        endpoints: Sequence[str] = (),
        server_xml: str | None = None,
        settings: str = SETTINGS,
        release: str = "0.21",
    ) -> None:
        """server_xml: what lies in its folder before; None: nothing does, not even the folder."""
        base.mkdir()
        super().__init__(base, server_xml or "")
        if server_xml is None:
            shutil.rmtree(self.conf)
        self.name = name
        self.wrapped = list(wrapped)
        self.release = release
        for script, text in (("hook", HOOK), ("health", HEALTH)):
            (base / script).write_text(text.replace("{folder}", str(base)))
            (base / script).chmod(0o755)
        for folder in ("refuses", "dies"):
            (base / folder).mkdir()
        self.settings_file.write_text(
            settings.replace("{hook}", str(base / "hook"))
            .replace("{health}", str(base / "health"))
            .replace("{release}", release)
            .replace("{endpoints}", ", ".join(f'"{each}"' for each in endpoints))
            .replace("{group}", GROUP)
            .replace("{node}", name)
        )
        self.is_paused = False

    # -- life ------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether there is a process, and it is not stopped."""
        return self.process is not None and is_alive(self.process.pid) and not self.is_paused

    def kill(self) -> None:
        """End it without a warning; nothing if it does not run."""
        if self.process is not None:
            self.resume()
            self.stop(signal.SIGKILL)

    def pause(self) -> None:
        """Have it hang."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Have it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    def set_clock(self, days: int) -> None:
        """Have its clock be wrong by so many days from its next start on."""
        self.environment = {}
        if days:
            self.environment = {
                "LD_PRELOAD": str(next(Path("/usr/lib").glob(FAKETIME))),
                "FAKETIME": f"{days:+d}d",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }

    # -- its engine ------------------------------------------------------------------------

    def refuse(self, app: str, *, is_so: bool = True) -> None:
        """Have its engine refuse an application, or not any more."""
        self._tell("refuses", app, is_so=is_so)

    def die_of(self, app: str, *, is_so: bool = True) -> None:
        """Have its engine not be well with an application, or not any more."""
        self._tell("dies", app, is_so=is_so)

    def _tell(self, folder: str, app: str, *, is_so: bool) -> None:
        file = self.base / folder / app
        if is_so:
            file.touch()
        else:
            file.unlink(missing_ok=True)

    def be_slow(self, seconds: float) -> None:
        """Have each of its hook's calls take so long."""
        file = self.base / "slow"
        if seconds:
            file.write_text(str(seconds))
        else:
            file.unlink(missing_ok=True)

    def hook_calls(self, app: str = "") -> list[Call]:
        """What its hook recorded, of one application or all."""
        found = []
        for line in self.calls:
            at, state, action, scope, name = line.split()
            if not app or name == f"default/{app}":
                found.append(Call(float(at), state, action, scope, name))
        return found

    # -- asking it -------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, body: Any = None, *, message: str = "",
        timeout_s: float = 20.0,
    ) -> Answer:  # fmt: skip
        """One call over its local socket. Raises OSError or http.client.HTTPException."""
        headers = {"Omeconf-Message": message} if message else {}
        connection = Local(self.socket)
        connection.timeout = timeout_s
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def tell(self, path: str, timeout_s: float = 5.0) -> Any:
        """What a GET gives; None if it is not answered, or not well."""
        try:
            answer = self.ask("GET", path, timeout_s=timeout_s)
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return answer.json if answer.status == 200 else None

    def has(self, app: str) -> bool:
        """Whether an application is in its file."""
        try:
            return f"<Name>{app}</Name>" in self.text
        except FileNotFoundError:
            return False

    def files(self) -> dict[str, bytes]:
        """All that is in its folder."""
        found = sorted(file for file in self.conf.rglob("*") if file.is_file())
        return {str(file.relative_to(self.conf)): file.read_bytes() for file in found}
