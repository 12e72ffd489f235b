from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from omeconf.core.json_schema import json_schema
from omeconf.core.mapping import Json, to_json
from omeconf.store.disk import shipped_schema
from tests.support import EXAMPLES, checked, schema

EXAMPLE = EXAMPLES / "origin/Server.xml"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema(schema()))


def config(path: Path) -> Json:
    """What GET /omeconf/v1/config shows of a file."""
    root = checked(path.read_bytes()).root
    assert root is not None
    return to_json(root)


@pytest.mark.parametrize("release", ["0.12", "0.16.8", "0.21"])
def test_it_is_one(release: str) -> None:
    """A schema of its dialect that needs nothing from elsewhere, for every series."""
    found = json_schema(shipped_schema(release))
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["title"].endswith(f" {release}")
    assert set(found["$defs"]) == {"VirtualHost", "Application", "OutputProfile"}
    assert "#/components" not in str(found)


def test_the_example_fits(validator: jsonschema.Draft202012Validator) -> None:
    """What the API shows of the engine's own example is as the schema says."""
    shown = config(EXAMPLE)
    assert shown["virtualHosts"][0]["applications"]
    validator.validate(shown)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("surprise",), 1),
        (("bind",), [1]),
        (("type",), 5),
        (("ip",), "*"),
        (("bind", "providers", "rtmp", "portt"), 1935),
        (("virtualHosts", 0, "name"), None),
        (("virtualHosts", 0, "host", "names"), "*"),
        (("virtualHosts", 0, "applications", 0, "publishers", "streamWorkerCount"), [6]),
        (("virtualHosts", 0, "applications", 0, "outputProfiles",
          "outputProfile", 0, "encodes", "videos", 0, "bypass"), 2),
    ],
    ids=lambda value: str(value[-1]) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_what_it_refuses(
    validator: jsonschema.Draft202012Validator, where: tuple[str | int, ...], value: object
) -> None:
    """Unknown keys, wrong kinds, and names that are missing, at any depth."""
    shown = config(EXAMPLE)
    at = shown
    for step in where[:-1]:
        at = at[step]
    at[where[-1]] = value
    assert not validator.is_valid(shown)


def test_annotations() -> None:
    """Meaning, default and deprecation come along, for editors."""
    llhls = json_schema(schema())["$defs"]["Application"]["properties"]["publishers"]
    found = str(llhls)
    assert "'default': 10.0" in found or "'default': 10," in found
    assert "'deprecated': True" in found
    assert "Target length of a segment" in found
