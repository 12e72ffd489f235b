from __future__ import annotations

import re
from pathlib import Path

import pytest

from omeconf.core.check import check
from omeconf.core.snapshot import Snapshot
from omeconf.core.violation import Severity
from omeconf.errors import NotFound
from omeconf.store.disk import Folder
from omeconf.store.sources import Recorded
from tests.support import EXAMPLES, MINIMAL, SHARED, checked, codes, schema, shared
from tests.support.values import configuration, read_table

VALUE_CODES = ("invalid-value", "odd-value")


@pytest.mark.parametrize("verdict", ["error", "warning", "advice", "-"])
def test_every_value(verdict: str) -> None:
    """For every leaf: what the engine takes is clean, and what it does not is found, in place."""
    for path, taken, refused, said in read_table():
        if said != verdict:
            continue
        name = path.rpartition("/")[2]
        if taken is not None:
            found = checked(configuration(schema(), path, taken), env={}).violations
            assert not [v for v in found if v.code in VALUE_CODES], (path, taken, found)
        if refused is not None:
            found = checked(configuration(schema(), path, refused), env={}).violations
            ours = [v for v in found if v.code in VALUE_CODES]
            assert [v.severity.value for v in ours] == [verdict], (path, refused, found)
            assert name.startswith("@") or re.sub(r"\[\d+\]", "", ours[0].path).endswith(name)
            assert (ours[0].says != "") == (verdict == "error"), (path, refused)


def take(path: Path) -> Snapshot:
    folder = Folder(path.parent)
    return Snapshot.take(folder, main=path.name, folder=str(folder.path), env={})


def loader_cases() -> list[list[str]]:
    table = SHARED / "cases/loader/verdicts.tsv"
    if not table.exists():
        return []
    return [line.split("\t") for line in table.read_text().splitlines()[1:]]


STRICTER = {
    "xml_other_root_before": "not well-formed",
    "xml_ws_before_decl": "not well-formed",
    "xml_invalid_utf8": "not well-formed",
    "xml_undefined_entity": "not well-formed",
    "xml_dtd_only": "a DOCTYPE is refused",
    "dup_profile_name": "the engine starts, without the application",
}
"""Files that the engine starts with and we refuse, and why."""


@pytest.mark.parametrize("case", loader_cases(), ids=lambda case: case[0])
def test_same_verdict_as_the_engine(case: list[str]) -> None:
    """An error exactly where a real engine refuses the file or does not start with it."""
    name, verdict, start = case[0], case[1], (case + [""] * 5)[4]
    base = SHARED / "cases/loader"
    file = base / f"{name}.xml"
    if not file.exists():
        file = base / f"{name}.d/Server.xml"
    try:
        is_good = check(take(file), schema()).is_good
    except NotFound:
        is_good = False
    is_taken = verdict == "accept" and start != "start-fail" and name not in STRICTER
    assert is_good == is_taken


def upstream_files() -> list[tuple[str, str]]:
    table = SHARED / "examples-ome/verdicts.tsv"
    if not table.exists():
        return []
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    return [(row[0], row[4]) for row in rows if "Logger" not in row[0]]


@pytest.mark.parametrize(("name", "verdict"), upstream_files())
def test_the_engines_own_examples(name: str, verdict: str) -> None:
    """No error where the engine takes its example; where not, the same element is named."""
    found = check(take(SHARED / "examples-ome" / name), schema())
    assert found.is_good == verdict.startswith("accept"), found.errors
    unknown = re.search(r"Unknown item found: (\S+)", verdict)
    if unknown:
        assert f"Unknown item found: {unknown[1]}" in {v.says for v in found.errors}


@pytest.mark.parametrize("name", ["origin", "edge"])
def test_our_examples_are_spotless(name: str) -> None:
    """What we ship has nothing wrong with it, not even advice."""
    assert check(take(EXAMPLES / name / "Server.xml"), schema()).violations == ()


def test_commented_examples_load_when_uncommented() -> None:
    """Blocks of the engine's example that are in comments are found out when uncommented."""
    path = shared("examples-ome/v0.21.0_Server.xml")
    data = path.read_bytes()
    broken = data.replace(b"<!-- <VariantName>", b"<VariantName>", 1)
    broken = broken.replace(b"<MinBitrate>500000</MinBitrate> -->",
                            b"<MinBitrate>500000</MinBitrate>", 1)  # fmt: skip
    found = checked(broken, env={})
    assert {"<MaxFPS> is not known in <VideoTemplate>",
            "<VideoIndexHint> is not known in <VideoTemplate>"} <= {
        v.message for v in found.errors
    }  # fmt: skip
    hints = {v.message: v.hint for v in found.errors}
    assert hints["<MaxFPS> is not known in <VideoTemplate>"] == "use MaxFramerate"


def test_all_at_once() -> None:
    """Every mistake is found in one run, in the order of the file, also behind an unknown one."""
    text = (
        MINIMAL.replace("<Type>origin</Type>", "<Type>Origin</Type>")
        .replace("\t<IP>*</IP>\n", "")
        .replace("<Bind>", "<Bind>\n\t\t<Nonsense/>\n\t\tstray")
        .replace("<Port>1935</Port>", "<Port>70000</Port>")
        .replace("<Name>other</Name>", "<Name>app</Name>")
    )
    found = checked(text)
    assert codes(found) == [
        "missing-element", "invalid-value", "unknown-element", "stray-text", "invalid-value",
        "duplicate-name",
    ]  # fmt: skip
    assert [v.line for v in found.violations] == [2, 3, 5, 6, 9, 27]
    assert all(v.severity is Severity.ERROR for v in found.violations)


def test_right_form_but_refused() -> None:
    """What only reading finds out is found, though the schema's pattern allows it."""
    for path, value in (
        ("Server/Bind/Providers/MPEGTS/Port", "4004-4000"),
        ("Server/Bind/Publishers/WebRTC/IceCandidates/IceCandidate", "*:10003-10000/udp"),
        ("Server/Alert/Rules/Ingress/MinBitrate", "9999M"),
    ):
        text = configuration(schema(), path, value)
        assert schema().gate(text.encode())
        assert "invalid-value" in codes(checked(text, env={})), path


def test_a_violation_says_where_and_what_to_do() -> None:
    """File, line, column, path, message and hint are all there."""
    found = checked(MINIMAL.replace("SegmentDuration>", "SegmentDuraton>"))
    (violation,) = found.violations
    path = "/Server/VirtualHosts/VirtualHost[1]/Applications/Application[1]/Publishers/LLHLS"
    assert violation.as_json() == {
        "severity": "error", "code": "unknown-element", "file": "Server.xml", "line": 21,
        "column": 9, "path": f"{path}/SegmentDuraton",
        "message": "<SegmentDuraton> is not known in <LLHLS>",
        "hint": "did you mean <SegmentDuration>?",
    }  # fmt: skip
    assert violation.says == ("Unknown item found: Application.publishers.llhls.SegmentDuraton")


def test_columns_point_at_the_value() -> None:
    """A bad value is shown where it begins, also behind blanks and multibyte characters."""
    text = MINIMAL.replace("<Port>1935</Port>", "<!-- ü --><Port>  70000</Port>")
    (violation,) = checked(text).violations
    line = text.splitlines()[violation.line - 1]
    assert line[violation.column - 1 :].startswith("70000")


def test_new_warnings_are_told_from_old() -> None:
    """What a file already had does not count against an edit; what it adds does."""
    old = checked(MINIMAL.replace("<SegmentDuration>6", "<SegmentDuration>6s"))
    new = checked(
        MINIMAL.replace("<SegmentDuration>6", "\n<SegmentDuration>6s").replace("1935", "1935x")
    )
    assert codes(old) == ["odd-value"]
    assert [v.path for v in new.new_since(old)] == ["/Server/Bind/Providers/RTMP/Port"]
    assert len(new.new_since(None)) == 2


def test_secrets_do_not_show() -> None:
    """A violation never prints a secret."""
    text = MINIMAL.replace(
        "<VirtualHosts>",
        "<Managers><API><AccessToken>s3cret<!-- -->x</AccessToken></API></Managers><VirtualHosts>",
    )
    assert "s3cret" not in " ".join(map(str, checked(text).violations))


def test_macros_with_and_without_the_environment() -> None:
    """A macro is judged by its value where the environment is known, else not at all."""
    text = MINIMAL.replace("1935", "${env:RTMP_PORT}")
    assert checked(text).is_good
    assert checked(text, env={"RTMP_PORT": "1936"}).is_good
    assert codes(checked(text, env={})) == ["invalid-value"]
    assert codes(checked(MINIMAL.replace("1935", "${env:RTMP_PORT:x}"))) == ["invalid-value"]


@pytest.mark.parametrize("text", ["<![CDATA[]]>", "<![CDATA[ ]]>", "&#32;", "&#160;", "&#10;", "x"])
def test_any_text_between_elements(text: str) -> None:
    """Whatever stands between elements is found, and never ends the check."""
    found = checked(MINIMAL.replace("<Publishers>", f"<Publishers>{text}", 1))
    assert codes(found) == ["stray-text"]


def test_numbers_beyond_all_bounds() -> None:
    """What no number can hold is read as 0 by the engine, and stays a text in JSON."""
    found = checked(MINIMAL.replace(">6<", f">{'1' * 400}<"))
    assert codes(found) == ["odd-value"]
    assert found.violations[0].hint == "the engine takes it as 0.0"


def test_what_is_new_since_a_base() -> None:
    """A duplicate stays the same one whatever comes between; a copy elsewhere is new."""
    twice = MINIMAL.replace("</Publishers>\n\t\t\t\t</Application>",
                            "</Publishers>\n\t\t\t\t<Publishers/></Application>")  # fmt: skip
    base = checked(twice)
    assert [v.code for v in base.violations] == ["duplicate-element"]
    longer = twice.replace("<LLHLS>", "<LLHLS>\n<ChunkDuration>0.5</ChunkDuration>", 1)
    older = base.snapshot
    source = Recorded({"Server.xml": longer.encode()})
    taken = Snapshot.take(source, folder=older.folder, env=older.env, like=older)
    assert check(taken, schema(), base).new_since(base) == ()
    start, end = twice.index("<VirtualHost>"), twice.index("</VirtualHost>")
    copy = twice[start:end].replace("default", "copy").replace("*", "copy.example")
    copied = twice[:end] + "</VirtualHost>" + copy + twice[end:]
    source = Recorded({"Server.xml": copied.encode()})
    taken = Snapshot.take(source, folder=older.folder, env=older.env, like=older)
    (new,) = check(taken, schema(), base).new_since(base)
    assert "VirtualHost[2]" in new.path


def test_blanks_that_lxml_takes_for_a_value() -> None:
    """A value of blanks is none to the engine: it is told, however the file came to be so."""
    text = MINIMAL.replace("<Name>app<", "<Name>\n<")
    whole = checked(text)
    since = check(whole.snapshot, schema(), checked(MINIMAL))
    assert [v.code for v in whole.violations] == [v.code for v in since.violations]
    assert "odd-value" in [v.code for v in whole.violations]
