"""Who is calling: by token over TCP, by the socket's own permissions over the local socket."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass

from omeconf.core.values import expand
from omeconf.settings import Token
from omeconf.store.head import Head

ROLES = READ, WRITE, ADMIN = ("read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may call."""

    name: str
    role: str

    @property
    def may_write(self) -> bool:
        """Whether changes are allowed."""
        return self.may(WRITE)

    def may(self, role: str) -> bool:
        """Whether that role is theirs too: each has the rights of those before it."""
        return self.role in ROLES[ROLES.index(role) :]


class NotAuthorized(Exception):
    """No valid credentials; the text is the engine's."""


def local_caller(peer: tuple[int, int, int] | None) -> Caller:
    """Who calls over the local socket: pid, uid and gid as the kernel says.

    root and our own user are admin; who else may open the socket is of its group: write.
    """
    if peer is None:
        return Caller("local", ADMIN)
    _, uid, _ = peer
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return Caller(name, ADMIN if uid in (0, os.geteuid()) else WRITE)


def server_token(head: Head) -> str:
    """The token in Server.xml, from head; "" if there is none or its macros are unknown."""
    snapshot, root = head.checked.snapshot, head.checked.root
    text = root.value("Managers/API/AccessToken") if root else ""
    return expand(text, snapshot.env) or ""


def basic(token: str) -> str:
    """The Authorization header for a token: the whole token is encoded, without a user."""
    return "Basic " + base64.b64encode(token.encode()).decode()


def authorize(
    header: str | None, head: Head | None, tokens: Sequence[Token], *, bearer: bool
) -> Caller:
    """The caller behind an Authorization header. Raises NotAuthorized."""
    if not header:
        raise NotAuthorized("Authorization header is required to call API")
    parts = header.split(" ")
    if len(parts) != 2:
        raise NotAuthorized("Invalid authorization header")
    scheme, credential = parts
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(credential, validate=True)
        except ValueError:  # also for what is not ASCII
            raise NotAuthorized("Invalid credential format") from None
    elif scheme.lower() == "bearer" and bearer:
        given = credential.encode()
    else:
        raise NotAuthorized(f"Not supported credential type: {scheme}")
    own = server_token(head) if head else ""
    if own and hmac.compare_digest(given, own.encode()):
        return Caller("api", ADMIN)
    digest = hashlib.sha256(given).hexdigest()
    for token in tokens:
        if hmac.compare_digest(digest, token.sha256.lower()):
            return Caller(token.name, token.role)
    raise NotAuthorized("Invalid credential")
