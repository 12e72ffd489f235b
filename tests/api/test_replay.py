"""The recorded answers of a real engine, request by request, against our daemon."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

from tests.support import shared
from tests.support.daemon import Daemon

NOT_SENT = {47, 55, 56, 57, 62, 63}
"""They met the engine's read-only 403; here they succeed, and would wreck what follows."""
NOT_HERE = "LM"
"""Sections: a restart; what crashes the engine."""

REASONS: dict[str, tuple[int, ...]] = {
    "GET shows what is written, not what became of it": (50, 201),
    "path segments are percent-decoded": (28, 29, 90),
    "one trailing slash is tolerated": (24, 54),
    "a wrong method is 405 with Allow": (30, 31, 32, 33, 34, 35, 37),
    "PUT is taken where PATCH is": (39, 243),
    "new names that could not be addressed are refused": (86, 87, 118, 140, 176, 178, 180, 181),
    "bodies are strict JSON": (125, 126, 129),
    "values are converted where nothing is lost, else refused": (77, 83, 152, 171, 174),
    "what the engine takes silently as something else is 422": (114, 169, 170, 203, 204, 205),
    "a batch is one transaction": (159, 161),
    "outputProfiles may be a bare array": (164,),
    "what is no configuration is for the engine": (
        17, 18, 250, 252, 253, 254, 256, 257, 260, 264, 268, 269, 271, 272, 277, 279, 280, 281,
        283, 284, 285, 286, 287, 288, 290, 291, 292, 293, 295, 298, 303, 304,
    ),
}  # fmt: skip
"""Why an answer is not the engine's: DESIGN.md section 6."""


def requests() -> list[dict[str, Any]]:
    path = shared("cases/api-0.21/transcript.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        row
        for row in rows
        if row["n"] not in NOT_SENT
        and row["section"][0] not in NOT_HERE
        and row["method"]
        and row["path"]
    ]


def answered(daemon: Daemon, row: dict[str, Any]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    body = row["body"]
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    try:
        connection.request(
            row["method"], row["path"], None if body is None else data, row["headers"] or {}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def shape(value: Any) -> Any:
    """What is compared: members and values, these by their text, and the class of a message."""
    if isinstance(value, dict):
        return {
            key: message_class(inner) if key == "message" else shape(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [shape(each) for each in value]
    return value if value is None else str(value).lower()


def message_class(text: str) -> str:
    """A complaint about JSON by its place; any other message as it is."""
    return re.sub(r"(\[JSON\] \* Line \d+, Column \d+).*", r"\1", text, flags=re.DOTALL)


def parsed(body: str | None) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body


def test_as_recorded(tmp_path: Path) -> None:
    """Every answer is the engine's own, or differs for a reason that has a name."""
    text = shared("cases/api-0.21/Server.xml").read_text()
    text = text.replace("<Port>8081</Port>", "<Port>@PORT@</Port>", 1)
    text = text.replace("\t\t\t\t<TLSPort>8082</TLSPort>\n", "", 1)
    reason_of = {number: reason for reason, numbers in REASONS.items() for number in numbers}
    assert len(REASONS) <= 12
    same, wrong, idle = 0, [], set(reason_of)
    settings = '[api]\nvirtual_hosts = "read-write"\n'
    with Daemon(tmp_path, text, settings=settings) as daemon:
        for row in requests():
            status, body = answered(daemon, row)
            assert status != 500, row
            recorded = row["response"]
            if not isinstance(recorded, dict):
                continue  # withheld, or the engine did not answer
            got = (status, shape(parsed(body)))
            wanted = (recorded["status"], shape(parsed(recorded["body"])))
            if got == wanted:
                same += 1
            elif row["n"] in reason_of:
                idle.discard(row["n"])
            else:
                wrong.append((row["n"], row["title"], wanted, got))
        assert daemon.stop() == 0
    assert wrong == []
    assert idle == set(), "these do not differ any more"
    assert same >= 100
    assert same + len(reason_of) >= 120
