"""A state of the configuration by its name: disk, head, running, healthy, or a number."""

from __future__ import annotations

from dataclasses import dataclass

from omeconf.core.check import Checked, check
from omeconf.daemon.service import Service
from omeconf.errors import BadBody, NotFound
from omeconf.store.head import Head
from omeconf.store.repository import Repository


@dataclass(frozen=True, slots=True)
class State:
    """A state of the configuration that has a name, or a number."""

    name: str
    number: int | None
    """Of its revision; None for files on disk that are none."""
    checked: Checked


def state(service: Service, name: str) -> State:
    """``disk``, ``head``, ``running``, ``healthy``, or a revision by its number.

    Raises NotFound, NotReady, or BadBody for anything else.
    """
    repository = service.repository
    if name == "disk":
        return _on_disk(repository)
    if name == "head":
        return _of(name, repository.view())
    if name == "running":
        if service.reloader.running is None:
            raise NotFound("it is not known what the engine runs")
        return _of(name, service.reloader.running)
    number = repository.history.mark("healthy") if name == "healthy" else None
    if name == "healthy" and number is None:
        raise NotFound("no revision is known to be well yet")
    if number is None and not (name.isascii() and name.isdecimal() and len(name) < 19):
        raise BadBody(f'a state is disk, head, running, healthy or a number, not "{name}"')
    number = int(name) if number is None else number
    return State(name, number, repository.at(number))


def _of(name: str, head: Head) -> State:
    return State(name, head.revision.number, head.checked)


def _on_disk(repository: Repository) -> State:
    snapshot, disk = repository.on_disk(), repository.disk
    if disk is not None and snapshot.files == disk.checked.snapshot.files:
        return _of("disk", disk)
    return State("disk", None, check(snapshot, repository.schema))
