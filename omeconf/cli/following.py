"""Events without end: also over restarts of the daemon, without one told twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from omeconf.cli.output import note
from omeconf.client import Client
from omeconf.errors import Unreachable

AGAIN_S = 1.0
"""How long a daemon that is away is waited for, before it is asked again."""


def follow(client: Client, *, is_endless: bool) -> Iterator[tuple[int | None, str, Any]]:
    """Id, kind and data of what is kept, then of what happens. Raises Unreachable at the start."""
    last = 0
    for event in client.events(0, once=not is_endless):
        if event[0] is None:
            continue  # what is not kept any more
        last = event[0]
        yield event
    if not is_endless:
        return
    is_told = False
    while True:
        if not is_told:
            note("the daemon is away; waiting for it")
        is_told = True
        time.sleep(AGAIN_S)
        try:
            for event in client.events(last):
                is_told = False
                last = event[0] or last
                yield event
        except Unreachable:
            continue
