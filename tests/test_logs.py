"""Log lines: one an event, whatever is in it; the journal's own protocol."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from omeconf import logs
from omeconf.logs import REQUEST, Format, fields
from tests.support.daemon import DEADLINE_S, wait_for
from tests.support.lines import FakeJournal, read

HOSTILE = (
    'a\n<3>forged\r\n2026-01-01T00:00:00.000Z ERROR forged level=error msg="forged"\t\x00\x1b[31m'
    "\x7f\x85\u2028\u2029\u202e\ud800 \\n \" = {'"
)
"""What would end a line, begin another, or hide something on a terminal."""

log = logging.getLogger("omeconf.test")


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield
    root.handlers = before
    root.setLevel(level)


def line_of(form: Format, text: str = HOSTILE, *, is_raised: bool = False) -> str:
    """The one line of an event with a text everywhere, in an exception too if that is wanted."""
    out = io.StringIO()
    logs.begin(form, out)
    try:
        if is_raised:
            raise ValueError(text)
    except ValueError:
        log.exception("it %s", text, extra=fields(path=text, revision=12, gone=None))
    else:
        log.warning("it %s", text, extra=fields(path=text, revision=12, gone=None))
    assert out.getvalue().count("\n") == 1
    line = out.getvalue().removesuffix("\n")
    assert line.isprintable()
    return line


@pytest.mark.parametrize("is_raised", [False, True], ids=["plain", "with a traceback"])
@pytest.mark.parametrize("form", ["text", "logfmt", "json"])
def test_one_line_an_event(form: Format, is_raised: bool) -> None:
    """Nothing in an event can end its line, or be taken for another field."""
    line = line_of(form, is_raised=is_raised)
    if form == "text":
        assert " WARNING it a\\n<3>forged" in line or " ERROR it a\\n<3>forged" in line
        assert ("Traceback" in line) == is_raised
        return
    found = read(form, line)
    assert set(found) - {"traceback"} == {
        "time", "level", "message", "path", "revision", "logger",
    }  # fmt: skip
    assert found["level"] == ("error" if is_raised else "warning")
    assert found["path"] == logs.clean(HOSTILE)
    assert str(found["revision"]) == "12"
    if is_raised:
        assert found["traceback"].startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("form", ["text", "logfmt", "json"])
def test_long_values_are_cut(form: Format) -> None:
    """It is said how much is missing."""
    line = line_of(form, "x" * 1_000_000)
    assert len(line) < 3 * logs.LONGEST
    assert "more characters" in line


@pytest.mark.parametrize("form", ["text", "logfmt", "json"])
def test_the_request(form: Format) -> None:
    """What is logged while a request is served has its id."""
    token = REQUEST.set("0123456789abcdef")
    line = line_of(form, "x")
    REQUEST.reset(token)
    assert line.count("0123456789abcdef") == 1
    assert "0123456789abcdef" not in line_of(form, "x")


def test_words_of_logfmt() -> None:
    """Bare where that is clear, quoted where not; true and false as such."""
    out = io.StringIO()
    logs.begin("logfmt", out)
    log.info("a b", extra=fields(path="/v1/x", empty="", dry_run=True, took=1.5, text='say "x"'))
    line = out.getvalue().partition(" ")[2]
    assert line == (
        'level=info message="a b" path=/v1/x dry_run=true took=1.5 text="say \\"x\\"" '
        "logger=omeconf.test\n"
    )


def test_the_journal(tmp_path: Path) -> None:
    """Every field is one of the journal's; a text cannot become another field."""
    journal = FakeJournal(tmp_path / "socket")
    logging.getLogger().handlers = [logs.Journal(logging.NullHandler(), journal.path)]
    text = "x\nPRIORITY=0\nOMECONF_WHO=root\n"
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("it %s", text, extra=fields(path=text, revision=12, request_id="77"))
    found = journal.read()
    assert found.pop("OMECONF_TRACEBACK").endswith(f"ValueError: {text}\n")
    assert found == {
        "MESSAGE": "it x\\nPRIORITY=0\\nOMECONF_WHO=root\\n",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "omeconf",
        "OMECONF_PATH": "x\\nPRIORITY=0\\nOMECONF_WHO=root\\n",
        "OMECONF_REVISION": "12",
        "OMECONF_REQUEST_ID": "77",
        "OMECONF_LOGGER": "omeconf.test",
    }
    journal.close()


JOURNALD = "/lib/systemd/systemd-journald"
REAL = f"""
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
{JOURNALD} &
until test -S /run/systemd/journal/socket; do sleep 0.02; done
{sys.executable} -c '
import logging
from omeconf import logs
logs.begin("journal")
logging.getLogger("x").warning("a%s", "\\nb", extra=logs.fields(revision=12, event="write"))
'
until journalctl -D /run/log/journal --no-pager -o json OMECONF_REVISION=12 | grep MESSAGE
do sleep 0.02; done
kill $!
"""


def test_the_real_journal() -> None:
    """systemd-journald takes what is sent, and finds it by its fields."""
    if not Path(JOURNALD).exists() or shutil.which("journalctl") is None:
        pytest.skip("there is no systemd-journald")
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a journal of our own needs a mount namespace")
    done = subprocess.run(
        [*alone, "sh", "-ec", REAL], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[0])
    assert found["MESSAGE"] == "a\\nb"
    assert (found["PRIORITY"], found["SYSLOG_IDENTIFIER"]) == ("4", "omeconf")
    assert (found["OMECONF_EVENT"], found["_TRANSPORT"]) == ("write", "journal")


def test_the_journal_is_away(tmp_path: Path) -> None:
    """Lines go to stderr, with their priority before them; to the journal when it is back."""
    out = io.StringIO()
    logs.begin("journal", out)
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logs.Journal)
    handler.socket_path = tmp_path / "socket"
    log.warning("one%s", "\nforged")
    assert out.getvalue() == "<4>one\\nforged\n"
    journal = FakeJournal(tmp_path / "socket")
    log.warning("two")
    assert journal.read()["MESSAGE"] == "two"
    journal.close()
    log.error("three")
    assert out.getvalue().endswith("\n<3>three\n")
    journal = FakeJournal(tmp_path / "socket")
    log.warning("four")
    assert journal.read()["MESSAGE"] == "four"
    journal.close()


def test_the_journal_is_stuck(tmp_path: Path) -> None:
    """It takes nothing, so its queue is full: what follows goes to stderr."""
    out = io.StringIO()
    journal = FakeJournal(tmp_path / "socket")
    logs.begin("journal", out)
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logs.Journal)
    handler.socket_path = journal.path
    sent = 0
    while not out.getvalue():
        log.warning("%d", sent)
        sent += 1
        assert sent < 10_000
    assert out.getvalue() == f"<4>{sent - 1}\n"
    assert [journal.read()["MESSAGE"] for _ in range(sent - 1)] == [*map(str, range(sent - 1))]
    log.warning("again")
    assert journal.read()["MESSAGE"] == "again"
    journal.close()


def behind() -> logs.Behind:
    """What the log is handed to."""
    (found,) = logging.getLogger().handlers
    assert isinstance(found, logs.Behind)
    return found


def test_stderr_that_the_journal_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$JOURNAL_STREAM names stderr: auto is the journal, and other forms have priorities; where
    it names something else (it is inherited), they have none.
    """
    with (tmp_path / "stderr").open("w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        found = (tmp_path / "stderr").stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        logs.begin("auto")
        assert isinstance(behind().handler, logs.Journal)
        logs.begin("json")
        log.warning("x")
        behind().end()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        logs.begin("auto")
        log.warning("y")
        behind().end()
    first, second = (tmp_path / "stderr").read_text().splitlines()
    assert first.startswith('<4>{"time": ')
    assert second.endswith(" WARNING y")


def test_nobody_waits_for_the_log() -> None:
    """While nothing takes the lines, whoever logs goes on; it is said how many were lost."""
    free = threading.Event()
    taken: list[str] = []

    class Stuck(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            free.wait(DEADLINE_S)
            taken.append(record.getMessage())

    behind = logs.Behind(Stuck())
    for number in range(logs.MOST_WAITING + 10):
        behind.emit(logging.makeLogRecord({"msg": "line %d", "args": (number,)}))
    free.set()
    wait_for(lambda: len(taken) > logs.MOST_WAITING - 10)
    behind.emit(logging.makeLogRecord({"msg": "the last"}))
    behind.end()
    assert taken[:2] == ["line 0", "line 1"]
    assert taken[-1] == "the last"
    assert re.fullmatch(r"\d+ lines of the log were lost: nobody took them in time", taken[-2])
