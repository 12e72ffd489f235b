from __future__ import annotations

import pytest

from omeconf.core.diff import changes
from omeconf.core.plan import plan
from omeconf.core.schema import Item
from tests.support import MINIMAL, checked, schema, tree
from tests.support.values import VALUES, configuration, read_table


def planned(old: str, new: str) -> list[str]:
    found = changes(checked(old).root, checked(new).root)
    return [str(item) for item in plan(found).items]


APP2 = "<Application><Name>new</Name><Type>live</Type></Application>"
HOST2 = "<VirtualHost><Name>second</Name></VirtualHost>"
SCOPES = {
    "application": (MINIMAL.replace(">6<", ">4<"), ["restart application default/app"]),
    "new application": (
        MINIMAL.replace("<Applications>", f"<Applications>{APP2}"),
        ["create application default/new"]),
    "application gone": (
        MINIMAL.replace("<Name>other<", "<Name>third<"),
        ["delete application default/other", "create application default/third"]),
    "virtual host": (
        MINIMAL.replace("<Applications>", "<Distribution>d</Distribution><Applications>"),
        ["restart virtualHost default"]),
    "virtual host and its application": (
        MINIMAL.replace("<Applications>", "<Distribution>d</Distribution><Applications>")
        .replace(">6<", ">4<"), ["restart virtualHost default"]),
    "new virtual host": (
        MINIMAL.replace("</VirtualHosts>", f"{HOST2}</VirtualHosts>"),
        ["create virtualHost second"]),
    "server": (MINIMAL.replace("1935", "1936").replace(">6<", ">4<"), ["restart server"]),
    "comment": (MINIMAL.replace("<Bind>", "<!-- c --><Bind>"), []),
    "nothing reads it": (
        MINIMAL.replace("<LLHLS>", "<LLHLS><MaxConnection>5</MaxConnection>"), []),
}  # fmt: skip


@pytest.mark.parametrize(("new", "wanted"), SCOPES.values(), ids=SCOPES)
def test_scopes(new: str, wanted: list[str]) -> None:
    """What restarts is what the difference touches, merged, and no more."""
    assert planned(MINIMAL, new) == wanted


def test_order_of_hosts_is_the_servers_business() -> None:
    """Of overlapping host names the first is reached, so another order restarts everything."""
    one = MINIMAL.replace("</VirtualHosts>", f"{HOST2}</VirtualHosts>")
    two = MINIMAL.replace("<VirtualHosts>", f"<VirtualHosts>{HOST2}")
    assert planned(one, two) == ["restart server"]


def other_value(item: Item, value: str) -> str | None:
    """Another value that the engine takes, if there is one."""
    assert item.type is not None
    if item.type.words:
        words = [w for w in item.type.words if w.lower() != value.lower()]
        return words[0] if words else None
    candidates = [f"{value}2", "2", "3", f"{value[:-1]}4", f"x{value}"]
    return next(
        (c for c in candidates if c != value and item.type.is_clean(c)
         and c.strip("0") != value.strip("0")), None,
    )  # fmt: skip


def test_every_leaf_by_hand() -> None:
    """A manual edit of each leaf in turn asks for what the schema says of its scope."""
    kinds: dict[str, int] = {}
    for path, taken, _, _ in read_table():
        if "@" in path or taken is None or path.endswith("/Name"):
            continue
        item = schema().items[path]
        if item.type is not None and item.type.reads == "presence":
            continue  # whatever the text, it means yes
        other = other_value(item, taken)
        if other is None:
            continue
        old, new = (configuration(schema(), path, value) for value in (taken, other))
        found = plan(changes(checked(old, env={}).root, checked(new, env={}).root))
        scopes = [each.scope for each in found.items]
        assert scopes == ([] if item.scope == "none" else [item.scope]), (path, taken, other)
        kinds[item.scope] = kinds.get(item.scope, 0) + 1
    assert set(kinds) == {"server", "virtualHost", "application", "none"}
    assert sum(kinds.values()) > 350


def test_table_covers_every_type() -> None:
    """No type is left without an example."""
    used = {item.type.name for item in schema().items.values() if item.type}
    used |= {kind.name for item in schema().items.values() for kind in item.attributes.values()}
    assert used == set(VALUES)
    assert tree().path.names == "Server"
