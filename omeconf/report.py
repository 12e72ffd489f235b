"""How what a check found is shown: for people as a compiler does, as JSON, for CI annotations."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass

import click

from omeconf.core.violation import Severity, Violation

COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.ADVICE: "cyan"}
ANNOTATIONS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "notice"}
_TAB = "    "
_WIDTH = 110
"""Characters of a source line that are shown; of a longer one, the part around the place."""
_NAME = re.compile(r"[^\s/>]+")
_ATTRIBUTE_OR_VALUE = re.compile(
    r"""[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*')(?=[^<]*>)|[^<>]*?(?=\s*(?:<|$))"""
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation, and the line of the file that it is about."""

    violation: Violation
    source: str
    """Without its line end; "" if there is none to show."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of some files found."""

    files: tuple[str, ...]
    """The Server.xml files that were checked."""
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    """What may be said about the whole, such as the release a file seems to be written for."""

    def has(self, *severities: Severity) -> bool:
        """Whether something of one of these severities was found."""
        return any(each.violation.severity in severities for each in self.findings)


def as_text(report: Report) -> str:
    """One paragraph for each: place, message, the line with a mark below it, what to do."""
    return "".join(f"{_paragraph(each)}\n" for each in report.findings)


def as_json(report: Report) -> str:
    """``{"files": [...], "violations": [...]}``."""
    violations = [each.violation.as_json() for each in report.findings]
    found = {"files": list(report.files), "violations": violations}
    return json.dumps(found, indent=2) + "\n"


def as_annotations(report: Report) -> str:
    """Workflow commands, which GitHub shows beside the lines of a pull request."""
    return "".join(
        f"::{ANNOTATIONS[v.severity]} file={_property(v.file)},line={v.line},col={v.column},"
        f"title={_property(v.code)}::{_data(f'{v.message}. {v.hint}'.strip('. '))}\n"
        for v in (each.violation for each in report.findings)
    )


def verdict(report: Report) -> str:
    """The last lines: whether the engine takes it, how much else was found, and remarks."""
    errors = sum(each.violation.severity is Severity.ERROR for each in report.findings)
    text = f"{errors} error{'s' * (errors != 1)}" if errors else "the engine takes this"
    others = len(report.findings) - errors
    more = f", and {others} of lesser weight" if others else ""
    return "\n".join((f"{', '.join(report.files)}: {text}{more}", *report.remarks))


def _paragraph(finding: Finding) -> str:
    violation, line = finding.violation, finding.source
    word = click.style(violation.severity.value, fg=COLOURS[violation.severity], bold=True)
    place = f"{violation.file}:{violation.line}:{violation.column}"
    text = f"{place}: {word}: {violation.message} [{violation.code}]"
    margin = " " * len(str(violation.line))
    if line.strip():
        shown, mark = _marked(line, violation.column)
        mark = click.style(mark, fg=COLOURS[violation.severity], bold=True)
        text += f"\n  {violation.line} | {shown}\n  {margin} | {mark}"
    if violation.hint:
        text += f"\n  {margin} = {violation.hint}"
    return text


def _marked(line: str, column: int) -> tuple[str, str]:
    """A source line with its tabs and margin evened out, and the marks that go below it."""
    at = min(column - 1, len(line))
    start = len(line) - len(line.lstrip())
    start = min(start, at) if at - start < _WIDTH * 2 // 3 else at - _WIDTH // 3
    end = min(len(line), start + _WIDTH)
    match = (_NAME if line[at - 1 : at] == "<" else _ATTRIBUTE_OR_VALUE).match(line, at)
    length = max(1, min(end, match.end() if match else at) - at)
    before, inside = line[start:at], line[at : at + length]
    head = "..." if line[:start].strip() else ""
    tail = "..." if line[end:].strip() else ""
    shown = f"{head}{line[start:end].rstrip()}{tail}".replace("\t", _TAB)
    lead = " " * _columns(head + before.replace("\t", _TAB))
    return shown, f"{lead}^{'~' * (_columns(inside.replace(chr(9), _TAB)) - 1)}"


def _columns(text: str) -> int:
    """How wide a terminal shows it."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
