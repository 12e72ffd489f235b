"""A fleet that several tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fleet import Fleet


class Shared:
    """A fleet, and another one in its place if a test has left it in disorder."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self.factory = factory
        self.fleet: Fleet | None = None

    def get(self) -> Fleet:
        """One where all is well."""
        if self.fleet is not None and not self.fleet.is_tidy():
            self.stop()
        if self.fleet is None:
            self.fleet = Fleet(self.factory.mktemp("fleet")).start()
        return self.fleet

    def stop(self) -> None:
        """End it, if there is one."""
        if self.fleet is not None:
            self.fleet.stop()
        self.fleet = None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The fleet of a module."""
    shared = Shared(tmp_path_factory)
    yield shared
    shared.stop()


@pytest.fixture
def fleet(shared: Shared) -> Fleet:
    """Three etcd and ten members, all well."""
    return shared.get()
