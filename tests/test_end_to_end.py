"""The whole job, on the real daemon as a process; nothing is fake but the hook script."""

from __future__ import annotations

import difflib
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import EXAMPLES, shared
from tests.support.daemon import (
    Answer,
    Daemon,
    free_port,
    is_alive,
    omeconf,
    uncommented_api,
    wait_for,
)

APPS = "/v1/vhosts/default/apps"
NEW = {
    "name": "new",
    "type": "live",
    "providers": {"rtmp": {}},
    "publishers": {"llhls": {"segmentDuration": 6, "segmentCount": 11}},
    "outputProfiles": {},
}
NEW_XML = """<Application>
	<Name>new</Name>
	<Type>live</Type>
	<OutputProfiles />
	<Providers>
		<RTMP />
	</Providers>
	<Publishers>
		<LLHLS>
			<SegmentCount>11</SegmentCount>
			<SegmentDuration>6</SegmentDuration>
		</LLHLS>
	</Publishers>
</Application>"""


def our_example() -> str:
    text = (EXAMPLES / "origin/Server.xml").read_text()
    return text.replace("<Port>8081</Port>", "<Port>@PORT@</Port>")


def their_example() -> str:
    return uncommented_api(shared("examples-ome/v0.21.0_Server.xml").read_text())


@pytest.fixture(params=["ours", "the engine's"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemon]:
    text = our_example() if request.param == "ours" else their_example()
    with Daemon(tmp_path, text) as running:
        yield running


def changed_lines(before: str, after: str) -> list[str]:
    """Lines taken away and added, with their indentation."""
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def test_the_whole_job(daemon: Daemon) -> None:
    """POST, PATCH, an edit by hand, a broken one, its repair, and a restart of the daemon."""
    start = daemon.text

    created = daemon.call("POST", APPS, [NEW])
    assert (created.status, created.json[0]["statusCode"]) == (200, 200)
    assert created.headers["omeconf-reload"] == "ok"
    assert created.json[0]["response"] == {**NEW, "dynamic": False}
    with_new = daemon.text
    lines = changed_lines(start, with_new)
    assert all(line.startswith("+ ") for line in lines)
    indent = re.match(r"\+ (\s*)<Application>", lines[0])
    assert indent is not None
    assert "".join(line[2:].removeprefix(indent[1]) for line in lines).rstrip() == NEW_XML
    assert daemon.calls == ["create application default/new"]

    patch = {"publishers": {"llhls": {"segmentDuration": 4}}}
    patched = daemon.call("PATCH", f"{APPS}/new", patch)
    assert patched.status == 200
    assert patched.response["publishers"]["llhls"]["segmentDuration"] == 4
    new = with_new.index("<Name>new</Name>")
    assert daemon.text == with_new[:new] + with_new[new:].replace(">6<", ">4<", 1)
    assert daemon.calls[1:] == ["restart application default/new"]

    number = daemon.status()["revision"]["head"]
    sed = ["sed", "-i", "s/<SegmentCount>11</<SegmentCount>12</", str(daemon.server_xml)]
    subprocess.run(sed, check=True)
    wait_for(lambda: len(daemon.calls) > 2, "the hook after sed -i")
    wait_for(lambda: daemon.status()["revision"]["running"] == number + 1)
    by_hand = daemon.get("/omeconf/v1/revisions?limit=1")["revisions"][0]
    assert (by_hand["number"], by_hand["origin"]) == (number + 1, "file")
    assert daemon.calls[2:] == ["restart application default/new"]

    good = daemon.text
    calls = len(daemon.calls)
    broken = good.replace("<Providers>", "<Nonsense/><Providers>", 1)
    line = broken[: broken.index("<Nonsense/>")].count("\n") + 1
    daemon.write(broken)
    drift = wait_for(lambda: daemon.status()["drift"], "the broken edit to be seen")
    assert [(v["line"], v["code"]) for v in drift["violations"] if v["severity"] == "error"] == [
        (line, "unknown-element")
    ]
    assert f"Server.xml:{line}:" in daemon.log
    shown = daemon.cli("status")
    assert shown.returncode == 1
    assert f"Server.xml:{line}:" in shown.stdout
    assert daemon.get(f"{APPS}/new")["publishers"]["llhls"]["segmentDuration"] == 4
    refused = daemon.call("PATCH", f"{APPS}/new", {"publishers": {"llhls": {"segmentCount": 5}}})
    assert refused.status == 409
    assert f"line {line}: <Nonsense> is not known in" in refused.json["message"]
    assert daemon.text == broken
    assert len(daemon.calls) == calls

    fixed = good.replace("<SegmentCount>12<", "<SegmentCount>13<")
    daemon.write(fixed)
    wait_for(lambda: daemon.status()["revision"]["running"] == number + 2, "the repair")
    assert daemon.status()["drift"] is None
    assert daemon.calls[calls:] == ["restart application default/new"]

    before = [daemon.get(path) for path in ("/v1/vhosts", APPS, f"{APPS}/new")]
    history = daemon.get("/omeconf/v1/revisions")
    assert daemon.stop() == 0
    daemon.start()
    assert [daemon.get(path) for path in ("/v1/vhosts", APPS, f"{APPS}/new")] == before
    assert daemon.get("/omeconf/v1/revisions") == history
    assert daemon.text == fixed

    assert daemon.call("DELETE", f"{APPS}/new").status == 200
    assert daemon.calls[-1] == "delete application default/new"
    assert daemon.call("GET", f"{APPS}/new").status == 404
    assert daemon.text == start


def test_one_manual_edit_of_every_scope(tmp_path: Path) -> None:
    """The hook is called for what the difference touches, once each; for nothing otherwise."""
    with Daemon(tmp_path, our_example()) as daemon:
        for old, new, calls in (
            ("<SegmentDuration>6<", "<SegmentDuration>5<", ["restart application default/app"]),
            ("<Name>radio</Name>", "<Name>wireless</Name>",
             ["delete application default/radio", "create application default/wireless"]),
            ("<Name>studio.example.com</Name>", "<Name>stage.example.com</Name>",
             ["restart virtualHost studio/"]),
            ("<Type>origin</Type>", "<!-- a comment --><Type>edge</Type>", []),
            (">true</PrivacyProtection>", ">false</PrivacyProtection>", ["restart server /"]),
        ):  # fmt: skip
            before, number = len(daemon.calls), daemon.status()["revision"]["head"]
            changed = daemon.text.replace(old, new, 1)
            assert changed != daemon.text, old
            daemon.write(changed)
            wait_for(lambda n=number: daemon.status()["revision"]["running"] == n + 1, new)  # type: ignore[misc]
            assert daemon.calls[before:] == calls


def test_the_diff_decides_and_not_the_url(tmp_path: Path) -> None:
    """A request that changes nothing calls nothing; one on top of a manual edit calls for both."""
    with Daemon(tmp_path, our_example()) as daemon:
        same = daemon.call("PATCH", f"{APPS}/app", {"publishers": {"llhls": {"segmentCount": 8}}})
        assert (same.status, same.headers["omeconf-reload"]) == (200, "none")
        assert daemon.calls == []
        unread = {"publishers": {"webrtc": {"maxConnection": 5}}}
        inert = daemon.call("PATCH", f"{APPS}/app", unread)
        assert inert.headers["omeconf-reload"] == "none"
        assert "maxConnection" in str(inert.response)
        daemon.write(daemon.text.replace("<Name>radio</Name>", "<Name>wireless</Name>"))
        patch = {"publishers": {"llhls": {"segmentCount": 9}}}
        assert daemon.call("PATCH", f"{APPS}/app", patch).status == 200
        wait_for(lambda: len(daemon.calls) == 3)
        assert sorted(daemon.calls) == [
            "create application default/wireless", "delete application default/radio",
            "restart application default/app",
        ]  # fmt: skip


def test_a_failing_hook_takes_the_edit_back(tmp_path: Path) -> None:
    """The caller hears of it, the file is as before, and the engine is told again."""
    with Daemon(tmp_path, our_example()) as daemon:
        start = daemon.text
        (tmp_path / "fail").touch()
        patch = {"publishers": {"llhls": {"segmentCount": 9}}}
        answer = daemon.call("PATCH", f"{APPS}/app", patch)
        assert answer.status == 502
        assert "told to fail" in answer.json["message"]
        assert daemon.text == start
        (tmp_path / "fail").unlink()
        wait_for(lambda: daemon.call("PATCH", f"{APPS}/app", patch).status == 200)
        wait_for(lambda: daemon.status()["revision"]["running"] is not None)
        assert daemon.text == start.replace("<SegmentCount>8<", "<SegmentCount>9<", 1)


def test_kill_and_start_again(tmp_path: Path) -> None:
    """What was answered with 200 is there after a kill -9, on disk and in the history."""
    daemon = Daemon(tmp_path, our_example()).start()
    for count in (4, 5, 6):
        patch = {"publishers": {"llhls": {"segmentCount": count}}}
        assert daemon.call("PATCH", f"{APPS}/app", patch).status == 200
    daemon.stop(9)
    assert "<SegmentCount>6<" in daemon.text
    with daemon:
        assert daemon.get(f"{APPS}/app")["publishers"]["llhls"]["segmentCount"] == 6
        assert len(daemon.get("/omeconf/v1/revisions")["revisions"]) == 4


def test_port_and_token_follow_the_file(tmp_path: Path) -> None:
    """The API moves when the port in the file does, and takes the new token at once."""
    with Daemon(tmp_path, our_example()) as daemon:
        old_port = daemon.port
        daemon.port = free_port()
        text = daemon.text.replace(f">{old_port}<", f">{daemon.port}<")
        daemon.write(text.replace("ome-access-token", "another-token"))

        wait_for(lambda: daemon.answers("another-token"), "the new port")
        assert daemon.call("GET", "/v1/vhosts").status == 401


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def make_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate and its key in a folder; a context that trusts it alone."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return ssl.create_default_context(cafile=str(folder / "c.pem"))


@pytest.mark.long
def test_tls(tmp_path: Path) -> None:
    """TLSPort serves the certificate of Managers/Host/TLS, and a renewed one without a restart."""
    port = free_port()
    tls = "<TLS><CertPath>c.pem</CertPath><KeyPath>k.pem</KeyPath></TLS>"
    text = our_example().replace("<Port>@PORT@</Port>", f"<TLSPort>{port}</TLSPort>")
    names = text.index("</Names>", text.index("<Managers>")) + len("</Names>")
    daemon = Daemon(tmp_path, text[:names] + tls + text[names:])
    first = make_certificate(daemon.conf)

    def ask(context: ssl.SSLContext) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        try:
            connection.request("GET", "/omeconf/v1/health/ready")
            return connection.getresponse().status
        except ssl.SSLCertVerificationError:
            return 0
        finally:
            connection.close()

    with daemon:
        assert daemon.greeting.strip().endswith(f"https://127.0.0.1:{port}")
        assert ask(first) == 200
        key = (daemon.conf / "k.pem").read_text()
        (daemon.conf / "k.pem").write_text("no key")
        wait_for(lambda: "the old one stays" in daemon.log, "the complaint")
        assert ask(first) == 200
        (daemon.conf / "k.pem").write_text(key)
        renewed = make_certificate(daemon.conf)
        wait_for(lambda: ask(renewed) == 200, "the renewed certificate")
        assert ask(first) == 0


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """Two daemons on one folder would undo each other's work."""
    with Daemon(tmp_path, our_example()) as daemon:
        second = omeconf(
            "serve", str(daemon.server_xml), "--state", str(tmp_path / "other"),
            "--socket", str(tmp_path / "other.sock"),
        )  # fmt: skip
        assert second.returncode == 2
        assert "another omeconf already manages" in second.stderr


def test_first_start_on_a_broken_file(tmp_path: Path) -> None:
    """It starts, says what is wrong, and serves as soon as the file is right."""
    good = our_example()
    with Daemon(tmp_path, good.replace("<Providers>", "<Nonsense/><Providers>", 1)) as daemon:
        assert "omeconf.sock" in daemon.greeting
        assert "<Nonsense> is not known in <Bind>" in daemon.cli("status").stdout
        daemon.write(daemon.text.replace("<Nonsense/>", ""))
        wait_for(daemon.answers, "the file to be taken up")
        assert daemon.calls == []


def test_another_address_on_the_same_port(tmp_path: Path) -> None:
    """The listener moves to the address that the file names now, and all addresses may be two."""
    with Daemon(tmp_path, our_example()) as daemon:
        text = re.sub(r"<IP>.*</IP>", "<IP>*</IP>", daemon.text)
        daemon.write(text.replace("<IP>*</IP>", "<IP>127.0.0.1</IP>"))
        wait_for(lambda: "no longer listening on 0.0.0.0" in daemon.log, "the old address to go")
        wait_for(daemon.answers, "the new address")
        daemon.write(text.replace("<IP>*</IP>", "<IP>*</IP>\n\t<IP>::</IP>"))
        wait_for(lambda: "no longer listening on 127.0.0.1" in daemon.log, "both addresses")
        wait_for(daemon.answers, "the old address again")


@pytest.mark.long
def test_a_port_that_is_taken_for_a_while(tmp_path: Path) -> None:
    """The old port is served until the new one can be."""
    with Daemon(tmp_path, our_example()) as daemon, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        old, new = daemon.port, taken.getsockname()[1]
        daemon.write(daemon.text.replace(f">{old}<", f">{new}<"))
        wait_for(lambda: f"Cannot listen on 0.0.0.0:{new}" in daemon.log, "the failure")
        assert daemon.answers()
        taken.close()
        daemon.port = new
        wait_for(daemon.answers, "the new port")


def test_listen_instead_of_the_file(tmp_path: Path) -> None:
    """--listen on a broken first file waits for it; without a token left, only the socket stays."""
    broken = our_example().replace("<Providers>", "<Nonsense/><Providers>", 1)
    daemon = Daemon(tmp_path, broken)
    daemon.options = ["--listen", f"127.0.0.1:{daemon.port}"]
    with daemon:
        daemon.write(daemon.text.replace("<Nonsense/>", ""))
        wait_for(daemon.answers, "the file to be taken up")
        text = daemon.text
        token = "<AccessToken>ome-access-token</AccessToken>"
        managers = text[text.index("\t\t<Managers>") : text.index("\t\t</Managers>\n", text.index(
            "\t\t<Managers>"))] + "\t\t</Managers>\n"  # fmt: skip
        daemon.write(text.replace(managers, "").replace(token, ""))
        wait_for(lambda: "Cannot go on listening" in daemon.log, "the token to be missed")
        assert daemon.cli("status").returncode == 0
        daemon.write(text)
        wait_for(daemon.answers, "the token to be back")


def test_a_folder_of_includes_that_was_empty(tmp_path: Path) -> None:
    """A file that an include begins to match is noticed, wherever its folder lies."""
    include = '<VirtualHosts>\n\t\t<VirtualHost include="vhosts/*.xml" />'
    daemon = Daemon(tmp_path, our_example().replace("<VirtualHosts>", include, 1))
    (daemon.conf / "vhosts").mkdir()
    with daemon:
        (daemon.conf / "vhosts/one.xml").write_text("<VirtualHost><Name>one</Name></VirtualHost>")
        wait_for(lambda: "one" in daemon.get("/v1/vhosts"), "the new virtual host")
        wait_for(lambda: daemon.calls == ["create virtualHost one/"], "the hook")
        created = daemon.call("POST", "/v1/vhosts/one/apps", [NEW])
        assert created.status == 200
        assert "<Name>new</Name>" in (daemon.conf / "vhosts/one.xml").read_text()


def test_stopping_while_a_hook_runs(tmp_path: Path) -> None:
    """Whoever waits hears that the reload is pending; the commit stands."""
    with Daemon(tmp_path, our_example()) as daemon:
        (tmp_path / "hang").touch()
        answers: list[Answer] = []
        patch = {"publishers": {"llhls": {"segmentCount": 9}}}
        caller = threading.Thread(
            target=lambda: answers.append(daemon.call("PATCH", f"{APPS}/app", patch))
        )
        caller.start()
        wait_for(lambda: daemon.calls, "the hook")
        assert daemon.process is not None
        daemon.process.send_signal(15)
        caller.join()
        assert answers[0].status == 200
        assert answers[0].headers["omeconf-reload"] == "pending"
        daemon.process.kill()
        assert "<SegmentCount>9<" in daemon.text


def test_killed_while_a_hook_runs(tmp_path: Path) -> None:
    """The next start ends the hook that was left behind, and calls it again: never two at once."""
    daemon = Daemon(tmp_path, our_example()).start()
    (tmp_path / "hang").touch()
    patch = {"publishers": {"llhls": {"segmentCount": 9}}}

    def ask() -> None:
        with suppress(OSError, http.client.HTTPException):
            daemon.call("PATCH", f"{APPS}/app", patch)

    caller = threading.Thread(target=ask)
    caller.start()
    noted = tmp_path / "state/hook"
    wait_for(lambda: daemon.calls and noted.exists() and noted.read_text(), "the hook")
    left = int(noted.read_text().split()[0])
    daemon.stop(9)
    caller.join()
    assert is_alive(left)
    (tmp_path / "hang").unlink()
    with daemon:
        wait_for(lambda: daemon.status()["revision"]["healthy"] == 2, "the second try")
        assert daemon.calls == ["restart application default/app"] * 2
        assert not is_alive(left)
        wait_for(lambda: not noted.exists(), "the end of it")


def test_many_clients_at_once(tmp_path: Path) -> None:
    """Every acknowledged edit of every client is in the file at the end, and was reloaded."""
    with Daemon(tmp_path, our_example()) as daemon:
        done: list[str] = []

        def client(name: str) -> None:
            application = {**NEW, "name": name}
            assert daemon.call("POST", APPS, [application]).status == 200
            patch = {"publishers": {"llhls": {"segmentCount": 12}}}
            assert daemon.call("PATCH", f"{APPS}/{name}", patch).status == 200
            done.append(name)

        clients = [threading.Thread(target=client, args=(f"n{n}",)) for n in range(12)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        assert len(done) == len(clients)
        assert daemon.text.count("<SegmentCount>12<") == len(clients)
        head = daemon.status()["revision"]
        assert head["running"] == head["head"] == 1 + 2 * len(clients)
        assert {call.rpartition("/")[2] for call in daemon.calls} == set(done)
