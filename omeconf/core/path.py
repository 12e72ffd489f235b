"""The address of an element from Server down: list items by their Name, else by place."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STEP = re.compile(r"([A-Za-z0-9_]+)(?:\[(?:Name=\"((?:[^\"\\]|\\.)*)\"|([0-9]+))\])?")


@dataclass(frozen=True, slots=True)
class Step:
    """One element on the way: its name, and which one of a list."""

    name: str
    key: str | None = None
    """The text of its Name; None for an element that is written once, or has no Name."""
    place: int | None = None
    """From 1 among the items of its list, where there is no Name to tell them apart."""

    def __str__(self) -> str:
        if self.key is not None:
            escaped = self.key.replace("\\", "\\\\").replace('"', '\\"')
            return f'{self.name}[Name="{escaped}"]'
        return self.name if self.place is None else f"{self.name}[{self.place}]"


@dataclass(frozen=True, slots=True)
class Path:
    """Steps from Server down: ``/Server/VirtualHosts/VirtualHost[Name="default"]/Host``."""

    steps: tuple[Step, ...]

    def __truediv__(self, step: Step | str) -> Path:
        return Path((*self.steps, Step(step) if isinstance(step, str) else step))

    def __str__(self) -> str:
        return "".join(f"/{step}" for step in self.steps)

    @property
    def parent(self) -> Path:
        """The path of the element around it."""
        return Path(self.steps[:-1])

    @property
    def last(self) -> Step:
        """The step to the element itself."""
        return self.steps[-1]

    @property
    def names(self) -> str:
        """The names alone, as `Schema.items` has them: ``Server/VirtualHosts/VirtualHost``."""
        return "/".join(step.name for step in self.steps)

    def key_of(self, name: str) -> str:
        """The key of the step with that name, "" if there is none on the way."""
        return next((step.key or "" for step in self.steps if step.name == name), "")

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read what str() wrote. Raises ValueError."""
        steps: list[Step] = []
        position = 0
        while position < len(text):
            match = _STEP.match(text, position + 1) if text[position] == "/" else None
            if match is None:
                raise ValueError(f"cannot read path {text!r} at character {position + 1}")
            key = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else None
            steps.append(Step(match[1], key, int(match[3]) if match[3] else None))
            position = match.end()
        return cls(tuple(steps))


SERVER = Path((Step("Server"),))


def virtual_host(name: str) -> Path:
    """The path of a virtual host."""
    return SERVER / "VirtualHosts" / Step("VirtualHost", name)


def application(virtual_host_name: str, name: str) -> Path:
    """The path of an application."""
    return virtual_host(virtual_host_name) / "Applications" / Step("Application", name)


def output_profile(virtual_host_name: str, application_name: str, name: str) -> Path:
    """The path of an output profile."""
    above = application(virtual_host_name, application_name)
    return above / "OutputProfiles" / Step("OutputProfile", name)
