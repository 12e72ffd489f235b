from __future__ import annotations

from pathlib import Path

import pytest

from omeconf.errors import BadSettings
from omeconf.settings import Settings, load, parse, read_env
from tests.support import EXAMPLES

GOOD = """
[api]
listen = "127.0.0.1:9000"
[[api.tokens]]
name = "grafana"
role = "read"
sha256 = "00"
[watch]
settle_s = 1
[[hooks]]
run = ["/bin/true", "x"]
on = ["application"]
per = "item"
timeout_s = 2.5
[[hooks]]
use = "systemd"
unit = "ovenmediaengine.service"
"""


def test_defaults() -> None:
    """Nothing need be set."""
    assert load(None) == parse("") == Settings()


def test_good_settings() -> None:
    """Every kind of value is read; a whole number does for a decimal one."""
    settings = parse(GOOD)
    assert settings.api.listen == "127.0.0.1:9000"
    assert settings.api.tokens[0].name == "grafana"
    assert settings.watch.settle_s == 1.0
    assert settings.hooks[0].run == ("/bin/true", "x")
    assert settings.hooks[1].unit == "ovenmediaengine.service"


BAD = {
    "syntax": ("[api", "omeconf.toml"),
    "unknown table": ("[apis]", 'no setting "apis"; there is: api'),
    "unknown name": ("[watch]\nsettle = 1", 'no setting "watch.settle"'),
    "kind": ('[watch]\nsettle_s = "1"', "watch.settle_s must be a number"),
    "negative": ("[watch]\nsettle_s = -1", "may not be negative"),
    "bool is no number": ("[history]\nkeep = true", "history.keep must be a whole number"),
    "choice": ('[api]\nvirtual_hosts = "yes"', 'must be one of "read-only"'),
    "scope": ('[[hooks]]\nrun = ["x"]\non = ["app"]', '"app" is not one of application'),
    "no command": ("[[hooks]]\non = []", "give either run"),
    "no unit": ('[[hooks]]\nuse = "systemd"', "needs unit"),
    "missing": ('[[api.tokens]]\nname = "x"', "sha256 must be given"),
    "password in a URL": ('[fleet]\nendpoints = ["http://me:pw@h:1"]', "have no password in it"),
    "list": ('[[hooks]]\nrun = "x"', "hooks.run must be a list"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_bad_settings(text: str, words: str) -> None:
    """An error names the file and the setting, and what it may be."""
    with pytest.raises(BadSettings, match=words):
        parse(text)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("omeconf.toml")), ids=str)
def test_example_settings(path: Path) -> None:
    """The examples are valid."""
    assert load(path).hooks


def test_env_file(tmp_path: Path) -> None:
    """NAME=value lines, with comments and quotes as in /etc/default."""
    file = tmp_path / "env"
    file.write_text("# c\nA=1\nexport B=\"two words\"\nC='x'\n\nnonsense\nD=a=b\n")
    assert read_env(file) == {"A": "1", "B": "two words", "C": "x", "D": "a=b"}
    with pytest.raises(BadSettings, match="cannot read"):
        read_env(tmp_path / "none")
