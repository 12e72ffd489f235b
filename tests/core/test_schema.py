from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import xmlschema

from omeconf.core.schema import Schema
from omeconf.store.disk import shipped_xsd
from tests.support import PROJECT, schema, shared
from tests.support.values import FREE_TEXT, configuration, read_table, rows

XSD = PROJECT / "xsd/ome-0.21.xsd"
ROWS = read_table()


def facts() -> dict[str, dict[str, object]]:
    items = json.loads(shared("ome/items.json").read_text())
    return {item["path"]: item for item in items if not item["path"].startswith("*")}


def test_every_registered_path() -> None:
    """The XSD has exactly the paths that the engine registers, both ways."""
    model = schema().items
    ours = set(model) | {f"{p}/@{name}" for p, item in model.items() for name in item.attributes}
    assert ours == set(facts())
    assert len(ours - {"Server"}) == 674


def test_every_fact_of_a_path() -> None:
    """JSON names, lists, flat wrappers, presence and kinds are those of the engine."""
    known = facts()
    kinds = {"int": "int", "long": "long", "bool": "bool", "float": "float", "port": "port"}
    for path, item in schema().items.items():
        fact = known[path]
        assert item.is_list == fact["repeatable"], path
        assert item.is_object == (fact["type"] == "object"), path
        if item.parent is not None:
            assert item.json == fact["json_name"], path
            assert item.is_flat == fact["omit_json_name"], path
            assert item.is_enforced == fact["required_effective"], path
        if item.type is not None and fact["type"] in kinds and not fact.get("presence_flag"):
            wanted = {kinds[str(fact["type"])]}
            wanted |= {"text"} if item.type.otherwise == "refused" else set()
            assert item.type.reads in wanted, path
        assert bool(item.deprecated) == bool(fact.get("deprecated")), path
        assert item.is_unread == bool(fact.get("inert")), path


@pytest.mark.long
def test_defaults_and_since() -> None:
    """Defaults and first releases are those of the engine."""
    for path, item in schema().items.items():
        fact = facts()[path]
        since = str(fact["since"]).lstrip("<=v")
        assert (item.since or "0.11.0") == since, path
        if isinstance(fact["default"], str | int | float) and fact["default"] != "":
            shown = str(fact["default"])
            assert item.default == (shown.lower() if shown in ("True", "False") else shown), path


def test_the_table_is_complete() -> None:
    """tests/data/values.tsv is what `python -m tests.support.values` writes, for every leaf."""
    shown = {None: "-", "": '""'}
    committed = [(p, shown.get(a, a), shown.get(b, b), v) for p, a, b, v in ROWS]
    assert committed == rows(schema())


def test_no_text_for_want_of_looking() -> None:
    """A leaf is a free text only with a reason; the engine's allowed values are all known."""
    free = {i.name for i in schema().items.values() if i.type and i.type.name == "text"}
    assert free == set(FREE_TEXT)
    for path, fact in facts().items():
        allowed = fact["enum"]
        if isinstance(allowed, list) and "@" not in path:
            kind = schema().items[path].type
            assert kind is not None
            assert all(kind.is_clean(word) for word in allowed), path
            assert not kind.is_clean("no such word"), path


def test_gate_takes_what_the_engine_takes() -> None:
    """lxml's validator finds each good value clean, and each other value not."""
    for path, taken, refused, _ in ROWS:
        if taken is not None:
            assert schema().gate(configuration(schema(), path, taken).encode()), (path, taken)
        if refused is not None:
            assert not schema().gate(configuration(schema(), path, refused).encode()), path


@pytest.mark.long
def test_xmlschema_agrees(tmp_path: Path) -> None:
    """The independent validator says the same of every value in the table."""
    second = xmlschema.XMLSchema(str(XSD))
    file = tmp_path / "Server.xml"
    for path, taken, refused, _ in ROWS[::3]:
        for value, is_good in ((taken, True), (refused, False)):
            if value is not None:
                file.write_text(configuration(schema(), path, value))
                assert second.is_valid(str(file)) == is_good, (path, value)


@pytest.mark.skipif(shutil.which("xmllint") is None, reason="xmllint is not installed")
def test_xmllint_agrees(tmp_path: Path) -> None:
    """Debian's xmllint says the same of every value in the table."""
    expected: dict[str, bool] = {}
    for number, (path, taken, refused, _) in enumerate(ROWS):
        for value, is_good in ((taken, True), (refused, False)):
            if value is not None:
                file = tmp_path / f"{number}-{is_good}.xml"
                file.write_text(configuration(schema(), path, value))
                expected[str(file)] = is_good
    run = subprocess.run(
        ["xmllint", "--noout", "--schema", str(XSD), *expected],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    verdicts = dict(line.rsplit(" ", 1) for line in run.stderr.splitlines() if line.startswith("/")
                    and line.endswith(" validates"))  # fmt: skip
    assert {file: file in verdicts for file in expected} == expected


def test_shipped_xsd_is_the_one_in_the_tree() -> None:
    """Whoever runs the tests and whoever installs the wheel use the same schema."""
    assert shipped_xsd() == XSD.read_bytes()
    assert Schema(shipped_xsd()).series == "0.21"


def test_documentation_everywhere() -> None:
    """Every element says what it is, in a sentence."""
    for path, item in schema().items.items():
        assert len(item.documentation) > 15, path
        assert item.documentation.endswith("."), path


def test_secrets_are_marked() -> None:
    """Whatever is a password or a key is secret; nothing else is."""
    secret = {path.rpartition("/")[2] for path, i in schema().items.items() if i.is_secret}
    assert secret == {"AccessToken", "SecretKey", "Credential", "Auth", "UserKey"}


def test_deprecated_names_something() -> None:
    """What replaces a deprecated element exists, or is said to be nothing."""
    every = list(schema().items)
    for path, item in schema().items.items():
        if item.deprecated and item.deprecated != "nothing":
            assert any(p.endswith(f"/{item.deprecated}") or p == item.deprecated
                       for p in every), path  # fmt: skip
