"""A real daemon, and the commands as processes that talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import LISTENING
from tests.support.daemon import Daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """One virtual host `default` with the applications `app` and `other`, and a hook."""
    with Daemon(tmp_path, LISTENING) as made:
        yield made
