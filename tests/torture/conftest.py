"""One zygote for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.torture import need_commands
from tests.torture.daemons import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """What forks daemons."""
    need_commands("strace")
    running = Zygote()
    yield running
    running.stop()
