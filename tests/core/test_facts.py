"""Every fact about the engine's loader, by an example or more: the verdict, and where."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import pytest

from omeconf.core.check import check
from omeconf.core.snapshot import Snapshot
from omeconf.core.violation import Severity, Violation
from omeconf.store.disk import Folder
from tests.facts import (
    END,
    Case,
    ignore,
    include,
    logger,
    macros,
    presence,
    startup,
    unknown,
    validators,
    validators_of_applications,
    values,
    version,
    xml,
)
from tests.support import schema

MODULES = (
    xml, unknown, presence, values, ignore, include, macros, version, validators,
    validators_of_applications, startup, logger,
)  # fmt: skip
CASES = tuple(chain.from_iterable(module.CASES for module in MODULES))

NEVER_REFUSED = {
    "C17", "E32", "E33", "E34", "E35", "H54", "I55", "I56", "V4", "V5", "V6", "V13", "V30", "V32",
    "V33", "V34",
}  # fmt: skip
"""Facts that say what is taken only."""


ROWS = {
    *(f"{letter}{number}" for letter, numbers in (
        ("C", range(14, 22)), ("D", range(22, 30)), ("E", range(30, 37)), ("F", range(37, 39)),
        ("G", range(39, 50)), ("H", range(50, 55)), ("I", range(55, 57)), ("J", range(57, 59)),
        ("V", range(1, 35)), ("W", (59, 60, 64, 67, 70, 71, 72)), ("X", (81,)),
    ) for number in numbers),
}  # fmt: skip

WHOLE_FILE = {"not-well-formed", "legacy-file", "unreadable"}
TOKEN = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|</(?P<end>[^\s>]+)\s*>"
    r"|<(?P<name>[^\s/>!?]+)(?:[^<>\"']|\"[^\"]*\"|'[^']*')*?(?P<closed>/?)>",
    re.DOTALL,
)
ATTRIBUTE = re.compile(r"[ \t\r\n][\w:.-]+=[\"']")
LEAD = re.compile(r"(?:>|<!\[CDATA\[)[ \t\r\n]*\Z")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.fact}-{case.name}")
def test_fact(case: Case, tmp_path: Path) -> None:
    """The verdict is the engine's, at the thing itself; whatever is said stands in its place."""
    files = {"Server.xml": case.text, **case.files}
    found = checked_files(files, tmp_path, case.env)
    said = [(v.severity.value, v.code, v.file, v.line, v.column, v.path) for v in found]
    assert any(v.severity is Severity.ERROR for v in found) == (case.verdict == "error"), said
    if case.verdict == "good":
        assert all(v.severity is Severity.ADVICE for v in found), said
    else:
        assert any(is_meant(v, case, files) for v in found), said
    for violation in found:
        assert stands_in_place(violation, files[violation.file]), violation


def test_facts_are_covered() -> None:
    """Enough examples, each of a name of its own, and of every row what it takes and refuses."""
    assert len(CASES) >= 400
    assert len({(case.text, *sorted(case.files.items()), *sorted(case.env.items()))
                for case in CASES}) == len(CASES)  # fmt: skip
    assert len({case.name for case in CASES}) == len(CASES)
    verdicts: dict[str, set[str]] = defaultdict(set)
    for case in CASES:
        assert (case.at == "") == (case.verdict == "good"), case.name
        verdicts[case.fact].add("refused" if case.verdict == "error" else "taken")
    both = {"taken", "refused"}
    for row in sorted(ROWS):
        assert verdicts[row] >= both - ({"refused"} if row in NEVER_REFUSED else set()), row


def checked_files(
    files: Mapping[str, str], folder: Path, env: Mapping[str, str]
) -> tuple[Violation, ...]:
    """What check says about a folder of files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())
    source = Folder(folder)
    known = {**env, "FOLDER": str(folder)}
    return check(Snapshot.take(source, folder=str(source.path), env=known), schema()).violations


def is_meant(violation: Violation, case: Case, files: Mapping[str, str]) -> bool:
    """Whether it is the violation that a case is about, exactly there."""
    source = files[violation.file]
    offset = offset_of(violation, source)
    is_name = case.at.startswith("<") and violation.code not in WHOLE_FILE | {"stray-text"}
    begins = offset - 1 if is_name else offset
    return (
        violation.severity.value == case.verdict
        and violation.code == (case.code or violation.code)
        and (not source[begins:] if case.at == END else source.startswith(case.at, begins))
    )


def stands_in_place(violation: Violation, source: str) -> bool:
    """Whether a violation's place is the thing that its path names, not something around it.

    It is the name of that element, or of one of its attributes, or the first character of what
    stands directly in it; and the elements open there are the end of the path, as far as the
    file goes.
    """
    offset = offset_of(violation, source)
    if violation.path == "/":
        return violation.code in WHOLE_FILE or (violation.code == "wrong-root" and offset > 0)
    path = re.sub(r"\[\d+\]", "", violation.path).strip("/").split("/")
    opened = opened_at(source, offset)
    is_name = bool(opened) and source.startswith(f"<{opened[-1]}", offset - 1)
    if violation.code == "wrong-root":
        return is_name and len(opened) == 1
    is_attribute = ATTRIBUTE.match(source, offset - 1) is not None
    before = re.sub(r"<!--.*?-->|<\?.*?\?>|&#32;", "", source[:offset], flags=re.DOTALL)
    is_text = LEAD.search(before) is not None and source[offset] not in " \t\r\n"
    return opened == path[-len(opened) :] and (is_name or is_attribute or is_text)


def opened_at(source: str, offset: int) -> list[str]:
    """Names of the elements that are open at a place; the one that begins there is the last."""
    names: list[str] = []
    for token in TOKEN.finditer(source):
        if token.start() >= offset:
            break
        if token["end"]:
            names.pop()
        elif token["name"] and (not token["closed"] or offset < token.end()):
            names.append(token["name"])
    return names


def offset_of(violation: Violation, source: str) -> int:
    """The place of a violation as an index; line and column must exist."""
    lines = list(with_ends(source))
    assert 1 <= violation.line <= len(lines) + 1, violation
    before = lines[: violation.line - 1]
    line = lines[violation.line - 1] if violation.line <= len(lines) else ""
    assert 1 <= violation.column <= len(line) + 1, violation
    return sum(map(len, before)) + violation.column - 1


def with_ends(source: str) -> Iterator[str]:
    """Lines as editors count them: by line feeds."""
    return iter(re.findall(r"[^\n]*\n|[^\n]+", source))
