"""The engine's own REST API: what is configured there, and changing it, an application at a time.

Facts (the engine 0.21.0, run): virtual hosts that it read from its file are read-only to its API;
an application is changed by deleting and creating it; a create that fails leaves none, so the old
one is put back; deleting a virtual host does not end the streams of its applications, so these are
deleted first; of overlapping host names the virtual host that was posted first is reached.
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from omeconf.core.effective import EffectiveElement
from omeconf.core.mapping import Json
from omeconf.core.plan import Action, Plan, PlanItem
from omeconf.core.render import application_body, virtual_host_body
from omeconf.core.schema import APPLICATION, VIRTUAL_HOST
from omeconf.errors import NotFound, OmeconfError
from omeconf.store.head import Head

log = logging.getLogger(__name__)


TEMPLATE = "*"
"""The application that dynamic ones are made from: the engine never lists it."""


class Unreachable(OmeconfError):
    """The engine does not answer: that is no refusal, and is tried again."""


class EngineRefused(OmeconfError):
    """The engine answered that it will not, with its own words."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the engine runs otherwise than it should."""

    virtual_host: str
    application: str
    """"" for the virtual host itself."""
    what: str
    """missing, unknown or changed."""

    def __str__(self) -> str:
        name = "/".join(part for part in (self.virtual_host, self.application) if part)
        return f"{self.what}: {name}"


class EngineApi:
    """Calls to one engine's API. Raises Unreachable or EngineRefused."""

    def __init__(self, url: str, token: str, *, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 8081
        self.timeout_s = timeout_s
        self.authorization = "Basic " + base64.b64encode(token.encode()).decode()

    def names(self, *where: str) -> list[str]:
        """Names of virtual hosts, or of the applications of one."""
        found = self._call("GET", _path(*where, "apps") if where else "/v1/vhosts")
        return [str(name) for name in found] if isinstance(found, list) else []

    def get(self, *where: str) -> Json:
        """A virtual host or an application; None if there is none."""
        try:
            return self._call("GET", _path(*where))
        except NotFound:
            return None

    def create(self, body: Json, *where: str) -> None:
        """A virtual host, or an application in one."""
        self._call("POST", _path(*where, "apps") if where else "/v1/vhosts", [body])

    def delete(self, *where: str) -> None:
        """A virtual host or an application; none is fine."""
        try:
            self._call("DELETE", _path(*where))
        except NotFound:
            return

    def reload_certificate(self, virtual_host: str) -> None:
        """Have the certificate files of a virtual host read again; "": those of the API itself."""
        where = _path(virtual_host) if virtual_host else "/v1/managers/api"
        self._call("POST", f"{where}:reloadCertificate")

    def _call(self, method: str, path: str, body: Json = None) -> Json:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            status, data = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"the engine at {self.host}:{self.port}: {error}") from None
        finally:
            connection.close()
        return _response(status, data, f"{method} {path}")


class LiveEngine:
    """An engine whose virtual hosts are all made over its API, kept equal to a head."""

    def __init__(self, api: EngineApi) -> None:
        self.api = api

    def apply(self, plan: Plan, running: Head | None, target: Head) -> None:
        """Carry out the items of a plan that are applications and virtual hosts.

        Raises Unreachable (some of it may be done), or EngineRefused: then the old application
        is back, where that was possible.
        """
        for item in plan.items:
            if item.scope == APPLICATION:
                self._apply_application(item, running, target)
            elif item.scope == VIRTUAL_HOST:
                self._apply_virtual_host(item, target)

    def replay(self, target: Head) -> list[Difference]:
        """Make the engine run a head, whatever it runs now; gives what had to be changed."""
        found = self.differences(target)
        hosts = {each.virtual_host for each in found if not each.application}
        for name in sorted(hosts):
            self._remove_virtual_host(name)
        # those posted first are reached first, so what comes behind a new one is posted again
        order = _hosts(target)
        first = next((place for place, host in enumerate(order) if host.key in hosts), len(order))
        for host in order[first:]:
            self._remove_virtual_host(host.key or "")
        for host in order[first:]:
            self._post_virtual_host(host, target)
        for each in found:
            if each.application and each.virtual_host not in {h.key for h in order[first:]}:
                self._set_application(each.virtual_host, each.application, target)
        return found

    def differences(self, target: Head) -> list[Difference]:
        """Where the engine runs something else than a head."""
        found: list[Difference] = []
        present = set(self.api.names())
        wanted = {host.key or "": host for host in _hosts(target)}
        found += (Difference(name, "", "unknown") for name in sorted(present - set(wanted)))
        for name, host in wanted.items():
            body = virtual_host_body(host, target.checked.snapshot)
            if name not in present:
                found.append(Difference(name, "", "missing"))
            elif not is_same(body, self.api.get(name)):
                found.append(Difference(name, "", "changed"))
            else:
                found += self._application_differences(name, host, target)
        return found

    def has_hosts_of(self, head: Head | None) -> bool:
        """Whether all virtual hosts of a head are there, by their names."""
        wanted = {host.key or "" for host in _hosts(head)} if head else set()
        return wanted <= set(self.api.names())

    def runs(self, plan: Plan, target: Head) -> str:
        """What of a plan's outcome the engine does not show; "" if all is as it should be."""
        for item in plan.items:
            host = _host(target, item.virtual_host)
            wanted = _application(host, item.application) if host and item.application else None
            found = self.api.get(*filter(None, (item.virtual_host, item.application)))
            if item.action is Action.DELETE:
                if found is not None:
                    return f"{item} did not come about"
            elif wanted is not None and not is_same(
                application_body(wanted, target.checked.snapshot), found
            ):
                return f"{item}: the engine does not show what was sent"
            elif found is None:
                return f"{item}: the engine does not have it"
        return ""

    # -- inside ----------------------------------------------------------------------------

    def _application_differences(
        self, name: str, host: EffectiveElement, target: Head
    ) -> list[Difference]:
        found: list[Difference] = []
        present = set(self.api.names(name))
        wanted = {a.key or "": a for a in _applications(host) if a.key != TEMPLATE}
        for app in sorted(present - set(wanted)):
            shown = self.api.get(name, app)
            if not (isinstance(shown, dict) and shown.get("dynamic") is True):
                found.append(Difference(name, app, "unknown"))
        for app, application in wanted.items():
            body = application_body(application, target.checked.snapshot)
            if app not in present:
                found.append(Difference(name, app, "missing"))
            elif not is_same(body, self.api.get(name, app)):
                found.append(Difference(name, app, "changed"))
        return found

    def _apply_application(self, item: PlanItem, running: Head | None, target: Head) -> None:
        host, app = item.virtual_host, item.application
        if item.action is Action.DELETE:
            self.api.delete(host, app)
            return
        old_host = _host(running, host) if running else None
        old = _application(old_host, app) if old_host else None
        try:
            self._set_application(host, app, target)
        except EngineRefused:
            if old is not None and running is not None:
                log.warning("putting back the application %s/%s", host, app)
                self.api.create(application_body(old, running.checked.snapshot), host)
            raise

    def _set_application(self, host: str, app: str, target: Head) -> None:
        """Delete it, and create it as the target has it, if it has it."""
        found = _host(target, host)
        application = _application(found, app) if found else None
        body = application_body(application, target.checked.snapshot) if application else None
        self.api.delete(host, app)
        if body is not None:
            self.api.create(body, host)

    def _apply_virtual_host(self, item: PlanItem, target: Head) -> None:
        self._remove_virtual_host(item.virtual_host)
        order = _hosts(target)
        names = [host.key for host in order]
        if item.action is Action.DELETE or item.virtual_host not in names:
            return
        place = names.index(item.virtual_host)
        behind = [host for host in order[place + 1 :] if _overlap(order[place], host)]
        for host in behind:
            self._remove_virtual_host(host.key or "")
        for host in (order[place], *behind):
            self._post_virtual_host(host, target)

    def _remove_virtual_host(self, name: str) -> None:
        try:
            for app in self.api.names(name):
                self.api.delete(name, app)
        except NotFound:
            return
        self.api.delete(name)

    def _post_virtual_host(self, host: EffectiveElement, target: Head) -> None:
        snapshot = target.checked.snapshot
        self.api.create(virtual_host_body(host, snapshot))
        for application in _applications(host):
            self.api.create(application_body(application, snapshot), host.key or "")


def is_same(sent: Json, shown: Json) -> bool:
    """Whether the engine shows what was sent: nothing but what it adds itself may be more.

    The streams of a stream map are shown by it with their ports counted out: not compared.
    """
    if isinstance(sent, dict) and isinstance(shown, dict):
        more = set(shown) - set(sent) - {"dynamic"}
        return not more and all(
            is_same(value, shown.get(key)) or (key == "streams" and bool(value and shown.get(key)))
            for key, value in sent.items()
        )
    if isinstance(sent, list) and isinstance(shown, list):
        return len(sent) == len(shown) and all(map(is_same, sent, shown))
    if sent in (None, {}) and shown in (None, {}):
        return True
    return _text(sent) == _text(shown)


def read_token(file: str) -> str:
    """The token of the engine's API, from its file. Raises NotFound."""
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise NotFound(f"cannot read {file}: {error.strerror}") from None


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _response(status: int, data: bytes, what: str) -> Json:
    try:
        found: Any = json.loads(data) if data else None
    except ValueError:
        raise EngineRefused(f"{what}: the engine answered {status} with no JSON") from None
    envelopes = found if isinstance(found, list) else [found]
    for envelope in envelopes:
        code = envelope.get("statusCode", status) if isinstance(envelope, dict) else status
        if code == 404:
            raise NotFound(f"{what}: {_message(envelope)}")
        if code >= 400:
            raise EngineRefused(f"{what}: {_message(envelope)}")
    return found.get("response") if isinstance(found, dict) else found


def _message(envelope: Json) -> str:
    return str(envelope.get("message", envelope)) if isinstance(envelope, dict) else str(envelope)


def _path(*where: str) -> str:
    """/v1/vhosts/V/apps/A; the engine does not decode paths, so only what must be is encoded."""
    parts = [quote(part, safe="!$&'()*+,;=@ -._~") for part in where]
    if len(parts) == 2 and parts[1] != "apps":
        parts = [parts[0], "apps", parts[1]]
    return "/v1/vhosts/" + "/".join(parts).replace(" ", "%20")


def _hosts(head: Head) -> list[EffectiveElement]:
    root = head.checked.root
    return list(root.every("VirtualHosts/VirtualHost")) if root else []


def _host(head: Head | None, name: str) -> EffectiveElement | None:
    return next((host for host in _hosts(head) if host.key == name), None) if head else None


def _applications(host: EffectiveElement) -> list[EffectiveElement]:
    return list(host.every("Applications/Application"))


def _application(host: EffectiveElement, name: str) -> EffectiveElement | None:
    return next((each for each in _applications(host) if each.key == name), None)


def _overlap(one: EffectiveElement, other: EffectiveElement) -> bool:
    """Whether some name may lead to either of two virtual hosts."""
    names = [[n.element.value for n in host.every("Host/Names/Name")] for host in (one, other)]
    return any(a == b or set("*?") & set(a + b) for a in names[0] for b in names[1])
