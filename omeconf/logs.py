"""Logs: one line an event, with fields, as text, logfmt or JSON, or straight into the journal.

Whatever stands in a path, a name, a message or a traceback, an event stays one line, and nothing in
it can look like another: control and format characters are escaped, and long values are cut.
docs/logs.md has the names of all fields.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Literal, TextIO

from logging_journald import JournaldTransport, check_journal_stream

Format = Literal["auto", "text", "logfmt", "json", "journal"]
Field = str | int | float | bool | None

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request for which something is done now; "" for none."""

LONGEST = 4096
"""Characters of one value; of what is longer it is said how much is missing."""
LONGEST_TRACEBACK = 32768
MOST_WAITING = 10_000
"""So many events are kept while nobody takes them: a few MB."""
LONGEST_SEND_S = 0.05
"""So long a journal that takes nothing is waited for: the API must go on."""
IDENTIFIER = "omeconf"
PREFIX = "OMECONF_"
"""Before the name of a field in the journal."""

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_BARE = re.compile(r"[\w./:@%+,~*-]+", re.ASCII)


def fields(**values: Field) -> dict[str, dict[str, Field]]:
    """For ``extra`` of a call that logs: what can be looked for by name. None is left out."""
    return {"fields": values}


def begin(form: Format, stream: TextIO | None = None) -> None:
    """Log to stderr from now on, or into the journal; whoever logs does not wait for either.

    auto: into the journal where systemd has connected stderr with it, else text. If the journal
    cannot be reached, lines go to stderr with their priority before them, as systemd reads them.
    """
    logging.raiseExceptions = False  # a full disk below stderr must not make more lines
    out = stream or sys.stderr
    is_journal = _is_journal()
    lines: logging.Handler = logging.StreamHandler(out)
    if form in ("auto", "journal"):
        lines.setFormatter(Line(_text, has_priority=is_journal or form == "journal"))
        if is_journal or form == "journal":
            lines = Journal(lines)
    else:
        formats = {"text": _text, "logfmt": _logfmt, "json": _json}
        lines.setFormatter(Line(formats[form], has_priority=is_journal))
    root = logging.getLogger()
    root.handlers = [lines if stream is not None else Behind(lines)]
    root.setLevel(logging.INFO)


class Line(logging.Formatter):
    """An event as one line."""

    def __init__(
        self, form: Callable[[Mapping[str, Field]], str], *, has_priority: bool = False
    ) -> None:
        """has_priority: ``<3>`` and the like stand before it, and no time in text."""
        super().__init__()
        self.form = form
        self.has_priority = has_priority

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        entries = _entries(record)
        if not self.has_priority:
            return self.form(entries)
        if self.form is _text:
            del entries["time"], entries["level"]
        return f"<{_priority(record)}>{self.form(entries)}"


class Journal(logging.Handler):
    """Events with their fields into systemd's journal, by its native protocol."""

    def __init__(self, otherwise: logging.Handler, socket_path: Path | None = None) -> None:
        """otherwise: where events go while the journal takes none."""
        super().__init__()
        self.otherwise = otherwise
        self.socket_path = socket_path
        self._transport: JournaldTransport | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Send one event."""
        try:
            if self._transport is None:
                self._transport = JournaldTransport(self.socket_path, connected=False)
                self._transport.socket.settimeout(LONGEST_SEND_S)
            self._transport.send(_journal(record).items())
        except OSError:
            self.otherwise.handle(record)


class Behind(logging.Handler):
    """Hands events to another handler on a thread of its own.

    A terminal, a pipe or a journal that takes nothing keeps nobody from work: of the events that
    come meanwhile MOST_WAITING are kept, and of the others it is said how many there were.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self.handler = handler
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(MOST_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.end)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an event, as it is now."""
        record.msg, record.args = record.getMessage(), None
        record.request = REQUEST.get()
        if self._lost:
            lost = logging.makeLogRecord(
                {"name": __name__, "levelno": logging.ERROR, "levelname": "ERROR",
                 "msg": f"{self._lost} lines of the log were lost: nobody took them in time"}
            )  # fmt: skip
            with suppress(queue.Full):
                self._waiting.put_nowait(lost)
                self._lost = 0
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._lost += 1

    def end(self, timeout_s: float = 2.0) -> None:
        """Have the rest written, if that can be."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
            self._thread.join(timeout_s)
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except (OSError, ValueError):  # the terminal is gone: what nobody can read fails nothing
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for handle in (1, 2):
                os.dup2(nowhere, handle)

    def _work(self) -> None:
        while (record := self._waiting.get()) is not None:
            self.handler.handle(record)


def clean(text: str) -> str:
    """A text on one line: what does not print is escaped, and what is too long is cut."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} ... ({len(text) - LONGEST} more characters)"
    return text if text.isprintable() else _escaped(text)


def _escaped(text: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _entries(record: logging.LogRecord) -> dict[str, Field]:
    """All of an event, in the order in which it is shown."""
    found: dict[str, Field] = {
        "time": _moment(record.created),
        "level": record.levelname.lower(),
        "message": clean(record.getMessage()),
    }
    given: Mapping[str, Field] = getattr(record, "fields", {})
    for name, value in given.items():
        if value is not None and value != "":
            found[name] = clean(value) if isinstance(value, str) else value
    request = getattr(record, "request", "") or REQUEST.get()
    if "request_id" not in found and request:
        found["request_id"] = request
    found["logger"] = record.name
    if record.exc_info and record.exc_info[0] is not None:
        text = "".join(traceback.format_exception(*record.exc_info))
        found["traceback"] = _unicode(text[-LONGEST_TRACEBACK:])
    return found


def _journal(record: logging.LogRecord) -> dict[str, Field]:
    """An event with the journal's names (systemd.journal-fields(7)) and our own."""
    entries = _entries(record)
    del entries["time"], entries["level"]  # it has its own
    return {
        "MESSAGE": entries.pop("message"),
        "PRIORITY": _priority(record),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        **{PREFIX + name.upper(): str(value) for name, value in entries.items()},
    }


def _text(entries: Mapping[str, Field]) -> str:
    """For people: the message says it all but for the request and what went wrong inside."""
    line = str(entries["message"])
    if "time" in entries:
        line = f"{entries['time']} {str(entries['level']).upper()} {line}"
    if "request_id" in entries and str(entries["request_id"]) not in line:
        line += f" (request {entries['request_id']})"
    if "traceback" in entries:
        line += f" | {_escaped(str(entries['traceback']))}"
    return line


def _logfmt(entries: Mapping[str, Field]) -> str:
    return " ".join(f"{name}={_quoted(value)}" for name, value in entries.items())


def _quoted(value: Field) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _json(entries: Mapping[str, Field]) -> str:
    return json.dumps(entries)


def _moment(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    whole = int(seconds)
    shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{shown}.{int((seconds - whole) * 1000):03}Z"


def _unicode(text: str) -> str:
    """Without halves of surrogate pairs, which can be sent nowhere."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _priority(record: logging.LogRecord) -> int:
    """As syslog numbers them."""
    return next((number for level, number in _PRIORITIES if record.levelno >= level), 7)


def _is_journal() -> bool:
    """Whether stderr is connected with the journal (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        return bool(check_journal_stream())
    except (OSError, ValueError):
        return False
