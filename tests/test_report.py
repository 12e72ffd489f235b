from __future__ import annotations

import json
from dataclasses import replace

import click
import pytest

from omeconf import report
from omeconf.core.violation import Severity, Violation
from omeconf.report import Finding, Report

FOUND = Violation(Severity.ERROR, "invalid-value", "a.xml", 7, 4, "/a", "wrong", "do so")


def paragraph(source: str, **changes: object) -> list[str]:
    finding = Finding(replace(FOUND, **changes), source)  # type: ignore[arg-type]
    return click.unstyle(report.as_text(Report(("a.xml",), (finding,)))).splitlines()


def test_a_line_with_a_mark() -> None:
    """As a compiler shows it: place, source line, mark below the thing, what to do."""
    assert paragraph("  <Port>x</Port>") == [
        "a.xml:7:4: error: wrong [invalid-value]",
        "  7 | <Port>x</Port>",
        "    |  ^~~~",
        "    = do so",
    ]


@pytest.mark.parametrize(
    ("source", "column", "shown", "mark"),
    [
        ("\t<A>\t<Bc/>", 7, "<A>    <Bc/>", "        ^~"),
        ("<A>one two <!-- x --></A>", 4, "<A>one two <!-- x --></A>", "   ^~~~~~~"),
        ('<A b="c"/>', 4, '<A b="c"/>', "   ^~~~~"),
        ('<A>b="c"</A>', 4, '<A>b="c"</A>', "   ^~~~~"),
        ("<A>漢字</A>", 4, "<A>漢字</A>", "   ^~~~"),
        ("<A></A>", 4, "<A></A>", "   ^"),
        ("<A>", 9, "<A>", "   ^"),
    ],
)
def test_marks(source: str, column: int, shown: str, mark: str) -> None:
    """Tabs, wide characters, empty values and places behind the end."""
    lines = paragraph(source, column=column, hint="")
    assert lines[1:] == [f"  7 | {shown}", f"    | {mark}"]


def test_a_long_line() -> None:
    """Of a file on one line, the part around the place is shown."""
    source = "<A>" * 200 + "<Port>x</Port>" + "</A>" * 200
    lines = paragraph(source, column=602, hint="")
    assert lines[1].startswith("  7 | ...A>")
    assert lines[1].endswith("...")
    assert len(lines[1]) < 130
    at = lines[2].index("^")
    assert lines[1][at : at + 4] == "Port"


def test_no_line_to_show() -> None:
    """Of a file that cannot be read there is only the message."""
    assert paragraph("") == ["a.xml:7:4: error: wrong [invalid-value]", "    = do so"]


def test_annotations() -> None:
    """What would end a workflow command is escaped."""
    odd = replace(FOUND, file="a,b:c.xml", message="50%\nmore", severity=Severity.ADVICE)
    text = report.as_annotations(Report(("a.xml",), (Finding(odd, ""),)))
    assert text == (
        "::notice file=a%2Cb%3Ac.xml,line=7,col=4,title=invalid-value::50%25%0Amore. do so\n"
    )


def test_json_and_verdict() -> None:
    """The documented members; and the last line for people."""
    found = Report(("a.xml", "b.xml"), (Finding(FOUND, ""),), ("by the way",))
    assert json.loads(report.as_json(found)) == {
        "files": ["a.xml", "b.xml"],
        "violations": [FOUND.as_json()],
    }
    assert report.verdict(found) == "a.xml, b.xml: 1 error\nby the way"
    assert report.verdict(Report(("a.xml",), ())) == "a.xml: the engine takes this"
