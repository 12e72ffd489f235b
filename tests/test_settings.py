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


ETCD = '[fleet]\nendpoints = ["http://h:1"]'
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
    "no number": ("[watch]\nsettle_s = nan", "watch.settle_s must be a finite number, not nan"),
    "endless": ("[reload]\nwait_s = inf", "reload.wait_s must be a finite number, not inf"),
    "far too much": ("[history]\nkeep = 10_000_000_000_000", "must be 1000000000000 or less"),
    "no endpoints": ('[fleet]\nnode = "a"', "fleet.endpoints must be given"),
    "no group": (f'{ETCD}\ngroup = ""', "fleet.group must be letters"),
    "group with a slash": (f'{ETCD}\ngroup = "a/b"', 'not "a/b"'),
    "no scheme": ('[fleet]\nendpoints = ["10.0.0.1:2379"]', "fleet.endpoints must be like"),
    "no port": ('[fleet]\nendpoints = ["http://10.0.0.1"]', "fleet.endpoints must be like"),
    "user alone": (f'{ETCD}\nuser = "u"', "give user and password_file"),
    "certificate alone": (f'{ETCD}\n[fleet.tls]\ncertificate = "c"', "give certificate and key"),
    "tls for http": (f'{ETCD}\n[fleet.tls]\nca = "ca.pem"', "is of no use for http://h:1"),
    "lease": (f"{ETCD}\nlease_s = 1", "fleet.lease_s must be 2 to 3600"),
    "long lease": (f"{ETCD}\nlease_s = 1e9", "fleet.lease_s must be 2 to 3600"),
    "no time": (f"{ETCD}\ntimeout_s = 0", "fleet.timeout_s must be more than 0"),
    "confirm": (f"{ETCD}\nconfirm_s = 5", "fleet.confirm_s must not be less than lease_s"),
    "none at once": (f"{ETCD}\nmax_unavailable = 0", "fleet.max_unavailable must be 1 or more"),
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
