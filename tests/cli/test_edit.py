"""`omeconf edit` as somebody uses it: a real daemon, a script as the editor, a terminal."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import APP, LISTENING, app_path
from tests.support.daemon import Daemon, wait_for
from tests.support.editor import HOLD, Editor, command, edit, editing, sed
from tests.support.terminal import Terminal

GROUP = 54321
"""A user and group that nobody has."""
FIVE = sed("s/>6</>5</")
BROKEN = sed("s/<SegmentDuration>/<SegmentDuraton>/; s/<.SegmentDuration>/<\\/SegmentDuraton>/")
REPAIRED = sed("s/SegmentDuraton>/SegmentDuration>/g; s/>6</>5</")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path, LISTENING) as started:
        yield started


def number(daemon: Daemon) -> int:
    """The number of the newest revision."""
    found: int = daemon.status()["revision"]["head"]
    return found


# -- good ------------------------------------------------------------------------------------------


def test_a_good_edit(daemon: Daemon, tmp_path: Path) -> None:
    """The diff and the plan are shown, it is asked, and nothing but the edit is written."""
    editor, before = Editor(tmp_path, FIVE), daemon.text
    with editing(daemon, editor, "default/app", "-m", "shorter") as terminal:
        terminal.expect("+\t\t\t\t\t\t\t<SegmentDuration>5</SegmentDuration>")
        terminal.expect("restart application default/app")
        terminal.expect("Commit this?")
        terminal.send("y\n")
        terminal.expect("revision 2: the engine runs it")
        assert terminal.ends() == 0
    assert daemon.text == before.replace(">6<", ">5<")
    assert daemon.get("/omeconf/v1/revisions/2")["message"] == "shorter"
    assert editor.kept == []


@pytest.mark.long
def test_what_the_editor_gets(daemon: Daemon, tmp_path: Path) -> None:
    """An element comes as it is in the file, in a file named *.xml that only its owner may read."""
    editor, before = Editor(tmp_path, "true"), daemon.text
    run = edit(daemon, editor, "app")
    assert (run.returncode, run.stdout) == (0, "")
    assert "nothing changed" in run.stderr
    start, end = before.index("\t\t\t\t<Application>"), before.index("</Application>\n")
    assert editor.told("given") == before[start:end] + "</Application>\n"
    assert editor.told("called").strip().endswith("/app.xml")
    assert editor.told("modes").split() == ["600", "700"]
    assert editor.kept == []
    assert number(daemon) == 1


@pytest.mark.long
def test_the_whole_file(daemon: Daemon, tmp_path: Path) -> None:
    """Without a name it is all of Server.xml, byte for byte."""
    editor, before = Editor(tmp_path, FIVE), daemon.text
    run = edit(daemon, editor, "--yes", "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["revision"] == 2
    assert json.loads(run.stdout)["reload"] == "ok"
    assert editor.told("given") == before
    assert editor.told("called").strip().endswith("/Server.xml")
    assert daemon.text == before.replace(">6<", ">5<")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("Bind/Providers", "\t\t<Providers>"),
        ("/Server/Bind", "\t<Bind>"),
        ("Server/Bind/Publishers", "<Publishers >"),
        (app_path("other"), "\t\t\t\t<Application>"),
    ],
)
def test_any_element(daemon: Daemon, tmp_path: Path, name: str, begins: str) -> None:
    """By its path from Server down; indented if nothing else is before it on its line."""
    editor, before = Editor(tmp_path, sed("s/<.[A-Za-z]* *>$/<!-- ü -->&/; $!b")), daemon.text
    run = edit(daemon, editor, name, "--yes")
    assert run.returncode == 0, run.stderr
    assert editor.told("given").startswith(begins)
    comment = "<!-- ü -->"
    assert daemon.text != before
    assert daemon.text.replace(comment, "") == before


@pytest.mark.long
def test_names_that_are_not_clear(daemon: Daemon, tmp_path: Path) -> None:
    """What is not there, or is there twice, is told, and no editor is opened."""
    host = daemon.text[daemon.text.index("<VirtualHost>") : daemon.text.index("</VirtualHosts>")]
    other = host.replace(">default<", ">second<").replace(">*<", ">b.example<")
    daemon.write(daemon.text.replace("</VirtualHosts>", f"{other}</VirtualHosts>"))
    wait_for(lambda: number(daemon) == 2, "the manual edit")
    editor = Editor(tmp_path, "true", "true")
    for name, text in (
        ("app", "there are default/app and second/app: say which"),
        ("none", 'there is no application "none"'),
        ("default/none", 'there is no application "default/none"'),
        ("Bind/Nowhere", "no element /Server/Bind/Nowhere"),
    ):
        run = edit(daemon, editor, name)
        assert run.returncode == 2, name
        assert text in run.stderr
    assert edit(daemon, editor, "app", "--file", "x").returncode == 2
    assert editor.calls == 0
    assert edit(daemon, editor, "second/app").returncode == 0


@pytest.mark.long
def test_dry_run(daemon: Daemon, tmp_path: Path) -> None:
    """It shows what it would do, and keeps the text, since nothing else has it."""
    editor, before = Editor(tmp_path, FIVE), daemon.text
    run = edit(daemon, editor, "app", "--dry-run")
    assert run.returncode == 0, run.stderr
    assert "+\t\t\t\t\t\t\t<SegmentDuration>5<" in run.stdout
    assert "restart application default/app" in run.stderr
    assert str(editor.kept[0]) in run.stderr
    assert editor.kept[0].read_text() == editor.told("given").replace(">6<", ">5<")
    assert (daemon.text, number(daemon)) == (before, 1)


@pytest.mark.long
def test_message_and_edit_again(daemon: Daemon, tmp_path: Path) -> None:
    """At the question, a message can be given, and the editor be opened again on the same text."""
    editor = Editor(tmp_path, FIVE, sed("s/>5</>4</"))
    with editing(daemon, editor, "app") as terminal:
        terminal.expect("Commit this?")
        terminal.send("m\n")
        terminal.expect("Message")
        terminal.send("kürzer\n")
        terminal.expect("Commit this?")
        terminal.send("e\n")
        terminal.expect(">4<")
        terminal.expect("Commit this?")
        terminal.send("y\n")
        assert terminal.ends() == 0
    assert ">5<" in editor.told("given", 2)
    assert daemon.get("/omeconf/v1/revisions/2")["message"] == "kürzer"


@pytest.mark.long
def test_confirm(daemon: Daemon, tmp_path: Path) -> None:
    """With a deadline it says how it is kept; then others wait for that before they edit."""
    editor = Editor(tmp_path, FIVE)
    run = edit(daemon, editor, "app", "--yes", "--confirm", "60")
    assert run.returncode == 0, run.stderr
    assert "unless you say `omeconf confirm`" in run.stderr
    run = edit(daemon, editor, "app", "--yes")
    assert run.returncode == 4
    assert "confirm" in run.stderr
    assert editor.calls == 1


# -- not good --------------------------------------------------------------------------------------


def test_an_error_is_repaired(daemon: Daemon, tmp_path: Path) -> None:
    """It is shown with its line in the edited text, and the editor is opened there again."""
    editor, before = Editor(tmp_path, BROKEN, REPAIRED, name="vi"), daemon.text
    with editing(daemon, editor, "app") as terminal:
        terminal.expect("app.xml:6:9: error: <SegmentDuraton> is not known in <LLHLS>")
        terminal.expect("6 | <SegmentDuraton>6</SegmentDuraton>")
        terminal.expect("^~~~~~~~~~~~~~")
        terminal.expect("did you mean <SegmentDuration>?")
        terminal.expect("What now?")
        terminal.send("d\n")
        terminal.expect("<SegmentDuraton>")
        terminal.expect("What now?")
        terminal.send("e\n")
        terminal.expect("Commit this?")
        terminal.send("y\n")
        assert terminal.ends() == 0
    assert editor.told("called", 1).startswith("/")
    assert editor.told("called", 2).startswith("+6 /")
    assert "SegmentDuraton" in editor.told("given", 2)
    assert daemon.text == before.replace(">6<", ">5<")
    assert editor.kept == []


@pytest.mark.long
def test_an_error_and_quit(daemon: Daemon, tmp_path: Path) -> None:
    """The text is kept and named, nothing is committed, and the exit status says so."""
    editor, before = Editor(tmp_path, BROKEN), daemon.text
    with editing(daemon, editor) as terminal:
        line = before[: before.index("<SegmentDuration>")].count("\n") + 1
        terminal.expect(f"Server.xml:{line}:9: error: <SegmentDuraton> is not known")
        terminal.expect("What now?")
        terminal.send("q\n")
        terminal.expect("your text is kept in ")
        assert terminal.ends() == 1
    assert "SegmentDuraton" in editor.kept[0].read_text()
    assert editor.kept[0].stat().st_mode & 0o777 == 0o600
    assert (daemon.text, number(daemon)) == (before, 1)


WRONG = {
    "error": (BROKEN, "app.xml:6:9: error:"),
    "new warning": (sed("s/>6</>6s</"), "app.xml:6:25: warning:"),
    "not well-formed": (sed("s/<.LLHLS>/<\\/LLHL>/"), "app.xml:7:"),
    "first line": (sed("1s/<Application>/&<Foo\\/>/"), "app.xml:1:19: error: <Foo> is not known"),
    "another element": (sed("s/Application>/App>/"), "one <Application> is wanted"),
    "empty": (': > "$file"', "app.xml:1:"),
    "a name that is taken": (sed("s/>app</>other</"), ": error:"),
}
"""Steps, and what is told of them."""


@pytest.mark.long
def test_nobody_can_be_asked(daemon: Daemon, tmp_path: Path) -> None:
    """Without a terminal nothing waits: what is wrong is told, and the text kept."""
    before = daemon.text
    for name, (step, text) in WRONG.items():
        editor = Editor(tmp_path, step, name=name.replace(" ", "-"))
        run = edit(daemon, editor, "app", "--yes")
        assert run.returncode == 1, name
        assert text in run.stderr
        assert "nobody can be asked here" in run.stderr
        assert str(editor.kept[0]) in run.stderr
        assert "Traceback" not in run.stderr
    assert (daemon.text, number(daemon)) == (before, 1)


@pytest.mark.long
def test_a_good_edit_and_nobody_to_ask(daemon: Daemon, tmp_path: Path) -> None:
    """Without --yes and without a terminal nothing is committed, and --yes is named."""
    editor = Editor(tmp_path, FIVE)
    run = edit(daemon, editor, "app")
    assert run.returncode == 2
    assert "give --yes" in run.stderr
    assert ">5<" in editor.kept[0].read_text()
    assert number(daemon) == 1


@pytest.mark.long
def test_no(daemon: Daemon, tmp_path: Path) -> None:
    """Who does not want it after all has the text still."""
    editor = Editor(tmp_path, FIVE)
    with editing(daemon, editor, "app") as terminal:
        terminal.expect("Commit this?")
        terminal.send("n\n")
        terminal.expect("your text is kept in ")
        assert terminal.ends() == 1
    assert ">5<" in editor.kept[0].read_text()
    assert number(daemon) == 1


@pytest.mark.long
def test_interrupted(daemon: Daemon, tmp_path: Path) -> None:
    """Ctrl-C at the question, or while the editor is open, commits nothing and keeps the text."""
    for name, step in (("asked", FIVE), ("open", f"{FIVE}; {HOLD}")):
        editor = Editor(tmp_path, step, name=name)
        with editing(daemon, editor, "app") as terminal:
            if name == "asked":
                terminal.expect("Commit this?")
                terminal.expect(": ")
                assert terminal.interrupt() == 130
            else:
                editor.is_open()
                terminal.send("\x03")
                assert terminal.ends() == 130
            terminal.expect("your text is kept in ")
            assert "Traceback" not in terminal.shown
        assert ">5<" in editor.kept[0].read_text()
    assert number(daemon) == 1


@pytest.mark.long
def test_the_editor_fails(daemon: Daemon, tmp_path: Path) -> None:
    """Nothing is committed; what was written is kept, and what was not leaves no file."""
    for name, step, is_kept in (
        ("after", f"{FIVE}; exit 3", True),
        ("before", "exit 3", False),
        ("gone", 'rm "$file"', False),
    ):
        editor = Editor(tmp_path, step, name=name)
        run = edit(daemon, editor, "app", "--yes")
        assert run.returncode == 1, name
        assert "nothing is committed" in run.stderr
        assert ("is kept in" in run.stderr) is is_kept
        assert bool(editor.kept) is is_kept
    assert number(daemon) == 1


@pytest.mark.long
def test_an_editor_that_is_not_there(daemon: Daemon, tmp_path: Path) -> None:
    """What cannot be run is named, without a traceback."""
    editor = Editor(tmp_path)
    for made in (editor.folder / "none", '"'):
        editor.script = Path(made)
        run = edit(daemon, editor, "app")
        assert run.returncode == 1
        assert "nothing is committed" in run.stderr
        assert "Traceback" not in run.stderr
    assert editor.kept == []


@pytest.mark.long
def test_no_editor_at_all(daemon: Daemon, tmp_path: Path) -> None:
    """Where none is named and none is found, it is said how to name one."""
    nowhere = {"PATH": "/nowhere", "EDITOR": "", "OMECONF_SOCKET": str(daemon.socket)}
    with Terminal(command("app"), {**Editor(tmp_path).environment, **nowhere}) as terminal:
        terminal.expect("no editor is found: set EDITOR")
        assert terminal.ends() == 2


@pytest.mark.long
def test_a_disk_that_is_full(daemon: Daemon, tmp_path: Path) -> None:
    """If the text cannot be written for the editor, that is told, and the editor is not opened."""
    editor = Editor(tmp_path, FIVE)
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command("app")]
    environment = {**editor.environment, "OMECONF_SOCKET": str(daemon.socket)}
    with Terminal(limited, environment) as terminal:
        terminal.expect("cannot write the text for the editor: ")
        terminal.expect("TMPDIR names another folder")
        assert terminal.ends() == 2
    assert editor.calls == 0
    assert "Traceback" not in terminal.shown


@pytest.mark.long
def test_a_reload_that_fails(daemon: Daemon, tmp_path: Path) -> None:
    """What is taken back since the engine does not take it is kept as text."""
    (tmp_path / "fail").touch()
    editor, before = Editor(tmp_path, FIVE), daemon.text
    run = edit(daemon, editor, "app", "--yes")
    assert run.returncode == 5
    assert "told to fail" in run.stderr
    assert ">5<" in editor.kept[0].read_text()
    assert daemon.text == before


@pytest.mark.long
def test_a_closed_pipe(daemon: Daemon, tmp_path: Path) -> None:
    """If whoever read the diff is gone, nothing is committed and the text is kept."""
    editor = Editor(tmp_path, FIVE)
    reading, writing = os.pipe()
    os.close(reading)
    run = edit(daemon, editor, "app", "--yes", stdout=writing)
    os.close(writing)
    assert run.returncode == 141
    assert str(editor.kept[0]) in run.stderr
    assert "Traceback" not in run.stderr
    assert number(daemon) == 1


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")
def test_a_member_of_the_group() -> None:
    """May edit applications; that the rest is not theirs is told before the editor is opened."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        with Daemon(folder, LISTENING) as daemon:
            os.chown(daemon.socket, 0, GROUP)
            editor = Editor(folder, FIVE)
            for each in (editor.folder, editor.drafts):
                os.chown(each, GROUP, GROUP)
            before = daemon.text
            for what in ((), ("Bind",)):
                run = edit(daemon, editor, *what, "--yes", user=GROUP)
                assert run.returncode == 1, run.stderr
                assert "this needs the role admin; below the virtual hosts write" in run.stderr
            assert editor.calls == 0
            run = edit(daemon, editor, "app", "--yes", user=GROUP)
            assert run.returncode == 0, run.stderr
            assert daemon.text == before.replace(">6<", ">5<")


# -- somebody else ---------------------------------------------------------------------------------


@pytest.mark.long
def test_an_edit_elsewhere_in_the_file(daemon: Daemon, tmp_path: Path) -> None:
    """It is merged into the whole file: both stand in it, and who did the other is told."""
    editor, before = Editor(tmp_path, f"{HOLD}{FIVE}"), daemon.text
    with editing(daemon, editor) as terminal:
        editor.is_open()
        assert daemon.call("DELETE", "/v1/vhosts/default/apps/other").status == 200
        theirs = daemon.text
        editor.go()
        terminal.expect("it was changed meanwhile:")
        terminal.expect("revision 2, ")
        terminal.expect("removed default/other")
        terminal.expect("<Name>other</Name>")
        terminal.expect("put on top of that")
        shown = terminal.expect("Commit this?")
        assert ">5<" in shown
        assert "other" not in shown.partition("--- a/")[2].replace("default/other", "")
        terminal.send("y\n")
        assert terminal.ends() == 0
    assert theirs != before
    assert daemon.text == theirs.replace(">6<", ">5<")
    assert editor.calls == 1


@pytest.mark.long
def test_an_edit_beside_the_element(daemon: Daemon, tmp_path: Path) -> None:
    """What is changed beside the element is no concern of it, but its errors are where they are."""
    editor = Editor(tmp_path, f"{HOLD}{BROKEN}", REPAIRED)
    with editing(daemon, editor, "app", "--yes") as terminal:
        editor.is_open()
        body = {"edits": [{"verb": "merge", "path": "/Server/Bind", "value": {
            "providers": {"srt": {"port": 9999}}}}]}  # fmt: skip
        assert daemon.call("POST", "/omeconf/v1/transactions", body).status == 200
        theirs = daemon.text
        editor.go()
        terminal.expect("app.xml:6:9: error: <SegmentDuraton>")
        terminal.expect("What now?")
        terminal.send("e\n")
        terminal.expect("revision 3")
        assert terminal.ends() == 0
    assert "meanwhile" not in terminal.shown
    assert daemon.text == theirs.replace(">6<", ">5<")


@pytest.mark.long
def test_an_edit_elsewhere_in_the_element(daemon: Daemon, tmp_path: Path) -> None:
    """It is merged, and with --yes committed without a question."""
    editor = Editor(tmp_path, f"{HOLD}{FIVE}")
    with editing(daemon, editor, "app", "--yes") as terminal:
        editor.is_open()
        assert daemon.call("PATCH", APP, {"type": "vod"}).status == 200
        theirs = daemon.text
        editor.go()
        terminal.expect("default/app")
        terminal.expect("+\t\t\t\t\t<Type>vod")
        terminal.expect("revision 3")
        assert terminal.ends() == 0
    assert "<Type>vod<" in theirs
    assert daemon.text == theirs.replace(">6<", ">5<")


def test_an_edit_of_the_same_line(daemon: Daemon, tmp_path: Path) -> None:
    """Both are put into the text between marks; it is taken once these are gone, not before."""
    decided = "/^<<<<<<</d; /^|||||||/,/^>>>>>>>/d"
    editor = Editor(tmp_path, f"{HOLD}{FIVE}", "true", sed(decided), name="vim")
    with editing(daemon, editor, "app") as terminal:
        editor.is_open()
        change = {"publishers": {"llhls": {"segmentDuration": 3}}}
        assert daemon.call("PATCH", APP, change).status == 200
        theirs = daemon.text
        editor.go()
        terminal.expect("you both changed the same lines: see line 6")
        terminal.expect("What now?")
        terminal.send("e\n")
        terminal.expect("marks of a conflict are left, in line 6, 8, 10, 12")
        terminal.send("e\n")
        terminal.expect("Commit this?")
        terminal.send("y\n")
        assert terminal.ends() == 0
    given, tabs = editor.told("given", 2), "\t" * 7
    assert (
        "<<<<<<< yours\n"
        f"{tabs}<SegmentDuration>5</SegmentDuration>\n"
        "||||||| before\n"
        f"{tabs}<SegmentDuration>6</SegmentDuration>\n"
        "=======\n"
        f"{tabs}<SegmentDuration>3</SegmentDuration>\n"
        ">>>>>>> theirs, revision 2\n"
    ) in given
    assert editor.told("called", 2).startswith("+6 ")
    assert daemon.text == theirs.replace(">3<", ">5<")
    assert editor.kept == []


@pytest.mark.long
def test_the_same_edit_by_both(daemon: Daemon, tmp_path: Path) -> None:
    """Whoever comes second has nothing to commit."""
    editor = Editor(tmp_path, f"{HOLD}{FIVE}")
    with editing(daemon, editor, "app") as terminal:
        editor.is_open()
        change = {"publishers": {"llhls": {"segmentDuration": 5}}}
        assert daemon.call("PATCH", APP, change).status == 200
        editor.go()
        terminal.expect("it was changed meanwhile:")
        terminal.expect("nothing changed")
        assert terminal.ends() == 0
    assert (number(daemon), editor.kept) == (2, [])


@pytest.mark.long
def test_a_conflict_and_nobody_to_ask(daemon: Daemon, tmp_path: Path) -> None:
    """The text is kept with the marks, and the exit status is that of who comes too late."""
    editor = Editor(tmp_path, "sed -i 's/>6</>3</' \"$CONF\"\n" + FIVE)
    editor.script.write_text(editor.script.read_text().replace("$CONF", str(daemon.server_xml)))
    run = edit(daemon, editor, "app", "--yes")
    assert run.returncode == 4, run.stderr
    assert "you both changed the same lines" in run.stderr
    assert "<<<<<<< yours" in editor.kept[0].read_text()
    assert ">3<" in daemon.text
    assert "Traceback" not in run.stderr


@pytest.mark.long
def test_a_manual_edit_meanwhile(daemon: Daemon, tmp_path: Path) -> None:
    """What somebody saves by hand is a revision like another, and merged."""
    editor = Editor(tmp_path, f"{HOLD}{FIVE}")
    with editing(daemon, editor, "--yes") as terminal:
        editor.is_open()
        theirs = daemon.text.replace("<Name>other<", "<Name>another<")
        daemon.write(theirs)
        editor.go()
        terminal.expect("revision 2, file")
        terminal.expect("revision 3")
        assert terminal.ends() == 0
    assert daemon.text == theirs.replace(">6<", ">5<")


@pytest.mark.long
def test_a_broken_file_meanwhile(daemon: Daemon, tmp_path: Path) -> None:
    """It is told, with its error; once it is repaired, trying again does it."""
    editor, before = Editor(tmp_path, f"{HOLD}{FIVE}"), daemon.text
    with editing(daemon, editor, "app") as terminal:
        editor.is_open()
        daemon.write(before.replace("<Name>other<", "<Nmae>other<"))
        editor.go()
        terminal.expect("was edited by hand and has")
        terminal.expect("What now?")
        terminal.send("t\n")
        terminal.expect("was edited by hand and has")
        terminal.expect("What now?")
        daemon.write(before)
        terminal.send("t\n")
        terminal.expect("Commit this?")
        terminal.send("y\n")
        assert terminal.ends() == 0
    assert daemon.text == before.replace(">6<", ">5<")


@pytest.mark.long
def test_hold_meanwhile(daemon: Daemon, tmp_path: Path) -> None:
    """While files are held nothing is committed; quitting keeps the text, with exit status 4."""
    editor = Editor(tmp_path, f"{HOLD}{FIVE}", "true")
    with editing(daemon, editor, "app") as terminal:
        editor.is_open()
        assert daemon.cli("hold", "ansible").returncode == 0
        editor.go()
        terminal.expect("ansible")
        terminal.expect("What now?")
        terminal.send("q\n")
        assert terminal.ends() == 4
    assert ">5<" in editor.kept[0].read_text()
    run = edit(daemon, editor, "app")
    assert (run.returncode, editor.calls) == (4, 1), "no editor is opened to no purpose"
    assert "`omeconf resume`" in run.stderr


@pytest.mark.long
@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_an_application_that_is_gone(daemon: Daemon, tmp_path: Path, how: str) -> None:
    """It is told, the text is kept, and the application does not come back."""
    editor = Editor(tmp_path, f"{HOLD}{FIVE}")
    with editing(daemon, editor, "app", "--yes") as terminal:
        editor.is_open()
        if how == "deleted":
            assert daemon.call("DELETE", APP).status == 200
        else:
            daemon.write(daemon.text.replace("<Name>app<", "<Name>live<"))
        theirs = daemon.text
        editor.go()
        terminal.expect("it was deleted or renamed meanwhile")
        assert terminal.ends() == 4
    assert ">5<" in editor.kept[0].read_text()
    assert daemon.text == theirs


@pytest.mark.long
def test_by_its_place(daemon: Daemon, tmp_path: Path) -> None:
    """What is named by its place is that element still when one before it is gone meanwhile."""
    place = "VirtualHosts/VirtualHost[default]/Applications/Application[2]"
    editor = Editor(tmp_path, f"{HOLD}{sed('s/live/vod/')}")
    with editing(daemon, editor, place, "--yes") as terminal:
        editor.is_open()
        assert daemon.call("DELETE", APP).status == 200
        editor.go()
        assert terminal.ends() == 0
    assert "<Name>other</Name>\n\t\t\t\t\t<Type>vod</Type>" in daemon.text


@pytest.mark.long
def test_two_at_once(daemon: Daemon, tmp_path: Path) -> None:
    """Of two who edit at once both are done."""
    one = Editor(tmp_path, f"{HOLD}{FIVE}", name="one")
    other = Editor(tmp_path, HOLD + sed("s/<Type>live/<Type>vod/"), name="other")
    with editing(daemon, one, "app", "--yes") as mine, editing(daemon, other, "--yes") as theirs:
        one.is_open()
        other.is_open()
        before = daemon.text
        other.go()
        assert theirs.ends() == 0
        one.go()
        assert mine.ends() == 0
        assert "put on top of that" in mine.shown
    assert daemon.text == before.replace(">6<", ">5<").replace("<Type>live", "<Type>vod")
    assert number(daemon) == 3


@pytest.mark.long
def test_only_on_the_base(daemon: Daemon, tmp_path: Path) -> None:
    """With --base nothing is merged: exit status 4, also before the editor is opened."""
    editor = Editor(tmp_path, f"{HOLD}{FIVE}")
    with editing(daemon, editor, "app", "--base", "1", "--yes") as terminal:
        editor.is_open()
        assert daemon.call("DELETE", "/v1/vhosts/default/apps/other").status == 200
        editor.go()
        terminal.expect("revision 1 is not the newest any more")
        assert terminal.ends() == 4
    assert ">5<" in editor.kept[0].read_text()
    assert edit(daemon, editor, "app", "--base", "1").returncode == 4
    assert editor.calls == 1


@pytest.mark.long
def test_the_daemon_is_away(daemon: Daemon, tmp_path: Path) -> None:
    """At save: the text is kept, exit status 3. Before: no editor is opened."""
    editor = Editor(tmp_path, f"{HOLD}{FIVE}", "true")
    with editing(daemon, editor, "app", "--yes") as terminal:
        editor.is_open()
        daemon.stop()
        editor.go()
        terminal.expect("your text is kept in ")
        terminal.expect("cannot reach the daemon")
        assert terminal.ends() == 3
    assert ">5<" in editor.kept[0].read_text()
    run = edit(daemon, editor, "app")
    assert (run.returncode, editor.calls) == (3, 1)
    assert "cannot reach the daemon" in run.stderr


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "made",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("<Type>origin", "<!-- Größe 直播 --><Type>origin"),
    ],
    ids=["CRLF", "no line end at the end", "BOM", "UTF-8"],
)
def test_every_other_byte_stays(tmp_path: Path, made: Any) -> None:
    """Whatever the file is like, it is like that afterwards, also if the editor ends every line."""
    ends = 'tail -c1 "$file" | grep -q . && echo >> "$file"; true'
    with Daemon(tmp_path, made(LISTENING)) as daemon:
        editor, before = Editor(tmp_path, f"{FIVE}; {ends}", sed("s/>5</>4</")), daemon.text
        run = edit(daemon, editor, "--yes")
        assert run.returncode == 0, run.stderr
        assert daemon.text == before.replace(">6<", ">5<")
        run = edit(daemon, editor, "app", "--yes")
        assert run.returncode == 0, run.stderr
        assert daemon.text == before.replace(">6<", ">4<")


@pytest.mark.long
def test_an_editor_that_knows_one_line_end_only(tmp_path: Path) -> None:
    """An element of a file with CRLF has them again, if the editor took all of them away."""
    with Daemon(tmp_path, LISTENING.replace("\n", "\r\n")) as daemon:
        away = "sed -i 's/\\r$//' \"$file\""
        editor, before = Editor(tmp_path, f"{away}; {FIVE}", away), daemon.text
        assert edit(daemon, editor, "app", "--yes").returncode == 0
        assert daemon.text == before.replace(">6<", ">5<")
        assert "nothing changed" in edit(daemon, editor, "app").stderr


@pytest.mark.long
def test_an_editor_that_only_ends_the_last_line(tmp_path: Path) -> None:
    """Nothing has changed then, and nothing is committed."""
    with Daemon(tmp_path, LISTENING.rstrip("\n")) as daemon:
        editor, before = Editor(tmp_path, 'echo >> "$file"'), daemon.text
        run = edit(daemon, editor, "--yes", "--json")
        assert json.loads(run.stdout) == {"revision": None, "reload": "none"}
        assert (daemon.text, number(daemon), editor.kept) == (before, 1, [])


@pytest.mark.long
def test_an_included_file(tmp_path: Path) -> None:
    """--file names it; its errors are shown as its own; elements in it have their names as ever."""
    start, end = LISTENING.index("<VirtualHost>"), LISTENING.index("</VirtualHost>")
    host = LISTENING[start : end + len("</VirtualHost>")]
    made = Daemon(tmp_path, LISTENING.replace(host, '<VirtualHost include="vh/*.xml"/>'))
    (made.conf / "vh").mkdir()
    included = made.conf / "vh/a.xml"
    included.write_text(f"<!-- a -->\n{host}\n")
    with made as daemon:
        editor = Editor(tmp_path, BROKEN, FIVE, BROKEN, sed("s/>5</>4</"))
        main = daemon.text
        run = edit(daemon, editor, "--file", "vh/a.xml", "--yes")
        assert run.returncode == 1
        assert "vh/a.xml:11:9: error: <SegmentDuraton>" in run.stderr
        run = edit(daemon, editor, "--file", "vh/a.xml", "--yes")
        assert run.returncode == 0, run.stderr
        assert included.read_text() == f"<!-- a -->\n{host}\n".replace(">6<", ">5<")
        run = edit(daemon, editor, "default/app", "--yes")
        assert "app.xml:6:9: error: <SegmentDuraton>" in run.stderr
        assert editor.told("given", 3).startswith("\t\t\t\t<Application>")
        assert edit(daemon, editor, "default/app", "--yes").returncode == 0
        assert included.read_text() == f"<!-- a -->\n{host}\n".replace(">6<", ">4<")
        assert daemon.text == main
        run = edit(daemon, editor, "--file", "none.xml")
        assert run.returncode == 1
        assert "none.xml is not a file of this configuration" in run.stderr
    assert editor.calls == 4
