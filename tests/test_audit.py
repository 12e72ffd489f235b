"""The log of a real daemon: who changed what, from where, what came of it; and no secret."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import pwd
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import LISTENING, SECRET
from tests.support.daemon import DEADLINE_S, SETTINGS, TOKEN, Answer, Daemon, wait_for
from tests.support.lines import FakeJournal, read

TOKENS = "".join(
    f'[[api.tokens]]\nname = "{name}"\nrole = "{role}"\n'
    f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
    for name, role, token in (("grafana", "read", "look-4711"), ("alice", "write", "pen-4711"))
)
APP = "/v1/vhosts/default/apps/app"
ME = pwd.getpwuid(os.geteuid()).pw_name


def settings(form: str, more: str = "") -> str:
    return f'{SETTINGS}{TOKENS}[log]\nformat = "{form}"\n{more}'


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    """What it has logged, as JSON; each line must be some."""
    return [json.loads(line) for line in daemon.log.splitlines()]


def line_of(daemon: Daemon, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The one line of which something is so, once it is there."""
    found = wait_for(lambda: [line for line in lines(daemon) if is_it(line)], "the line")
    (line,) = found
    return dict(line)


def of(daemon: Daemon, answer: Answer) -> dict[str, Any]:
    """The line of a request, by the id that its answer has."""
    number = answer.headers["omeconf-request-id"]
    line = line_of(daemon, lambda line: line.get("request_id") == number)
    del line["time"], line["request_id"], line["logger"]
    assert line.pop("duration_ms") >= 0
    return line


def over_socket(daemon: Daemon, method: str, path: str, body: Any) -> Answer:
    """One call over the local socket."""
    connection = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.socket))
    connection.request(method, path, json.dumps(body).encode())
    answer = connection.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    found = Answer(answer.status, headers, answer.read())
    connection.close()
    return found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for tests that leave it well."""
    base = tmp_path_factory.mktemp("audit")
    with Daemon(base, LISTENING, settings=settings("json")) as daemon:
        yield daemon


def test_the_first_start(daemon: Daemon) -> None:
    """What is found at the first start has its line, with the owner of the file."""
    line = line_of(daemon, lambda line: line.get("revision") == 1)
    assert (line["event"], line["origin"], line["who"]) == ("revision", "file", ME)


def test_a_write(daemon: Daemon) -> None:
    """Who, in which role, from where, what, and what came of it."""
    body = {"publishers": {"llhls": {"segmentDuration": 7}}}
    answer = daemon.call("PATCH", APP, body)
    assert answer.status == 200
    line = of(daemon, answer)
    number = int(answer.headers["omeconf-revision"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line.pop("peer"))
    assert line.pop("message").startswith(f"PATCH {APP} by api (admin) from 127.0.0.1:")
    assert line == {
        "level": "info", "event": "write", "who": "api", "role": "admin", "method": "PATCH",
        "path": APP, "status": 200, "outcome": "done", "revision": number, "reload": "ok",
    }  # fmt: skip


def test_over_the_local_socket(daemon: Daemon) -> None:
    """The kernel says who it is."""
    line = of(daemon, over_socket(daemon, "PATCH", APP, {"type": "live"}))
    assert (line["who"], line["role"], line["uid"]) == (ME, "admin", os.geteuid())
    assert (line["pid"], line["peer"]) == (os.getpid(), "the local socket")


def test_what_is_refused(daemon: Daemon) -> None:
    """Why; and who it was, as far as that is known."""
    bad = of(daemon, daemon.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": "x"}}}))
    assert (bad["status"], bad["outcome"], bad["level"]) == (422, "refused", "warning")
    assert bad["reason"]
    assert "revision" not in bad
    stale = of(daemon, daemon.call("PATCH", APP, {}, headers={"If-Match": '"1-0"'}))
    assert (stale["status"], stale["outcome"]) == (412, "refused")
    unknown = of(daemon, daemon.call("DELETE", APP, token="wrong-4711"))
    assert (unknown["status"], unknown["outcome"]) == (401, "unauthorized")
    assert unknown["reason"] == "Invalid credential"
    assert "who" not in unknown
    reader = of(daemon, daemon.call("DELETE", APP, token="look-4711"))
    assert (reader["status"], reader["outcome"], reader["who"]) == (403, "unauthorized", "grafana")
    nowhere = of(daemon, daemon.call("POST", "/v1/nowhere", {}))
    assert (nowhere["status"], nowhere["reason"]) == (404, "Controller not found")
    long = of(daemon, daemon.call("PATCH", APP, b" " * 2_000_000))
    assert long["status"] == 413


def test_what_changes_nothing(daemon: Daemon) -> None:
    """A dry run says so; a check and what only reads have no line."""
    dry = of(daemon, daemon.call("PATCH", f"{APP}?dryRun=True", {"type": "live"}))
    assert dry["dry_run"] is True
    assert "revision" not in dry
    read_only = [
        daemon.call("GET", "/v1/vhosts"),
        daemon.call("GET", "/v1/vhosts", token="wrong"),
        daemon.call("OPTIONS", "/v1/vhosts"),
        daemon.call("POST", "/omeconf/v1/check", b""),
    ]
    of(daemon, daemon.call("PATCH", APP, {"type": "live"}))  # lines come in order
    ids = {answer.headers["omeconf-request-id"] for answer in read_only}
    assert not [line for line in lines(daemon) if line.get("request_id") in ids]


def test_a_batch(daemon: Daemon) -> None:
    """What was refused of it is named."""
    some = [{"name": "new", "type": "live"}, {"name": "app", "type": "live"}]
    answer = daemon.call("POST", "/v1/vhosts/default/apps", some)
    line = of(daemon, answer)
    assert (line["status"], line["outcome"]) == (207, "partly")
    assert line["reason"].startswith("1 of 2 refused: app: ")
    assert line["revision"] == int(answer.headers["omeconf-revision"])


def test_confirm_and_rollback(daemon: Daemon) -> None:
    """Both have lines; and what nobody confirms in time is taken back, with a line."""
    body = {"publishers": {"llhls": {"segmentDuration": 9}}}
    kept = daemon.call("PATCH", f"{APP}?confirm=60", body)
    line = of(daemon, daemon.call("POST", "/omeconf/v1/confirm"))
    assert (line["path"], line["outcome"]) == ("/omeconf/v1/confirm", "done")
    back = daemon.call("POST", "/omeconf/v1/rollback", {"revision": 1})
    line = of(daemon, back)
    assert (line["path"], line["outcome"]) == ("/omeconf/v1/rollback", "done")
    assert line["revision"] == int(kept.headers["omeconf-revision"]) + 1
    number = int(daemon.call("PATCH", f"{APP}?confirm=1", body).headers["omeconf-revision"])
    line = line_of(daemon, lambda line: line.get("reverts") == str(number))
    assert (line["event"], line["who"], line["origin"]) == ("revision", "omeconf", "rollback")
    assert line["reason"] == f"revert of {number}: not confirmed in time"
    wait_for(lambda: daemon.status()["confirm"] is None)


def test_by_hand(daemon: Daemon) -> None:
    """A manual edit has the owner of the file; a broken one says what is wrong and where."""
    before = daemon.text
    daemon.write(before.replace("<Name>other</Name>", "<Name>another</Name>"))
    number = wait_for(
        lambda: [line for line in lines(daemon) if "another" in line.get("changes", "")]
    )[0]["revision"]
    line = line_of(daemon, lambda line: line.get("revision") == number and "origin" in line)
    assert (line["event"], line["origin"], line["who"]) == ("revision", "file", ME)
    assert (line["peer"], line["file"], line["uid"]) == ("file", "Server.xml", os.geteuid())
    daemon.write(before.replace("</Applications>", "<Nowhere/></Applications>", 1) + "<")
    line = line_of(daemon, lambda line: line.get("event") == "drift" and line["line"] > 0)
    assert (line["who"], line["peer"], line["outcome"]) == (ME, "file", "refused")
    assert line["line"] > 1
    refused = of(daemon, daemon.call("PATCH", APP, {"type": "live"}))
    assert (refused["status"], refused["outcome"]) == (409, "refused")
    daemon.write(before)
    wait_for(lambda: daemon.status()["drift"] is None)


def test_many_errors(daemon: Daemon) -> None:
    """Those of one manual edit do not flood the log."""
    before, count = daemon.text, len(lines(daemon))
    daemon.write(before.replace("</Applications>", "<Nowhere/>" * 1000 + "</Applications>", 1))
    line_of(daemon, lambda line: "980 more errors" in line["message"])
    assert sum(line.get("event") == "drift" for line in lines(daemon)[count:]) == 21
    daemon.write(before)
    wait_for(lambda: daemon.status()["drift"] is None)


def test_a_failed_reload(daemon: Daemon) -> None:
    """The request that was taken back, the reload that failed, and the revert."""
    (daemon.base / "fail").touch()
    body = {"publishers": {"llhls": {"segmentDuration": 11}}}
    answer = daemon.call("PATCH", APP, body)
    assert answer.status == 502
    line = of(daemon, answer)
    assert (line["outcome"], line["level"]) == ("failed", "error")
    assert "told to fail" in line["reason"]
    revert = line_of(daemon, lambda line: "the reload failed" in line.get("reason", "")
                     and line["event"] == "revision")  # fmt: skip
    number = int(revert["reverts"])
    assert (revert["who"], revert["revision"]) == ("omeconf", number + 1)
    start = f"Cannot reload revision {number}:"
    reload = line_of(daemon, lambda line: line["message"].startswith(start))
    assert (reload["event"], reload["state"], reload["revision"]) == ("reload", "failed", number)
    (daemon.base / "fail").unlink()
    wait_for(lambda: daemon.status()["revision"]["healthy"] == number + 1)


def test_edited_while_away(tmp_path: Path) -> None:
    """What was edited by hand while no daemon ran has its line at the next start."""
    daemon = Daemon(tmp_path, LISTENING, settings=settings("json"))
    with daemon:
        text = daemon.text
    daemon.write(text.replace("<Name>other</Name>", "<Name>another</Name>"))
    with daemon:
        line = line_of(daemon, lambda line: "origin" in line and line["revision"] == 2)
    assert (line["event"], line["who"], line["file"]) == ("revision", ME, "Server.xml")


def test_reads_where_that_is_asked_for(tmp_path: Path) -> None:
    """Each has its line then, also one whose answer is known already."""
    with Daemon(tmp_path, LISTENING, settings=settings("json", "reads = true\n")) as daemon:
        for _ in range(3):
            line = of(daemon, daemon.call("GET", "/v1/vhosts"))
            assert (line["event"], line["status"], line["who"]) == ("read", 200, "api")


def test_the_option_of_serve(tmp_path: Path) -> None:
    """--log-format goes before the settings."""
    daemon = Daemon(tmp_path, LISTENING, settings=settings("json"))
    daemon.options = ["--log-format", "logfmt"]
    with daemon:
        daemon.call("PATCH", APP, {"type": "live"})
        wait_for(lambda: "event=write" in daemon.log)
        assert all(read("logfmt", line)["level"] for line in daemon.log.splitlines())


def has_root() -> bool:
    """Whether a mount namespace of our own can be had."""
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def test_into_the_journal(tmp_path: Path) -> None:
    """Where systemd has connected stderr with the journal, lines go to its socket, with fields."""
    if not has_root():
        pytest.skip("a socket in the place of the journal's needs a mount namespace")
    folder = tmp_path / "journal"
    folder.mkdir()
    journal = FakeJournal(folder / "socket")
    daemon = Daemon(tmp_path, LISTENING, settings=settings("auto"))
    daemon.wrapped = [
        "unshare", "--mount", "sh", "-ec",
        f"mkdir -p /run/systemd/journal; mount --bind {folder} /run/systemd/journal; "
        'JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr) exec "$@"', "sh",
    ]  # fmt: skip
    with daemon:
        answer = daemon.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 7}}})
        number = answer.headers["omeconf-request-id"]
        while (line := journal.read()).get("OMECONF_REQUEST_ID") != number:
            assert line["SYSLOG_IDENTIFIER"] == "omeconf"
        assert line["PRIORITY"] == "6"
        assert line["MESSAGE"].startswith(f"PATCH {APP} by api (admin) from 127.0.0.1:")
        assert line["OMECONF_EVENT"] == "write"
        assert line["OMECONF_REVISION"] == answer.headers["omeconf-revision"] == "2"
        assert line["OMECONF_OUTCOME"] == "done"
        assert not daemon.log
        journal.close()
        daemon.call("PATCH", APP, {"type": "live"}, token="wrong")
        wait_for(lambda: daemon.log.startswith(f"<4>PATCH {APP} by somebody unknown"))


SECRET_TOKEN = "/Server/Managers/API/AccessToken"


def provoke(daemon: Daemon) -> list[str]:
    """Send and write secrets in every way that may end in the log; gives them."""
    hidden = [SECRET, TOKEN]
    count = 0

    def secret() -> str:
        nonlocal count
        count += 1
        hidden.append(f"hush{count}-0815")
        return hidden[-1]

    transactions = "/omeconf/v1/transactions"
    host = '/Server/VirtualHosts/VirtualHost[Name="default"]'
    for wrong in (secret(), [secret()], {"a": secret()}, {secret(): 1}, f"\n{secret()}\x01"):
        value = {"signedPolicy": {"secretKey": wrong}}
        daemon.call("POST", transactions, {"edits": [
            {"verb": "merge", "path": host, "value": value}]})  # fmt: skip
    for verb in ("create", "replace", "delete", "merge"):
        path = f"{host}/SignedPolicy/SecretKey"
        edits = [{"verb": verb, "path": path, "value": secret()}]
        daemon.call("POST", transactions, {"edits": edits})
    daemon.call("POST", transactions, f'{{"edits": [{{"value": "{secret()}"'.encode())
    for scheme in ("Basic", "Bearer", "Digest"):
        daemon.call("DELETE", APP, token=None, headers={"Authorization": f"{scheme} {secret()}"})
    for header in (secret(), f"{secret()} {secret()}", f"x {secret()} y"):
        daemon.call("DELETE", APP, token=None, headers={"Authorization": header})
    daemon.call("DELETE", APP, token=secret())
    daemon.call("PATCH", f"{APP}?token={secret()}", {"type": "live"})
    daemon.call("PATCH", APP, {"type": "live"}, headers={"Cookie": secret(), "X-Key": secret()})
    token = secret()
    new = {"edits": [{"verb": "replace", "path": SECRET_TOKEN, "value": token}]}
    assert daemon.call("POST", transactions, new).status == 200
    text = daemon.text
    for pattern, replacement in (
        (r"(<SecretKey>)[^<]*", rf"\g<1>{secret()}"),
        (r"(<SecretKey>)[^<]*(</SecretKey>)", rf"\g<1>{secret()}<x>{secret()}</x>\2"),
        (r"(<SecretKey>)[^<]*(</SecretKey>)", rf"\g<1>{secret()}</SecretKy>"),
        (r"(<SecretKey>)[^<]*(</SecretKey>)", rf"\g<1>{secret()}&{secret()};\2"),
        (r"<SecretKey>[^<]*(</SecretKey>)", rf'<SecretKey x="{secret()}">{secret()}\1'),
    ):
        before = daemon.log
        changed = re.sub(pattern, replacement, text)
        assert changed != text
        daemon.write(changed)
        wait_for(lambda b=before: daemon.log != b, "a line about it")  # type: ignore[misc]
    daemon.write(text)
    wait_for(lambda: daemon.call("GET", "/omeconf/v1/status", token=token).json["drift"] is None)
    wait_for(lambda: daemon.call("PATCH", APP, {"type": "live"}, token=token).status == 200)
    return hidden


@pytest.mark.parametrize("form", ["text", "logfmt", "json"])
def test_no_secret_in_any_form(tmp_path: Path, form: str) -> None:
    """Neither what the configuration holds, nor what was sent to get in, whatever went wrong."""
    with Daemon(tmp_path, LISTENING, settings=settings(form)) as daemon:
        hidden = provoke(daemon)
        log = daemon.log
    assert len(log.splitlines()) > 25
    assert not [secret for secret in hidden if secret in log]
    if form != "text":
        assert all(read(form, line)["message"] for line in log.splitlines())


HOSTILE = (
    "%0a<3>forged",
    "%0D%0Aevent=write",
    "%1b%5b31m%e2%80%ae",
    "%ff%fe",
    '"} {"event":"write"',
)


@pytest.mark.parametrize("form", ["text", "logfmt", "json"])
def test_nothing_can_be_forged(tmp_path: Path, form: str) -> None:
    """Line ends and control characters in paths, names and messages stay inside their event."""
    with Daemon(tmp_path, LISTENING, settings=settings(form)) as daemon:
        count = len(daemon.log.splitlines())
        answers = []
        for text in HOSTILE:
            path = f"{APP}{text}".replace(" ", "%20").replace('"', "%22")
            answers.append(daemon.call("DELETE", path, headers={"Omeconf-Message": text}))
        name = "a\nevent=write\r\x1b[31m\u2028\u202e"
        some = [{"name": name, "type": "live"}]
        answers.append(daemon.call("POST", "/v1/vhosts/default/apps", some))
        answers.append(daemon.call("PATCH", APP, {"type": name}))
        answers.append(daemon.call("PATCH", f"{APP}?confirm=x%0a%0dy", {}))
        answers.append(daemon.call("POST", "/omeconf/v1/hold", {"reason": name}))
        answers.append(daemon.call("POST", "/omeconf/v1/resume"))
        ids = [answer.headers["omeconf-request-id"] for answer in answers]
        log = wait_for(lambda: ids[-1] in daemon.log and daemon.log)
    new = log.splitlines()[count:]
    assert all(line.isprintable() for line in new)
    assert [sum(number in line for line in new) for number in ids] == [1] * len(ids)
    assert not [line for line in new if not any(number in line for number in ids)]
