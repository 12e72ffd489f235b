"""The examples are right: settings that run a real daemon, command lines that it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from omeconf.api.app import OPEN
from omeconf.cli import main
from tests.support import EXAMPLES, checked
from tests.support.daemon import Daemon, wait_for
from tests.support.engine import TOKEN, Engine
from tests.test_places import mounted

ORIGIN = (EXAMPLES / "origin/Server.xml").read_text()
APP = "/v1/vhosts/default/apps/app"
COMPOSE = EXAMPLES / "compose/compose.yaml"
KUBERNETES = EXAMPLES / "kubernetes/omeconf.yaml"
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "{calls}"
"""


def manifests() -> dict[str, Any]:
    """The objects of the Kubernetes example, by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(KUBERNETES.read_text())}


def settings_of(name: str) -> str:
    """The omeconf.toml of an example."""
    if name == "kubernetes":
        return str(manifests()["ConfigMap"]["data"]["omeconf.toml"])
    return (EXAMPLES / name / "omeconf.toml").read_text()


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made


def daemon_of(base: Path, name: str, engine: Engine, text: str = ORIGIN) -> Daemon:
    """A daemon with the settings of an example; only places and addresses are other."""
    (base / "engine.token").write_text(f"{TOKEN}\n")
    (base / "environment").write_text("API_TOKEN=ome-access-token\n")
    settings = settings_of(name)
    for theirs, ours in (
        ("http://127.0.0.1:18081", engine.url),
        ("http://engine:18081", engine.url),
        ("/etc/omeconf/engine.token", str(base / "engine.token")),
        ("/run/secrets/engine-token", str(base / "engine.token")),
        ("/run/secrets/ome/", f"{base}/"),
        ("/var/lib/omeconf-engine", str(base / "engine")),
        ('"/engine"', f'"{base}/engine"'),
        ("/usr/lib/omeconf/", f"{EXAMPLES}/hooks/"),
    ):
        settings = settings.replace(theirs, ours)
    daemon = Daemon(base, text.replace("<Port>8081<", "<Port>@PORT@<"), settings=settings)
    written = daemon.settings_file.read_text()
    daemon.settings_file.write_text(written.replace("0.0.0.0:8081", f"127.0.0.1:{daemon.port}"))
    return daemon


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a systemctl of our own keeps how it was called."""
    calls = tmp_path / "systemctl-calls"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/systemctl"
    program.write_text(SYSTEMCTL.format(calls=calls))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return calls


def segments(count: int) -> object:
    return {"publishers": {"llhls": {"segmentCount": count}}}


def test_a_plain_engine(tmp_path: Path, engine: Engine, systemctl: Path) -> None:
    """A change restarts the unit once and asks whether it is well; all is published for it."""
    with daemon_of(tmp_path, "plain", engine) as daemon:
        answer = daemon.call("PATCH", APP, segments(9))
        assert (answer.status, answer.headers["omeconf-reload"]) == (200, "ok")
        assert systemctl.read_text().splitlines() == [
            "systemctl restart ovenmediaengine.service",
            "systemctl is-active --quiet ovenmediaengine.service",
        ]
        assert "<SegmentCount>9<" in (tmp_path / "engine/Server.xml").read_text()


@pytest.mark.parametrize("name", ["live", "compose", "kubernetes"])
def test_live(tmp_path: Path, engine: Engine, systemctl: Path, name: str) -> None:
    """The engine gets everything over its API, and then what changes."""
    text = manifests()["ConfigMap"]["data"]["Server.xml"] if name == "kubernetes" else ORIGIN
    with daemon_of(tmp_path, name, engine, text) as daemon:
        status = wait_for(lambda: (s := daemon.status())["revision"]["healthy"] and s, "the replay")
        assert status["revision"]["healthy"] == 1
        answer = daemon.call("PATCH", APP, segments(9))
        assert (answer.status, answer.headers["omeconf-reload"]) == (200, "ok"), answer.json
        assert engine.get(APP)["publishers"]["llhls"]["segmentCount"] == 9
        assert daemon.call("GET", OPEN[0], token=None).status == 200
        assert daemon.call("GET", OPEN[1], token=None).status == 200
        daemon.write(daemon.text.replace("1935", "1936"))
        if name == "live":
            wait_for(systemctl.exists, "the restart")
            assert systemctl.read_text().split()[1:] == ["restart", "ovenmediaengine.service"]
        else:
            wait_for(lambda: daemon.status()["restartNeeded"], "the word that a restart is needed")


def test_the_example_hook(tmp_path: Path, engine: Engine, systemctl: Path) -> None:
    """examples/omeconf.toml names it, and it restarts the unit."""
    daemon = Daemon(tmp_path, ORIGIN.replace("<Port>8081<", "<Port>@PORT@<"))
    text = (EXAMPLES / "omeconf.toml").read_text()
    daemon.settings_file.write_text(text.replace("/usr/lib/omeconf/", f"{EXAMPLES}/hooks/"))
    with daemon:
        assert daemon.call("PATCH", APP, segments(9)).headers["omeconf-reload"] == "ok"
    assert systemctl.read_text().split() == ["systemctl", "restart", "ovenmediaengine.service"]
    assert engine.looks == 0


def parsed(command: list[str]) -> dict[str, Any]:
    """What the real command line makes of a command. Raises click.UsageError."""
    assert command[:2] == ["omeconf", "serve"]
    serve = main.commands["serve"]
    return dict(serve.make_context("serve", list(command[2:])).params)


def test_a_wrong_command_is_found() -> None:
    """So the tests below can fail."""
    with pytest.raises(click.UsageError):
        parsed(["omeconf", "serve", "--stat", "/x", "Server.xml"])


def test_compose() -> None:
    """Its command is a real one; all it names is mounted; the file is not mounted by itself."""
    found = yaml.safe_load(COMPOSE.read_text())
    assert set(found) == {"services", "volumes", "secrets"}
    omeconf, engine = found["services"]["omeconf"], found["services"]["engine"]
    given = parsed(omeconf["command"])
    mounts = dict(reversed(each.split(":")[:2]) for each in omeconf["volumes"])
    assert mounts[str(given["config"])] == "./omeconf.toml"
    assert mounts[str(given["server_xml"].parent)] == "./conf"
    assert mounts[str(given["state"])] in found["volumes"]
    published = mounts["/engine"]
    assert 'config_dir = "/engine"' in settings_of("compose")
    assert [each["source"] for each in engine["volumes"]] == [published]
    assert omeconf["secrets"] == [*found["secrets"]]
    assert f"/run/secrets/{omeconf['secrets'][0]}" in settings_of("compose")
    (test,) = (each for each in omeconf["healthcheck"]["test"] if "urlopen" in each)
    compile(test, "healthcheck", "exec")
    assert OPEN[1] in test
    assert "engine:18081" in settings_of("compose")


def test_kubernetes() -> None:
    """Its command is a real one; what it names is mounted; probes ask what is answered openly."""
    found = manifests()
    assert set(found) == {"Secret", "ConfigMap", "Service", "StatefulSet"}
    pod = found["StatefulSet"]["spec"]["template"]["spec"]
    (omeconf, engine), (seed,) = pod["containers"], pod["initContainers"]
    given = parsed(omeconf["command"])
    mounts = {each["mountPath"]: each for each in omeconf["volumeMounts"]}
    settings, data = settings_of("kubernetes"), found["ConfigMap"]["data"]
    assert given["config"].name in data
    assert mounts[str(given["config"].parent)]["name"] == "settings"
    assert mounts[str(given["server_xml"].parent)] in seed["volumeMounts"]
    assert str(given["state"]) in mounts
    assert {each["name"] for each in engine["volumeMounts"]} == {mounts["/engine"]["name"]}
    claims = found["StatefulSet"]["spec"]["volumeClaimTemplates"]
    known = {each["name"] for each in pod["volumes"]}
    known |= {each["metadata"]["name"] for each in claims}
    assert {each["name"] for each in (*omeconf["volumeMounts"], *seed["volumeMounts"])} <= known
    for name in found["Secret"]["stringData"]:
        assert f"/run/secrets/ome/{name}" in settings
    kinds = ("startup", "liveness", "readiness")
    probes = [omeconf[f"{kind}Probe"]["httpGet"] for kind in kinds]
    assert [probe["path"] for probe in probes] == [OPEN[0], OPEN[0], OPEN[1]]
    (port,) = omeconf["ports"]
    assert {probe["port"] for probe in probes} == {port["name"]}
    assert f":{port['containerPort']}" in settings
    good = checked(data["Server.xml"], env={"API_TOKEN": "x"})
    assert not good.violations, good.violations


def test_straight_from_a_config_map(tmp_path: Path, engine: Engine) -> None:
    """Read-only, as its README says: edits are refused, saying why; what is applied is taken up."""
    text = manifests()["ConfigMap"]["data"]["Server.xml"]
    source = tmp_path / "configmap"

    def apply(version: str, text: str) -> None:
        (source / version).mkdir(parents=True)
        (source / version / "Server.xml").write_text(text)
        (source / "..data_tmp").symlink_to(version)
        (source / "..data_tmp").rename(source / "..data")

    apply("..v1", text)
    (source / "Server.xml").symlink_to("..data/Server.xml")
    daemon = daemon_of(tmp_path, "kubernetes", engine, text)
    with mounted("--bind", "-o", "ro", str(source), str(daemon.conf)), daemon:
        seven = "<LLHLS><SegmentCount>7</SegmentCount></LLHLS>"
        apply("..v2", text.replace("<LLHLS />", seven))
        wait_for(lambda: daemon.status()["revision"]["healthy"] == 2, "what was applied")
        assert engine.get(APP)["publishers"]["llhls"]["segmentCount"] == 7
        for method, path, body in (
            ("PATCH", APP, segments(9)),
            ("POST", "/omeconf/v1/rollback", {"revision": 1}),
        ):
            answer = daemon.call(method, path, body)
            assert answer.status == 503, answer.json
            assert "read-only file system" in str(answer.json)
        apply("..v3", text.replace("<LLHLS />", "<LLHSL />"))
        wait_for(lambda: daemon.status()["drift"], "what has errors")
        daemon.stop()


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("README.md")), ids=lambda p: p.parent.name)
def test_readmes(path: Path) -> None:
    """What they link to exists."""
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
