"""X: Logger.xml, which lies beside it."""

from __future__ import annotations

from tests.facts import END, Case, server

ALL = '<Tag name=".*" level="info"/>'


def logger(
    name: str, inside: str = ALL, verdict: str = "good", at: str = "", start: str = 'version="2"'
) -> Case:
    """A good Server.xml, and a Logger.xml."""
    text = f"<Logger {start}>\n\t{inside}\n</Logger>\n"
    return Case("X81", f"logger-{name}", server(), verdict, at, {"Logger.xml": text})


CASES = (
    logger("one-tag"),
    logger("path-and-tags", f'<Path>/var/log/ome</Path>{ALL}<Tag name="Publisher" level="warn"/>'),
    logger("file-switched-off", f'<File enabled="false"/>{ALL}'),
    logger("without-path", '<Tag name="A" level="debug"/>'),
    *(logger(f"level-{level}", f'<Tag name="x" level="{level}"/>')
      for level in ("debug", "info", "warn", "error", "critical")),
    logger("other-name-behind-a-tag", f'{ALL}<Row name="B" level="warn"/>'),
    logger("comment-behind-a-tag", f"{ALL}<!-- B -->"),
    logger("version-1", ALL, "error", "<Logger", 'version="1"'),
    logger("version-3", ALL, "error", "<Logger", 'version="3"'),
    logger("version-empty", ALL, "error", "<Logger", 'version=""'),
    logger("no-version", ALL, "error", "<Logger", ""),
    logger("no-tag", "<Path>/var/log</Path>", "error", "<Logger"),
    logger("nothing", "", "error", "<Logger"),
    logger("level-unknown", '<Tag name="x" level="loud"/>', "error", "<Tag"),
    logger("level-empty", '<Tag name="x" level=""/>', "error", "<Tag"),
    logger("level-missing", '<Tag name="x"/>', "error", "<Tag"),
    logger("bad-level-of-the-second", f'{ALL}\n\t<Tag name="x" level="loud"/>', "error",
           '<Tag name="x"'),
    logger("bad-level-of-another-name", f'{ALL}<Row name="x" level="loud"/>', "error", "<Row"),
    logger("path-behind-a-tag", f"{ALL}<Path>/var/log</Path>", "error", "<Path"),
    logger("file-behind-a-tag", f'{ALL}<File enabled="false"/>', "error", "<File"),
    Case("X81", "logger-not-well-formed", server(), "error", "Log>",
         {"Logger.xml": f'<Logger version="2">{ALL}</Log>'}),
    Case("X81", "logger-other-root", server(), "error", "<Log",
         {"Logger.xml": f'<Log version="2">{ALL}</Log>'}),
    Case("X81", "logger-empty-file", server(), "error", END, {"Logger.xml": ""}),
    Case("X81", "logger-in-a-sub-folder", server(), files={"old/Logger.xml": "<Wrong/>"}),
)  # fmt: skip
