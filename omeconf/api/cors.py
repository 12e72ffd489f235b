"""Cross-origin requests, by the CrossDomains of Server.xml and the engine's rules for them.

``*`` allows every origin; ``null`` counts alone; otherwise an entry matches an origin as a whole,
with ``*`` for any run of characters and ``?`` for one or none, and one without a scheme for http
and https. Source: the engine 0.21.0, read and run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request

from omeconf.api.envelope import for_header
from omeconf.core.effective import EffectiveElement
from omeconf.core.values import expand
from omeconf.store.head import Head

METHODS = "OPTIONS, HEAD, GET, POST, PUT, PATCH, DELETE"
SAFE = ("GET", "HEAD", "OPTIONS")
FRAMING = ("connection", "content-length", "content-type", "date", "transfer-encoding", "upgrade")
"""What says how an answer is to be read: no custom header may change it."""
EXPOSED = (
    "Allow, ETag, Omeconf-Advice, Omeconf-Hint, Omeconf-Plan, Omeconf-Reload, Omeconf-Request-Id, "
    "Omeconf-Revision, Retry-After, WWW-Authenticate"
)


def headers(head: Head | None, request: Request) -> dict[str, str]:
    """The headers that an answer to this request carries for browsers."""
    found = {"Vary": "Origin"}
    policy, env = _policy(head)
    if policy is None:
        return found | {"Access-Control-Allow-Methods": METHODS}
    allowed = _allowed(policy, env, request.headers.get("Origin", ""))
    if allowed:
        found["Access-Control-Allow-Origin"] = allowed
        found["Access-Control-Allow-Methods"] = METHODS
        asked = request.headers.get("Access-Control-Request-Headers")
        if asked:
            found["Access-Control-Allow-Headers"] = asked
        if allowed != "*":
            found["Access-Control-Allow-Credentials"] = "true"
        found["Access-Control-Expose-Headers"] = EXPOSED
    return found | _custom(policy)


def is_foreign_write(head: Head | None, request: Request) -> bool:
    """Whether another web site has a browser change something here without being allowed to."""
    if request.method in SAFE:
        return False
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    if origin is None and site in (None, "same-origin", "none"):
        return False
    if origin is not None and origin.partition("://")[2] == request.headers.get("Host"):
        return False
    policy, env = _policy(head)
    return policy is None or _allowed(policy, env, origin or "") not in ("*", origin)


def _policy(head: Head | None) -> tuple[EffectiveElement | None, Mapping[str, str] | None]:
    """That of the API, else that for all; and the engine's environment."""
    root = head.checked.root if head else None
    if root is None or head is None:
        return None, None
    found = root.below("Managers/API/CrossDomains") or root.below("Defaults/CrossDomains")
    return found, head.checked.snapshot.env


def _allowed(policy: EffectiveElement, env: Mapping[str, str] | None, origin: str) -> str:
    """What Access-Control-Allow-Origin says to an origin; "" if it is not allowed."""
    urls = [expand(url.element.value, env) or "" for url in policy.all("Url")]
    if "*" in urls:
        return "*"
    if urls == ["null"]:
        return "null"
    if origin and any(re.fullmatch(_pattern(url), origin) for url in urls):
        return origin
    return ""


def _pattern(url: str) -> str:
    lead = "" if "://" in url else "https?://"
    parts = {"*": ".*", "?": ".?"}
    return lead + "".join(parts.get(c, re.escape(c)) for c in url)


def _custom(policy: EffectiveElement) -> dict[str, str]:
    """Headers that the policy adds itself."""
    found: dict[str, str] = {}
    for header in policy.all("Header"):
        key, value = header.value("Key"), header.value("Value")
        if key.lower() in FRAMING or not value.isprintable():
            continue
        if re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", key):
            found[key] = for_header(value)
    return found
