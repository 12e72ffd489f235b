"""The table of values: for every leaf, what the engine takes and what it does not.

`python -m tests.support.values` writes tests/data/values.tsv anew: one row a path, with a value
that the engine takes as written, one that it does not, and what becomes of that: `error` (it
refuses to load or to start), `warning` (it takes it for something else) or `advice`. A free text
has no wrong value: every one of them is named in FREE_TEXT with the reason.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from omeconf.core.schema import Item, Schema
from tests.support import PROJECT, schema

TABLE = PROJECT / "tests/data/values.tsv"

VALUES: dict[str, tuple[str | None, str | None, str]] = {
    "boolean": ("true", "yes", "warning"),
    "presence": ("", "false", "warning"),
    "int": ("12", "4abc", "warning"),
    "long": ("3000", "3000000000", "warning"),
    "float": ("2.5", "0,5", "warning"),
    "workerCount": ("1", "0", "error"),
    "appWorkerCount": ("2", "100", "warning"),
    "streamWorkerCount": ("8", "73", "warning"),
    "segmentCount": ("3", "2", "warning"),
    "atLeastOne": ("1", "0", "warning"),
    "portNumber": ("9999", "65536", "warning"),
    "skipFrames": ("120", "121", "error"),
    "bFrames": ("16", "17", "error"),
    "keyFrameInterval": ("600", "-1", "error"),
    "silenceTimeout": ("0", "-1", "error"),
    "mediaWaitTimeout": ("8000", "0", "error"),
    "pathDepth": ("-1", "3", "warning"),
    "notForThisProvider": (None, "5000", "error"),
    "notYetSupported": (None, "eq", "error"),
    "version": ("10", "7", "error"),
    "port": ("1935/tcp", "65536", "error"),
    "portRange": ("4000-4004,4006/udp", "4000,", "error"),
    "bitrate": ("2.5M", "0", "error"),
    "serverType": ("origin", "Origin", "error"),
    "applicationType": ("live", "LIVE", "error"),
    "preset": ("FASTER", "ultrafast", "error"),
    "profile": ("High", "high10", "error"),
    "keyFrameIntervalType": ("time", "second", "error"),
    "equal": ("eq", "lte", "error"),
    "comparison": ("GTE", "gt", "error"),
    "timestampMode": ("original", "Auto", "error"),
    "bandwidthEstimation": ("transportcc", "none", "error"),
    "encodingType": ("all", "ALL", "error"),
    "transport": ("udptcp", "quic", "warning"),
    "pullScheme": ("ovt", "http", "warning"),
    "whisper": ("whisper", "vosk", "warning"),
    "id3Target": ("event", "text", "warning"),
    "id3Frame": ("TXXX", "WXXX9", "warning"),
    "videoCodec": ("h264", "mpeg2", "warning"),
    "audioCodec": ("opus", "flac", "warning"),
    "imageCodec": ("jpeg", "gif", "warning"),
    "ipAddress": ("::", "notanip", "error"),
    "iceCandidate": ("*:10000-10003/udp", "*:10000/sctp", "error"),
    "tcpRelay": ("${PublicIP}:3478", "*:99999", "error"),
    "hostPort": ("stun.example.com:3478", "stun.example.com", "warning"),
    "redisHost": ("redis:6379", "[::1]:6379", "error"),
    "hostPattern": ("*.example.com", "http://example.com", "advice"),
    "originPattern": ("*.example.com", "a b", "warning"),
    "url": ("https://example.com/hook", "example.com/hook", "warning"),
    "tcpUrl": ("tcp://collector:21514", "http://collector", "warning"),
    "pullUrl": ("origin:9000/app/stream", "ovt://origin:9000/app/stream", "warning"),
    "location": ("/app/stream", "app/stream", "advice"),
    "streamPath": ("host/app/stream", "stream", "warning"),
    "srtOption": ("SRTO_LATENCY", "latency", "error"),
    "httpHeader": ("X-Served-By", "X Served By", "warning"),
    "devices": ("0,1", "first", "warning"),
    "languageTag": ("pt-BR", "not a language", "warning"),
    "providerNames": ("rtmp, WebRTC", "rtmp,bogus", "warning"),
    "publisherNames": ("llhls,HLSv3", "hls", "warning"),
    "notEmpty": ("some text", "", "warning"),
    "text": ("any text", None, "-"),
}
"""By type: a value the engine takes, one it does not (None: there is none), what becomes of it."""

FREE_TEXT: dict[str, str] = {
    "AccessToken": "a token may be anything; that it is not empty is a rule of its own",
    "Auth": "a password",
    "Audio": "a name, looked up among the encodes by a rule",
    "Video": "a name, looked up among the encodes by a rule",
    "ChainCertPath": "a path; empty is the folder itself and only logs an error",
    "Characteristics": "passed on to HLS as it is",
    "Credential": "a password",
    "Data": "the payload of an event",
    "DefaultLabel": "a label, looked up by a rule",
    "Distribution": "a label for statistics",
    "ExtraOptions": "passed on to the encoder as it is",
    "FallbackStreamName": "nothing reads it",
    "FilePath": "a path with macros of the recorder",
    "Id": "empty makes the engine choose one",
    "Info": "the payload of an event",
    "InfoFile": "a path; empty means none",
    "InfoPath": "a path with macros of the recorder",
    "Model": "nothing reads it",
    "Modules": "names of hardware modules, which depend on the build",
    "Name": "a display name",
    "OriginStreamName": "nothing reads it",
    "Path": "a path; empty means none",
    "RecordInfo": "a path; empty means none",
    "RootPath": "a path; empty means none",
    "RulesFile": "a path; empty means none",
    "SecretKey": "a password",
    "TcpRelayBind": "nothing reads it",
    "UserKey": "a key",
    "UserName": "a name",
    "Value": "a header, option or query value of any form",
    "VariantName": "a name; the engine does not look it up",
}
"""Leaves that hold any text, by name, and why no value of theirs is wrong."""


def rows(model: Schema) -> list[tuple[str, str, str, str]]:
    """(path, taken, not taken, verdict) for every leaf and attribute; None is shown as -."""
    result: list[tuple[str, str, str, str]] = []
    for path, item in model.items.items():
        leaves = [(path, item.type)] if item.type else []
        leaves += [(f"{path}/@{name}", kind) for name, kind in item.attributes.items()]
        for where, kind in leaves:
            taken, refused, verdict = VALUES[kind.name]
            shown = ("-" if v is None else v or '""' for v in (taken, refused))
            result.append((where, *shown, verdict))  # type: ignore[arg-type]
    return result


def read_table() -> list[tuple[str, str | None, str | None, str]]:
    """The rows of the table as it is committed."""
    meaning: dict[str, str | None] = {"-": None, '""': ""}
    found: list[tuple[str, str | None, str | None, str]] = []
    for line in TABLE.read_text().splitlines()[1:]:
        path, taken, refused, verdict = line.split("\t")
        found.append((path, meaning.get(taken, taken), meaning.get(refused, refused), verdict))
    return found


def configuration(model: Schema, path: str, value: str) -> str:
    """A configuration with a value at a path, and around it only what the engine insists on."""
    way = path.split("/")[1:]
    attribute = way.pop()[1:] if way and way[-1].startswith("@") else ""
    given = {attribute: value} if attribute else {"version": "8"}
    text = None if attribute else value
    return '<?xml version="1.0"?>\n' + _element(model.root, way, text, given) + "\n"


def _element(item: Item, way: list[str], value: str | None, attributes: dict[str, str]) -> str:
    shown = "".join(f" {name}={quoteattr(text)}" for name, text in attributes.items())
    if item.type is not None:
        text = VALUES[item.type.name][0] if value is None else value
        return f"<{item.name}{shown}>{escape(text or '')}</{item.name}>"
    inside = []
    for name, child in item.children.items():
        if way and way[0] == name:
            inside.append(_element(child, way[1:], value, {}))
        elif child.is_enforced:
            inside.append(_element(child, [], None, {}))
    return f"<{item.name}{shown}>{''.join(inside)}</{item.name}>"


if __name__ == "__main__":
    lines = ["path\ttaken\tnot taken\tverdict", *("\t".join(row) for row in rows(schema()))]
    TABLE.write_text("\n".join(lines) + "\n")
    print(f"{len(lines) - 1} rows in {TABLE}")
