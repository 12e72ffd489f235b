"""How people write paths, applications and values."""

from __future__ import annotations

from typing import Any

import click
import pytest

from omeconf.cli.addresses import application_path, assignment, edit, element
from omeconf.core.path import Path, application

HOST = '/Server/VirtualHosts/VirtualHost[Name="default"]'
ELEMENTS = {
    "Bind/Providers/RTMP/Port": "/Server/Bind/Providers/RTMP/Port",
    "/Server/Bind": "/Server/Bind",
    "Server/Bind/": "/Server/Bind",
    "Server": "/Server",
    "VirtualHosts/VirtualHost[default]": HOST,
    "VirtualHosts/VirtualHost[Name=default]": HOST,
    'VirtualHosts/VirtualHost["default"]': HOST,
    "VirtualHosts/VirtualHost['default']": HOST,
    HOST: HOST,
    "VirtualHosts/VirtualHost[2]/Host": "/Server/VirtualHosts/VirtualHost[2]/Host",
    'VirtualHosts/VirtualHost["2"]': '/Server/VirtualHosts/VirtualHost[Name="2"]',
    "VirtualHosts/VirtualHost[a/b=c]": '/Server/VirtualHosts/VirtualHost[Name="a/b=c"]',
    'VirtualHosts/VirtualHost["a]=b"]': '/Server/VirtualHosts/VirtualHost[Name="a]=b"]',
    'VirtualHosts/VirtualHost[Name="a\\"b"]': '/Server/VirtualHosts/VirtualHost[Name="a\\"b"]',
}


@pytest.mark.parametrize(("text", "path"), ELEMENTS.items())
def test_elements(text: str, path: str) -> None:
    """From Server down or below it, list items by name or place, quoted or not."""
    assert str(element(text)) == path
    assert element(text) == Path.parse(path)


@pytest.mark.parametrize("text", ["", "/", "a b", "Bind//Port", "Bind[x", "Bind]x", "Bind[x]y"])
def test_no_elements(text: str) -> None:
    """What cannot be read is said, with what it should be like."""
    with pytest.raises(click.UsageError, match="a path is like"):
        element(text)


def test_applications() -> None:
    """A virtual host and a name, which may have slashes itself only if it is no address."""
    assert application_path("default/live") == application("default", "live")
    for text in ("live", "/live", "default/", ""):
        with pytest.raises(click.UsageError, match="write HOST/APP"):
            application_path(text)


VALUES: dict[str, Any] = {
    "1936": "1936",
    "1.0": "1.0",
    "true": "true",
    "": "",
    "a=b": "a=b",
    "null": None,
    '"null"': "null",
    '"unfinished': '"unfinished',
    '{"port": 1}': {"port": 1},
    '["a"]': ["a"],
    "${env:X:1}": "${env:X:1}",
}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_values(text: str, value: Any) -> None:
    """Text stays text, so that 1.0 is written as 1.0; JSON is what begins as such."""
    assert assignment(f"Bind/Port={text}").value == value
    assert assignment(f"Bind/Port={text}").where == "Bind/Port"
    for where in ('VirtualHosts/VirtualHost[Name="x"]/Name', 'VirtualHost["a]=b"]/Name'):
        assert assignment(f"{where}={text}").where == where
        assert assignment(f"{where}={text}").value == value


@pytest.mark.parametrize("text", ["x", "=5", "", "a={"])
def test_no_assignments(text: str) -> None:
    """An equals sign, something before it, and JSON where it begins so."""
    with pytest.raises(click.UsageError):
        assignment(text)


def test_members() -> None:
    """As the JSON has them, or as the file does; null removes."""
    above = application("default", "live")
    assert edit(above, "publishers.llhls.segmentDuration", "4") == {
        "verb": "merge",
        "path": str(above),
        "value": {"publishers": {"llhls": {"segmentDuration": "4"}}},
    }
    assert edit(above, "type", None)["value"] == {"type": None}
    path = str(above / "Publishers" / "LLHLS")
    assert edit(above, "Publishers/LLHLS", {}) == {"verb": "set", "path": path, "value": {}}
    assert edit(above, "Publishers/LLHLS", None) == {"verb": "delete", "path": path}
    with pytest.raises(click.UsageError, match="is no member"):
        edit(above, "outputProfiles.outputProfile[0].name", "x")
