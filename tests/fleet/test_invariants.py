"""What judges a fleet is judged itself: it sees each thing that must not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Commit, Fate, wrong_calls_of, wrong_commit
from tests.support.member import Call, Member

THERE = "<Application><Name>a1</Name></Application>"


def member_with(tmp_path: Path, text: str) -> Member:
    return Member(tmp_path / "m0", "m0", server_xml=text)


def calls(told: str) -> list[Call]:
    """As "create delete:failed create:begun": each is begun, and done unless it says otherwise."""
    found = []
    for each in told.split():
        action, _, state = each.partition(":")
        found.append(Call(0.0, "begun", action, "application", "default/a1"))
        if state != "begun":
            found.append(Call(0.0, state or "done", action, "application", "default/a1"))
    return found


@pytest.mark.parametrize(
    ("text", "told", "may", "wrong"),
    [
        (THERE, "create", 0, ""),
        ("", "", 0, ""),
        ("", "create delete", 0, ""),
        ("", "create:failed delete", 0, ""),
        (THERE, "create delete create", 1, ""),
        (THERE, "create:begun create", 1, ""),
        (THERE, "", 0, "in the file: True, runs: False"),
        ("", "create", 0, "in the file: False, runs: True"),
        ("", "create delete:failed", 0, "in the file: False, runs: True"),
        (THERE, "create create", 0, "created too often"),
        (THERE, "create delete create", 0, "created too often"),
        (THERE, "create delete create delete create", 1, "created too often"),
        ("", "create delete delete", 0, "deleted too often"),
        (THERE, "create restart", 0, "neither created nor deleted"),
    ],
)
def test_calls(tmp_path: Path, text: str, told: str, may: int, wrong: str) -> None:
    """Once is right, and once more for who was away."""
    commit = Commit("a1", "m0", Fate.MADE, 2)
    found = wrong_calls_of(member_with(tmp_path, text), commit, calls(told), may)
    assert bool(found) == bool(wrong)
    assert wrong in "".join(found)


def revision(number: int, message: str, author: str = "root", reverts: tuple[int, ...] = ()) -> Any:
    return {"number": number, "message": message, "author": author, "reverts": list(reverts)}


MADE = revision(2, "a1")
UNDONE = revision(3, "revert of 2", "omeconf", (2,))


@pytest.mark.parametrize(
    ("fate", "said", "text", "revisions", "wrong"),
    [
        (Fate.MADE, "200 ok", THERE, [MADE], ""),
        (Fate.MADE, "200 pending", "", [MADE, UNDONE], ""),
        (Fate.BACK, "502", "", [MADE, UNDONE], ""),
        (Fate.NOT, "409", "", [], ""),
        (Fate.UNKNOWN, "", "", [], ""),
        (Fate.UNKNOWN, "", THERE, [MADE], ""),
        (Fate.MADE, "200 ok", THERE, [], "is not revision 2"),
        (Fate.MADE, "200 ok", THERE, [revision(4, "a1")], "is not revision 2"),
        (Fate.MADE, "200 ok", THERE, [MADE, revision(4, "a1")], "was made 2 times"),
        (Fate.UNKNOWN, "", THERE, [MADE, revision(4, "a1")], "was made 2 times"),
        (Fate.MADE, "200 ok", "", [MADE], "nobody reverted it"),
        (Fate.MADE, "200 ok", "", [MADE, UNDONE], "was answered as confirmed"),
        (Fate.BACK, "502", "", [], "was taken back, and is"),
        (Fate.NOT, "409", "", [MADE, UNDONE], "was refused, and is"),
    ],
)
def test_commits(
    tmp_path: Path, fate: Fate, said: str, text: str, revisions: list[Any], wrong: str
) -> None:
    """What was answered is what has come of it."""
    commit = Commit("a1", "m0", fate, 2, said)
    numbered = {each["number"]: each for each in revisions}
    found = wrong_commit(member_with(tmp_path, text), commit, numbered)
    assert bool(found) == bool(wrong)
    assert wrong in "".join(found)
