from __future__ import annotations

import dataclasses

import pytest

from omeconf.daemon.rereading import CHANGEABLE, merge
from omeconf.settings import Settings, parse, trouble_with_engine


@pytest.mark.parametrize(
    ("text", "changed", "fixed"),
    [
        ("", [], []),
        ("[reload]\nwait_s = 1\nquiet_s = 2", ["reload.quiet_s", "reload.wait_s"], []),
        ('[[hooks]]\nrun = ["true"]', ["hooks"], []),
        ("[watch]\nsettle_s = 1\nvanished_s = 9", ["watch.settle_s"], ["watch.vanished_s"]),
        ('[engine]\nrelease = "0.20"\non_drift = "repair"', ["engine.on_drift"],
         ["engine.release"]),
        ("[api]\nheader_timeout_s = 1", [], ["api.header_timeout_s"]),
    ],
    ids=["nothing", "all of it", "hooks", "some of it", "the engine's", "none of it"],
)  # fmt: skip
def test_merge(text: str, changed: list[str], fixed: list[str]) -> None:
    """What can change at run time does; what cannot keeps its old value, and is named."""
    new = parse(text)
    found = merge(Settings(), new)
    assert sorted(found.changed) == changed
    assert sorted(found.fixed) == fixed
    for name in changed:
        table, _, field = name.partition(".")
        value = getattr(new, table)
        assert getattr(found.settings, table) == value if not field else (
            getattr(getattr(found.settings, table), field) == getattr(value, field)
        )  # fmt: skip
    assert merge(found.settings, Settings()).fixed == (), "back again, nothing is in the way"


def test_names() -> None:
    """Every setting that can change exists."""
    for table, names in CHANGEABLE.items():
        value = getattr(Settings(), table)
        if names:
            assert names <= {field.name for field in dataclasses.fields(value)}


def test_what_does_not_fit_together() -> None:
    """A hook for the engine, whose address only a restart takes up: that is no settings."""
    live = parse(
        '[engine]\nurl = "http://127.0.0.1:18081"\ntoken_file = "t"\n[[hooks]]\nuse = "engine"'
    )
    found = merge(Settings(), live)
    assert found.fixed == ("engine.url", "engine.token_file")
    assert trouble_with_engine(found.settings)
    assert not trouble_with_engine(live)
