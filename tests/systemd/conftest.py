"""One image for all tests; one machine, booted once, for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.systemd import give_up, need_systemd
from tests.systemd.machine import Image, Machine, NotPossible, build_wheel


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """omeconf installed by pip, from its wheel."""
    need_systemd()
    try:
        made = Image(build_wheel(tmp_path_factory.mktemp("wheel")))
    except NotPossible as error:
        give_up(str(error))
    yield made
    made.close()


@pytest.fixture(scope="module")
def bare(image: Image) -> Iterator[Machine]:
    """A machine with an engine and its configuration, which are root's; no units of ours."""
    machine = Machine(image).boot()
    machine.add_engine()
    yield machine
    machine.close()


@pytest.fixture(scope="module")
def machine(bare: Machine) -> Machine:
    """A machine on which omeconf runs as it is shipped."""
    bare.install()
    return bare
