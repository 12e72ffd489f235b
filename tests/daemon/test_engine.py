from __future__ import annotations

import base64
import http.client
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from omeconf.daemon.engine import EngineApi
from tests.support import EXAMPLES, MINIMAL, shared
from tests.support.daemon import Daemon, wait_for
from tests.support.engine import TOKEN, Engine

EXAMPLE = (EXAMPLES / "origin/Server.xml").read_text().replace("<Port>8081<", "<Port>@PORT@<")
APP = "/v1/vhosts/default/apps/app"
SETTINGS = """
[watch]
settle_s = 0.05
look_every_s = 0.2
[reload]
backoff_s = 0.1
longest_backoff_s = 0.5
wait_s = 15
[engine]
url = "{url}"
token_file = "{token}"
config_dir = "{folder}"
{more}
[[hooks]]
use = "engine"
on = ["application", "virtualHost"]
[[hooks]]
run = ["sh", "-c", "echo $OMECONF_ACTION $OMECONF_SCOPE >> {calls}"]
on = ["server"]
"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made


def daemon_of(engine: Engine, folder: Path, text: str = EXAMPLE, more: str = "") -> Daemon:
    (folder / "token").write_text(TOKEN + "\n")
    settings = SETTINGS.format(
        url=engine.url, token=folder / "token", folder=folder / "engine", calls=folder / "calls",
        more=more,
    )  # fmt: skip
    return Daemon(folder, text, settings=settings)


def segments(count: int) -> Any:
    return {"publishers": {"llhls": {"segmentCount": count}}}


def runs(daemon: Daemon) -> Any:
    return daemon.status()["revision"]["running"]


def healthy(daemon: Daemon) -> bool:
    found = daemon.status()
    return bool(found["revision"]["healthy"] == found["revision"]["head"])


def test_replayed_at_the_start(engine: Engine, tmp_path: Path) -> None:
    """The engine gets every virtual host and application, complete."""
    with daemon_of(engine, tmp_path) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        assert engine.get("/v1/vhosts") == daemon.get("/v1/vhosts")
        for host in daemon.get("/v1/vhosts"):
            apps = daemon.get(f"/v1/vhosts/{host}/apps")
            assert sorted(engine.get(f"/v1/vhosts/{host}/apps")) == sorted(apps)
        shown, ours = engine.get(APP)["publishers"], daemon.get(APP)["publishers"]
        assert shown["webrtc"] == ours["webrtc"]
        assert ours["llhls"]["dvr"]["tempStoragePath"] == "${env:OME_DVR_DIR:/var/tmp/ome-dvr}"
        assert shown["llhls"]["dvr"]["tempStoragePath"] == "/var/tmp/ome-dvr"
        assert daemon.status()["engine"]["reachable"] is True


MANY = MINIMAL.replace(
    "<VirtualHosts>",
    "<Managers><Host><Names><Name>*</Name></Names></Host><API><AccessToken>ome-access-token"
    "</AccessToken></API></Managers><VirtualHosts>",
).replace(
    "<Providers>", "<Managers><API><Port>@PORT@</Port></API></Managers><Providers>", 1
).replace(
    "<Applications>",
    "<Applications>" + "".join(
        f"<Application><Name>app{n}</Name><Type>live</Type>"
        "<Publishers><LLHLS><SegmentCount>8</SegmentCount></LLHLS></Publishers></Application>\n"
        for n in range(50)
    ),
)  # fmt: skip


def test_one_of_many(engine: Engine, tmp_path: Path) -> None:
    """One application among 50, changed over the API and by hand: only that one is touched."""
    with daemon_of(engine, tmp_path, MANY) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        engine.control()
        answer = daemon.call("PATCH", "/v1/vhosts/default/apps/app7", segments(9))
        assert (answer.status, answer.headers["omeconf-reload"]) == (200, "ok")
        assert engine.control() == ["DELETE default/app7", "POST default/app7"]
        daemon.write(
            daemon.text.replace("<Name>app8</Name><Type>live<", "<Name>app8</Name><Type>vod<")
        )
        wait_for(lambda: runs(daemon) == 3, "the edit by hand")
        assert engine.control() == ["DELETE default/app8", "POST default/app8"]
        assert daemon.call("DELETE", "/v1/vhosts/default/apps/app9").status == 200
        assert engine.control() == ["DELETE default/app9"]
        body = [{"name": "new", "type": "live"}]
        assert daemon.call("POST", "/v1/vhosts/default/apps", body).status == 200
        assert engine.control() == ["POST default/new"]
        daemon.write(daemon.text.replace("<VirtualHosts>", "<!-- nothing --><VirtualHosts>"))
        wait_for(lambda: daemon.status()["revision"]["head"] == 6, "the comment")
        wait_for(lambda: healthy(daemon), "nothing")
        assert engine.control() == []


def test_ready_before_the_replay(engine: Engine, tmp_path: Path) -> None:
    """It serves with the start file in its place, and shows how far the engine is."""
    daemon = daemon_of(engine, tmp_path)
    seen: list[str] = []

    def is_in_state(state: str) -> bool:
        seen.append(daemon.get("/omeconf/v1/health/ready")["engine"])
        return seen[-1] == state

    engine.control(slow_s=0.3)
    with daemon:
        assert "<VirtualHosts></VirtualHosts>" in (tmp_path / "engine/Server.xml").read_text()
        wait_for(lambda: is_in_state("replay"), "the replay")
        engine.control(slow_s=0)
        wait_for(lambda: is_in_state("current"), "the end of it")
        engine.stop()
        wait_for(lambda: is_in_state("away"), "it to be missed")
        assert daemon.call("GET", "/v1/vhosts").status == 200


def test_the_engine_comes_back(engine: Engine, tmp_path: Path) -> None:
    """Restarted behind our back, it gets everything again."""
    with daemon_of(engine, tmp_path) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        before = engine.get(APP)
        engine.stop()
        wait_for(lambda: daemon.status()["engine"]["reachable"] is False, "that it is away")
        engine.start()
        wait_for(lambda: "default" in engine.get("/v1/vhosts"), "its virtual host")
        wait_for(lambda: "app" in engine.get("/v1/vhosts/default/apps"), "its application")
        assert engine.get(APP) == before


def test_the_engine_is_away(engine: Engine, tmp_path: Path) -> None:
    """That is no refusal: the edit stands, and is carried out when the engine is there."""
    with daemon_of(engine, tmp_path, more="") as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        engine.stop()
        found: list[Any] = []
        asking = threading.Thread(
            target=lambda: found.append(daemon.call("PATCH", APP, segments(9)))
        )
        asking.start()
        seen: list[Any] = [None]

        def is_pending() -> bool:
            seen.append(daemon.status()["reload"]["pending"])  # it is tried now and then
            return seen[-1] is not None and seen[-1]["state"] == "pending"

        wait_for(is_pending, "the job that waits")
        pending = seen[-1]
        assert pending["revisions"] == [2, 2]
        assert daemon.status()["revision"]["running"] == 1
        engine.start()
        asking.join()
        assert (found[0].status, found[0].headers["omeconf-reload"]) == (200, "ok")
        assert engine.get(APP)["publishers"]["llhls"]["segmentCount"] == 9


@pytest.mark.long
def test_killed_while_the_engine_is_slow(engine: Engine, tmp_path: Path) -> None:
    """After kill -9 in the middle of a reload, it is done again."""
    with daemon_of(engine, tmp_path) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        engine.control(slow_s=0.3)
        asking = threading.Thread(target=lambda: quiet(daemon, segments(9)))
        asking.start()
        wait_for(lambda: "DELETE default/app" in engine.control(), "the first step")
        daemon.stop(signal.SIGKILL)
        asking.join()
        engine.control(slow_s=0)
        daemon.start()
        wait_for(lambda: healthy(daemon), "the reload, again")
        assert engine.get(APP)["publishers"]["llhls"]["segmentCount"] == 9
        states = [each["state"] for each in daemon.get("/omeconf/v1/reloads")["reloads"]]
        assert states[:2] == ["healthy", "superseded"]


def quiet(daemon: Daemon, body: Any) -> None:
    with suppress(OSError, http.client.HTTPException):
        daemon.call("PATCH", APP, body)


def test_a_create_that_fails(engine: Engine, tmp_path: Path) -> None:
    """The old application is back, the answer says so, and the edit is taken back."""
    with daemon_of(engine, tmp_path) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        before, text = engine.get(APP), daemon.text
        engine.control(fail=["default/app"])
        answer = daemon.call("PATCH", APP, segments(9))
        assert answer.status == 502
        assert "Failed to create the application" in answer.json["message"]
        engine.control(fail=[])
        wait_for(lambda: healthy(daemon), "the way back")
        assert daemon.text == text
        assert engine.get(APP) == before


def test_server_scope_goes_to_another_hook(engine: Engine, tmp_path: Path) -> None:
    """What the engine cannot be given over its API restarts it; the start file is there before."""
    with daemon_of(engine, tmp_path) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        published = (tmp_path / "engine/Server.xml").read_text()
        assert "<VirtualHosts></VirtualHosts>" in published
        assert f"<Port>{engine.port}</Port>" in published
        assert "<Name>app</Name>" in (tmp_path / "engine/complete/Server.xml").read_text()
        daemon.write(daemon.text.replace("OME_OVT_PORT:9000", "OME_OVT_PORT:9001", 1))
        wait_for(lambda: daemon.calls == ["restart server"], "the hook")
        assert "OME_OVT_PORT:9001" in (tmp_path / "engine/Server.xml").read_text()


@pytest.mark.parametrize("on_drift", ["show", "repair"])
def test_drift(engine: Engine, tmp_path: Path, on_drift: str) -> None:
    """Somebody who uses the engine's API directly is seen, and put right if set so."""
    more = f'on_drift = "{on_drift}"\ncompare_every_s = 0.1'
    with daemon_of(engine, tmp_path, more=more) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        api = EngineApi(engine.url, TOKEN)
        api.delete("default", "app")
        api.create({"name": "theirs"})
        if on_drift == "show":
            wanted = ["unknown: theirs", "missing: default/app"]
            wait_for(lambda: daemon.status()["engine"]["drift"] == wanted, "the drift")
        else:
            wait_for(lambda: engine.get("/v1/vhosts") == daemon.get("/v1/vhosts"), "the repair")
            wait_for(lambda: "app" in engine.get("/v1/vhosts/default/apps"), "the application")


@pytest.mark.long
def test_a_burst(engine: Engine, tmp_path: Path) -> None:
    """200 edits at once cost a few restarts, and each answer tells the truth."""
    with daemon_of(engine, tmp_path, MANY) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        engine.control(slow_s=0.05)
        answers: list[Any] = []

        def edit(start: int) -> None:
            for value in range(start, start + 25):
                where = f"/v1/vhosts/default/apps/app{start % 5}"
                answers.append(daemon.call("PATCH", where, segments(10 + value)))

        threads = [threading.Thread(target=edit, args=(25 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {(a.status, a.headers["omeconf-reload"]) for a in answers} == {(200, "ok")}
        assert len(answers) == 200
        wait_for(lambda: healthy(daemon), "the end")
        made = [line for line in engine.control(slow_s=0) if line.startswith("POST")]
        assert len(made) < 150
        for n in range(5):
            ours = daemon.get(f"/v1/vhosts/default/apps/app{n}")["publishers"]
            assert engine.get(f"/v1/vhosts/default/apps/app{n}")["publishers"] == ours


def looked(engine: Engine, times: int) -> None:
    """Wait until the daemon has looked at the engine so many times more."""
    end = engine.looks + times + 1
    wait_for(lambda: engine.looks >= end, "looks at the engine")


TLS = """<TLS><CertPath>tls/cert.pem</CertPath><KeyPath>tls/key.pem</KeyPath></TLS></Host>"""


@pytest.mark.long
def test_certificates(engine: Engine, tmp_path: Path) -> None:
    """Renewed files are read again, when all of them are there; nothing restarts for it."""
    head, host = EXAMPLE.split("<VirtualHost>", 1)
    text = f"{head}<VirtualHost>{host.replace('</Host>', TLS, 1)}"
    daemon = daemon_of(engine, tmp_path, text)
    folder = daemon.conf / "tls"
    folder.mkdir()
    for name in ("cert.pem", "key.pem"):
        (folder / name).write_text("old")
    with daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        engine.control()
        # they may have been renewed while we were away
        wait_for(lambda: engine.control() == ["CERTIFICATE studio"], "the first look")
        looked(engine, 3)
        assert engine.control() == []
        (folder / "key.pem").rename(folder / "old.pem")
        (folder / "cert.pem").write_text("the new one")
        looked(engine, 3)
        assert engine.control() == []  # half of it
        (folder / "key.pem").write_text("the new key")
        wait_for(lambda: engine.control() == ["CERTIFICATE studio"], "the certificate")
        looked(engine, 3)
        assert engine.control() == []
        assert "the engine has read it again" in daemon.log


def test_pass_through(engine: Engine, tmp_path: Path) -> None:
    """What is no configuration goes to the engine, with its token, both ways, and comes back."""
    with daemon_of(engine, tmp_path) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        assert daemon.get("/v1/version") == {"version": "0.21.0"}
        found = daemon.call(
            "GET", "/v1/stats/current/vhosts/a%20b?x=1", headers={"User-Agent": "grafana"}
        ).response
        assert found == {
            "path": "/v1/stats/current/vhosts/a%20b", "query": "x=1", "length": 0,
            "agent": "grafana",
        }  # fmt: skip
        body = {"id": "x" * 100_000}
        sent = daemon.call("POST", f"{APP}:pushes", body)
        assert (sent.status, sent.response["length"]) == (200, 100_010)
        plain = {"name": "plain", "type": "live", "providers": {}, "publishers": {"ovt": {}}}
        assert daemon.call("POST", "/v1/vhosts/default/apps", [plain]).status == 200
        missing = daemon.call("POST", "/v1/vhosts/default/apps/plain:startPush", {})
        assert missing.status == 404
        assert "add <Push /> to its <Publishers>" in missing.json["message"]
        assert daemon.call("GET", "/v1/version", token="wrong").status == 401
        assert daemon.call("POST", f"{APP}:nosuch", {}).status == 404
        engine.stop()
        away = daemon.call("GET", "/v1/version")
        assert away.status == 502
        assert "is away" in away.json["message"]


def test_the_stand_in_is_faithful() -> None:
    """It answers the recorded configuration requests as the engine did."""
    transcript = shared("cases/api-0.21/transcript.jsonl").read_text().splitlines()
    same, other = 0, []
    authorization = "Basic " + base64.b64encode(TOKEN.encode()).decode()
    with Engine(str(shared("cases/api-0.21/Server.xml"))) as engine:
        for row in map(json.loads, transcript):
            if row["section"][0] not in "CDEFGH" or not row["method"]:
                continue
            body = row["body"]
            text = body if body is None or isinstance(body, str) else json.dumps(body)
            connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=10)
            connection.request(
                row["method"],
                row["path"],
                text.encode() if text is not None else None,
                {"Authorization": authorization},
            )
            answer = connection.getresponse()
            answer.read()
            connection.close()
            recorded = row["response"]
            if isinstance(recorded, dict):
                same += answer.status == recorded["status"]
                if answer.status != recorded["status"]:
                    other.append(row["n"])
    assert same >= 120
    assert set(other) <= LENIENT, other


LENIENT = {126, 129}
"""The engine's JSON parser takes comments and trailing commas."""


OUTSIDE = (
    ("GET", "/v1/stats/current/../../vhosts/default"),
    ("GET", "/v1/stats/current/x%2F..%2F..%2F..%2Fvhosts/default"),
    ("DELETE", f"{APP}/streams/%2e%2e"),
    ("DELETE", f"{APP}/streams/.."),
)


def test_nothing_beside_the_route(engine: Engine, tmp_path: Path) -> None:
    """Dots lead to nothing of the engine's configuration: its secrets, or its applications."""
    with daemon_of(engine, tmp_path) as daemon:
        wait_for(lambda: healthy(daemon), "the replay")
        before = engine.get("/v1/vhosts/default/apps")
        assert APP.rpartition("/")[2] in before
        for method, path in OUTSIDE:
            assert daemon.call(method, path).status == 404, path
            assert engine.get("/v1/vhosts/default/apps") == before, path
