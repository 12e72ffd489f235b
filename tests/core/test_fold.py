"""What of a file is folded, and what of it an edit leaves as it was."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from omeconf.core.check import check
from omeconf.core.document import Document, Splice
from omeconf.core.effective import EffectiveElement
from omeconf.core.fold import Folded, fold
from omeconf.core.mapping import to_json
from omeconf.core.parse import Parser
from omeconf.core.path import application
from omeconf.core.snapshot import Snapshot
from omeconf.store.sources import Recorded
from tests.support import MINIMAL, checked, schema

APP_PATH = application("default", "app")
APP = "<Application><Name>{}</Name><Type>live</Type></Application>"


def around(inside: str) -> bytes:
    return f"<Server><Applications>{inside}</Applications></Server>".encode()


def names(inside: str) -> list[list[str | None]]:
    """The names of the applications of each run."""
    found = fold(around(inside))
    assert found is not None
    return [list(run.names) for run in found.runs]


@pytest.mark.parametrize(
    ("inside", "runs"),
    [
        (APP.format("a"), [["a"]]),
        (APP.format("a") + "\n<!-- b is next -->\n" + APP.format("b"), [["a", "b"]]),
        (APP.format("a") + "<?pi ?> " + APP.format("b"), [["a", "b"]]),
        (APP.format("a") + " text " + APP.format("b"), [["a"], ["b"]]),
        (APP.format("a") + "<Nonsense/>" + APP.format("b"), [["a"], ["b"]]),
        (APP.format("a") + '<Application include="x"/>' + APP.format("b"), [["a"], ["b"]]),
        (APP.format("a") + "<!-- " + APP.format("b") + " -->", [["a"]]),
        (APP.format("a") + "<!-- <Application> -->" + APP.format("b"), [["a", "b"]]),
        ("<Application/>" + APP.format("b"), [["b"]]),
        ("<Application></Application>", [[None]]),
        ('<Application a=">"><Name>a</Name></Application>', []),
        ("<Application><Name>a</Name><Type ignore='true'>x</Type></Application>", []),
        ("<Application><Name>a</Name><Application/></Application>", [["a"]]),
        (
            "<Application><Name><![CDATA[</Application>]]></Name></Application>",
            [["</Application>"]],
        ),
        ("", []),
    ],
)
def test_what_is_folded(inside: str, runs: list[list[str | None]]) -> None:
    """Plain applications; what is odd about others, or between them, stays in the frame."""
    assert names(inside) == runs


@pytest.mark.parametrize(
    "inside",
    [
        APP.format("a")[:-1],
        APP.format("a") + "</Application>",
        "<Application>",
        "<Application><a></Application>",
    ],
)
def test_what_cannot_be(inside: str) -> None:
    """Then the parser tells what is wrong."""
    assert fold(around(inside)) is None


def test_an_application_elsewhere() -> None:
    """Only those in Applications are folded."""
    assert fold(f"<Server>{APP.format('a')}</Server>".encode()) is None


def test_what_an_edit_leaves() -> None:
    """The frame and all other applications are the same objects as before."""
    old = Document(around("\n".join(map(APP.format, "abc"))))
    at = old.data.index(b"live", old.data.index(b">b<"))
    new = old.splice((Splice(at, at + 4, b"dead"),))
    assert old.fold is not None
    assert new.fold is not None
    assert new.fold.frame is old.fold.frame
    before, after = list(old.fold.blocks), list(new.fold.blocks)
    assert [one is other for one, other in zip(before, after, strict=True)] == [True, False, True]
    assert new.patch_from(old)[0].new == b"dead"
    read_again = Document(new.data, like=old)
    assert read_again.fold is not None
    assert read_again.fold.frame is old.fold.frame
    assert read_again.fold.runs[0].blocks[0] is before[0]


def test_applications_that_moved_are_known_again() -> None:
    """What is known of an application goes with its bytes, not with its place."""
    old = Document(around("".join(map(APP.format, "abcd"))))
    new = Document(around("".join(map(APP.format, "dcab"))), like=old)
    assert old.fold is not None
    assert new.fold is not None
    known = {block.name: block for block in old.fold.blocks}
    assert all(block is known[block.name] for block in new.fold.blocks)


def test_only_what_was_edited_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the frame nor another application is read, checked or compared again."""
    text = MINIMAL.encode()
    before = checked(text)
    changed = text.replace(b">6<", b"><!-- --> 7<")
    parsed: list[bytes] = []
    real = Parser.parse

    def parse(self: Parser, data: bytes, encoding: str) -> object:
        parsed.append(data)
        return real(self, data, encoding)

    monkeypatch.setattr(Parser, "parse", parse)
    older = before.snapshot
    source = Recorded({"Server.xml": changed})
    taken = Snapshot.take(source, folder=older.folder, env=older.env, like=older)
    after = check(taken, schema(), before)
    assert after.violations == before.violations
    assert after.frame is before.frame
    (only,) = parsed
    assert only.startswith(b"<Application>")
    assert only.count(b"<Name>") == 1
    assert b"--> 7<" in only
    parsed.clear()
    again = Recorded({"Server.xml": changed.replace(b" 7<", b"12<")})
    check(Snapshot.take(again, folder=older.folder, env=older.env, like=taken), schema(), after)
    assert not parsed, "only one text is another"


def test_nothing_old_is_held() -> None:
    """A state that nobody holds is gone at once, whatever was looked into: files may be large."""
    gc.disable()
    try:
        found = checked(MINIMAL)
        assert found.root is not None
        node = found.root.find(APP_PATH)
        to_json(node)
        assert node.parent is not None
        assert [str(child.path) for child in node.children]
        gone = weakref.ref(found.snapshot.document("Server.xml"))
        del found, node
        assert gone() is None
    finally:
        gc.enable()


def test_several_threads_read_one_tree() -> None:
    """Whoever asks first, all get the same."""
    for _ in range(20):
        found = checked(MINIMAL)
        assert found.root is not None
        held = found.root.find(APP_PATH)
        assert isinstance(held.element, Folded)
        assert len(set(seen_by_four(found.root))) == 1


def seen_by_four(root: EffectiveElement) -> list[tuple[int, ...]]:
    """Which elements of an application four threads see that look into it at the same time."""
    barrier = threading.Barrier(4)
    seen: list[tuple[int, ...]] = []

    def look() -> None:
        barrier.wait()
        seen.append(tuple(id(child) for child in root.find(APP_PATH).descendants()))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen
