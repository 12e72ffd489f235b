from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.testclient import TestClient

from omeconf.api.app import OPEN, ROUTES, RUNTIME, build
from omeconf.api.openapi import OPERATIONS, describe
from omeconf.core.mapping import BARE
from omeconf.core.schema import Item
from omeconf.daemon.service import Service
from omeconf.settings import Settings
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.support import EXAMPLES, schema

Json = Any


@pytest.fixture(scope="module")
def document() -> dict[str, Json]:
    return describe(schema())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The API as on the local socket, on a copy of the example."""
    folder = tmp_path_factory.mktemp("origin")
    file = folder / "Server.xml"
    file.write_bytes((EXAMPLES / "origin/Server.xml").read_bytes())
    repository = Repository(file, History(folder / "state/h"), schema(), clock=lambda: 1.0)
    service = Service(repository, Settings())
    service.start()
    yield TestClient(build(service, is_trusted=True))
    service.stop(1)


def validator(document: dict[str, Json], name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


def test_valid(document: dict[str, Json]) -> None:
    """It is an OpenAPI 3.1 document, and its schemas are schemas."""
    assert document["openapi"].startswith("3.1")
    assert [*OpenAPIV31SpecValidator(document).iter_errors()] == []
    for shown in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(shown)


def test_routes(document: dict[str, Json]) -> None:
    """Every route and method is described, nothing else is, and no two have one name."""
    routed = {
        (re.sub(r"{(\w+):\w+}", r"{\1}", path), method)
        for path, methods in {**ROUTES, **RUNTIME}.items()
        for method in methods
    }
    described = {
        (path, method.upper())
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert described == routed
    names = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(set(names)) == len(names)


def test_what_is_described_is_served() -> None:
    """No description is of a route that is written otherwise."""
    served = {(path, method) for path, methods in ROUTES.items() for method in methods}
    assert not OPERATIONS.keys() - served


def test_references(document: dict[str, Json]) -> None:
    """Every $ref leads to something; every link to an operation and a parameter of it."""
    found = [*members(document, "$ref")]
    assert len(found) > 100
    for reference in found:
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
    operations = {o["operationId"]: o for path in document["paths"].values() for o in path.values()}
    links = [link for each in members(document["paths"], "links") for link in each.values()]
    assert links
    for link in links:
        names = {parameter["name"] for parameter in operations[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= names


def members(value: Json, key: str) -> Iterator[Json]:
    """All that stands under a key, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            else:
                yield from members(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, key)


def test_open_routes(document: dict[str, Json]) -> None:
    """Health needs no token, and is the only thing that does not."""
    operations = {
        path: operation for path, each in document["paths"].items() for operation in each.values()
    }
    assert {path for path, o in operations.items() if o.get("security") == []} == set(OPEN)


def answers(client: TestClient) -> Iterator[tuple[str, Json]]:
    """The schema and the answer of everything in the example."""
    yield "Server", client.get("/omeconf/v1/config").json()
    for host in names(client, "/v1/vhosts"):
        at = f"/v1/vhosts/{host}"
        yield "VirtualHost", client.get(at).json()["response"]
        for app in names(client, f"{at}/apps"):
            yield "Application", client.get(f"{at}/apps/{app}").json()["response"]
            profiles = f"{at}/apps/{app}/outputProfiles"
            for profile in names(client, profiles):
                yield "OutputProfile", client.get(f"{profiles}/{profile}").json()["response"]
    yield "Status", client.get("/omeconf/v1/status").json()
    yield "Revision", client.get("/omeconf/v1/revisions").json()["revisions"][0]
    yield "RevisionWithFiles", client.get("/omeconf/v1/revisions/1").json()
    yield "Difference", client.get("/omeconf/v1/revisions/1/diff").json()
    yield "Checked", client.post("/omeconf/v1/check").json()
    yield "Problem", client.get("/omeconf/v1/revisions/99").json()
    yield "Failure", client.get("/v1/vhosts/none").json()


def names(client: TestClient, path: str) -> list[str]:
    found: list[str] = client.get(path).json()["response"]
    assert found, path
    return found


def test_answers_fit(document: dict[str, Json], client: TestClient) -> None:
    """What GET answers for the example is as its schema says, and an unknown key is not."""
    found = [*answers(client)]
    assert len(found) == 1 + 2 + 4 + 5 + 7
    for name, answer in found:
        validator(document, name).validate(answer)
    for name, answer in found[:12]:
        assert not validator(document, name).is_valid({**answer, "surprise": 1}), name


def test_examples_fit(document: dict[str, Json]) -> None:
    """The example of each body fits its schema."""
    shown = document["components"]["schemas"]
    examples = [(name, each) for name in shown for each in shown[name].get("examples", [])]
    assert len(examples) >= 7
    for name, example in examples:
        validator(document, name).validate(example)


SERVER, HOST = "Server", "Server/VirtualHosts/VirtualHost"
APPLICATION = f"{HOST}/Applications/Application"
ROOTS = {
    "Server": SERVER,
    "ServerPatch": SERVER,
    "VirtualHost": HOST,
    "Application": APPLICATION,
    "OutputProfile": f"{APPLICATION}/OutputProfiles/OutputProfile",
}


@pytest.mark.parametrize(("name", "root"), ROOTS.items(), ids=ROOTS)
def test_every_key(document: dict[str, Json], name: str, root: str) -> None:
    """Every element of the XSD has its key in the schema, and nothing else has one."""
    item = schema().items[root]
    wanted = keys(item)
    assert len(wanted) > 20
    assert keys_of(document, document["components"]["schemas"][name]) == wanted


def keys(item: Item) -> set[str]:
    """The JSON paths of all below an item; a list stands for the wrapper around it, or may."""
    found = {"/dynamic"} if item.path == APPLICATION else set()
    for child in item.children.values():
        inner = child if child.flat_child is None else child.flat_child
        below = keys(inner)
        if child.name in BARE:
            below |= keys(child.children[BARE[child.name]])
        found |= {f"/{child.json}"} | {f"/{child.json}{key}" for key in below}
    return found


def keys_of(document: dict[str, Json], shown: Json) -> set[str]:
    """The JSON paths that a schema allows."""
    found: set[str] = set()
    if "$ref" in shown:
        name = shown["$ref"].rpartition("/")[2]
        return keys_of(document, document["components"]["schemas"][name])
    for key, inner in shown.get("properties", {}).items():
        found |= {f"/{key}"} | {f"/{key}{below}" for below in keys_of(document, inner)}
    for inner in (*shown.get("anyOf", ()), *([shown["items"]] if "items" in shown else [])):
        found |= keys_of(document, inner)
    return found


def test_file(client: TestClient, document: dict[str, Json]) -> None:
    """The API answers with it."""
    assert client.get("/omeconf/v1/openapi.json").json() == document
