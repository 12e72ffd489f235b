from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.console.conftest import ORIGIN
from tests.console.page import Console
from tests.support.daemon import Daemon, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Locator


def find(editor: Locator, text: str) -> None:
    """Put the cursor behind a text, by the search of the editor."""
    editor.press("Control+f")
    page = editor.page
    page.get_by_placeholder("Find").press_sequentially(text)
    page.get_by_placeholder("Find").press("Enter")
    page.get_by_placeholder("Find").press("Escape")
    editor.press("ArrowRight")


def test_check_while_typing(console: Console) -> None:
    """What is wrong is underlined while it is written, at its place, and says why."""
    console.sign_in()
    editor = console.to_xml()
    find(editor, "<SegmentCount>8")
    editor.press("Backspace")
    editor.press_sequentially("2")
    mark = editor.locator(".cm-lintRange-warning")
    mark.wait_for()
    assert mark.inner_text() == "2"
    mark.hover()
    console.page.locator(".cm-diagnostic").wait_for()
    assert "3" in console.page.locator(".cm-diagnostic").inner_text()
    editor.press("Backspace")
    editor.press("8")
    mark.wait_for(state="detached")


def test_completion(console: Console, daemon: Daemon) -> None:
    """Elements that may stand here are offered, with what they are; so are the values of one."""
    console.sign_in()
    editor = console.to_xml("radio")
    find(editor, "<SegmentCount>5</SegmentCount>")
    editor.press_sequentially("<OriginM")
    options = console.page.get_by_role("option")
    options.first.wait_for()
    assert "OriginMode" in options.first.inner_text()
    assert all("OutputProfile" not in each for each in options.all_inner_texts())
    options.first.click()
    editor.press_sequentially("f")
    console.page.get_by_role("option", name="false").click()
    console.save()
    assert "<OriginMode>false</OriginMode>" in daemon.text


def test_save_an_element(console: Console, daemon: Daemon) -> None:
    """An application is saved as it is written here, comments and all; all else stays."""
    before = daemon.text
    console.sign_in()
    editor = console.to_xml()
    find(editor, "<SegmentCount>8")
    editor.press("Backspace")
    editor.press_sequentially("12")
    find(editor, "</SegmentCount>")
    editor.press_sequentially("<!-- two minutes -->")
    console.save("longer")
    old = "<SegmentCount>8</SegmentCount>"
    assert daemon.text == before.replace(old, "<SegmentCount>12</SegmentCount><!-- two minutes -->")
    assert daemon.calls == ["restart application default/app"]


def test_conflict(console: Console, daemon: Daemon) -> None:
    """Lines that somebody else changed meanwhile stay, mine are put on top of them, and the result
    is looked at before it is saved.
    """
    console.sign_in()
    editor = console.to_xml()
    find(editor, "<SegmentCount>8")
    editor.press_sequentially("0")
    other = {"publishers": {"llhls": {"partHoldBack": 2.5}}}
    assert daemon.call("PATCH", "/v1/vhosts/default/apps/app", other).status == 200
    console.page.get_by_text("The application app was changed meanwhile.").wait_for()
    theirs = console.page.locator(".panel").filter(has_text="Theirs, against what you loaded")
    yours = console.page.locator(".panel").filter(has_text="Yours, against what you loaded")
    assert "<PartHoldBack>2.5" in theirs.inner_text()
    assert "<SegmentCount>80" in yours.inner_text()
    console.button("Put mine on top").click()
    console.save()
    assert "<SegmentCount>80</SegmentCount>" in daemon.text
    assert "<PartHoldBack>2.5</PartHoldBack>" in daemon.text


def test_unsaved_after_a_failed_reload(console: Console, daemon: Daemon) -> None:
    """If the reload fails and the change is taken back, what was written is still in the editor."""
    (daemon.base / "fail").touch()
    console.sign_in()
    editor = console.to_xml()
    find(editor, "<SegmentCount>8")
    editor.press_sequentially("0")
    dialog = console.review()
    dialog.get_by_role("button", name="Save", exact=True).click()
    dialog.get_by_text("the change was taken back").wait_for()
    dialog.get_by_role("button", name="Close").click()
    assert "<SegmentCount>80" in editor.inner_text()
    assert console.button("Review and save").is_visible()
    (daemon.base / "fail").unlink()
    console.save()
    assert "<SegmentCount>80</SegmentCount>" in daemon.text


def test_discard(console: Console) -> None:
    """What was written is taken back, to what was loaded."""
    console.sign_in()
    editor = console.to_xml("radio")
    before = editor.inner_text()
    editor.press_sequentially("0123456789")
    assert editor.inner_text() == f"0123456789{before}"
    console.button("Discard").click()
    wait_for(lambda: editor.inner_text() == before)


def test_whole_file(console: Console, daemon: Daemon) -> None:
    """A whole file is edited and saved, with what is wrong underlined."""
    before = daemon.text
    console.sign_in().go("files")
    editor = console.editor("Server.xml")
    find(editor, "<SegmentCount>8")
    editor.press_sequentially("0")
    console.save("ten times as many")
    assert daemon.text == before.replace("<SegmentCount>8<", "<SegmentCount>80<")


def test_leaving(console: Console) -> None:
    """What is not saved is not left without a question."""
    console.sign_in()
    editor = console.to_xml()
    find(editor, "<SegmentCount>8")
    editor.press_sequentially("0")
    wait_for(lambda: "<SegmentCount>80" in editor.inner_text(), "what was typed")
    asked: list[str] = []

    def no(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    console.page.once("dialog", no)
    console.page.get_by_role("link", name="History", exact=True).click()

    def is_asked() -> list[str]:
        console.page.wait_for_timeout(10)  # else the browser is not heard
        return asked

    wait_for(is_asked, "the question")
    assert "<SegmentCount>80" in editor.inner_text()
    console.page.once("dialog", lambda dialog: dialog.accept())
    console.page.get_by_role("link", name="History", exact=True).click()
    console.page.get_by_role("heading", name="History").wait_for()


def test_included_file(console: Console, daemon: Daemon) -> None:
    """A file that is included has a place of its own, and is checked, too."""
    host = ORIGIN.index("\t\t<VirtualHost>")
    end = ORIGIN.index("</VirtualHost>", host) + len("</VirtualHost>")
    (daemon.conf / "studio.xml").write_text(ORIGIN[host:end].strip())
    include = '\t\t<VirtualHost include="studio.xml"/>'
    daemon.write(daemon.text.replace(ORIGIN[host:end], include))
    wait_for(lambda: daemon.status()["revision"]["head"] == 2, "the file to be taken up")
    console.sign_in().go("files", "studio.xml")
    editor = console.editor("studio.xml")
    find(editor, "<Name>talk")
    editor.press_sequentially("s")
    editor.press("End")
    editor.press_sequentially("<Nothing/>")
    editor.locator(".cm-lintRange-error").wait_for()
    for _ in "<Nothing/>":
        editor.press("Backspace")
    console.save()
    assert "<Name>talks</Name>" in (daemon.conf / "studio.xml").read_text()


@pytest.mark.parametrize("ends", ["\r\n", "mixed"])
def test_every_byte(console: Console, daemon: Daemon, ends: str) -> None:
    """A byte order mark and the ends of all lines are kept, whether a whole file is edited or one
    application.
    """
    text = daemon.text.replace("\n", "\r\n", -1 if ends != "mixed" else 300)
    before = ("\ufeff" + text).encode()
    daemon.server_xml.write_bytes(before)
    wait_for(lambda: daemon.status()["revision"]["head"] == 2, "the file to be taken up")
    console.sign_in().go("files")
    find(console.editor("Server.xml"), "<SegmentCount>8")
    console.editor("Server.xml").press_sequentially("0")
    console.save()
    assert daemon.server_xml.read_bytes() == before.replace(b"Count>8<", b"Count>80<")
    editor = console.to_xml()
    find(editor, "<SegmentCount>80")
    editor.press_sequentially("0")
    console.save()
    assert daemon.server_xml.read_bytes() == before.replace(b"Count>8<", b"Count>800<")
