from __future__ import annotations

from tests.console.page import Console
from tests.support.api import app_path
from tests.support.daemon import Daemon, wait_for

OLD, NEW = "<SegmentCount>8</SegmentCount>", "<SegmentCount>12</SegmentCount>"


def write(console: Console, value: str) -> None:
    """Write a value in the form."""
    console.group("LLHLS").get_by_label("SegmentCount", exact=True).fill(value)


def test_change_one_value(console: Console, daemon: Daemon) -> None:
    """Signed in, an application is found, a value changed, seen as diff and plan, and saved: that
    line of the file is other, the hook was called once, and the history says who did it and why.
    """
    before = daemon.text
    assert before.count(OLD) == 1
    console.sign_in()
    page = console.page
    page.get_by_label("Search").fill("ladd")  # an output profile of the application app
    page.get_by_text("1 applications found").wait_for(state="attached")
    page.get_by_role("link", name="app", exact=False).first.click()
    write(console, "12")
    page.get_by_text("1 value changed.").wait_for()
    dialog = console.review()
    assert dialog.get_by_text("restart application default/app").is_visible()
    assert dialog.locator(".unified .old").inner_text().strip("- \t\n") == OLD
    assert dialog.locator(".unified .new").inner_text().strip("+ \t\n") == NEW
    assert daemon.text == before
    dialog.get_by_label("Message").fill("shorter segments – für alle")
    dialog.get_by_role("button", name="Save", exact=True).click()
    dialog.wait_for(state="detached")
    assert daemon.text == before.replace(OLD, NEW)
    assert daemon.calls == ["restart application default/app"]

    page.get_by_role("link", name="History", exact=True).click()
    newest = page.get_by_role("listitem").filter(has_text="shorter segments – für alle")
    newest.get_by_text("by api, over the API").wait_for()
    newest.get_by_text("healthy").wait_for()


def test_live(console: Console, daemon: Daemon) -> None:
    """What others change is shown without being asked for: revisions, and the tree."""
    console.sign_in()
    newest = console.page.locator('[data-revision="Newest"]')
    assert newest.inner_text() == "1"
    profile = {"name": "late", "outputStreamName": "late", "encodes": {}}
    path = f"{app_path('radio')}/OutputProfiles"
    body = {"edits": [{"verb": "merge", "path": path, "value": {"outputProfile": [profile]}}]}
    assert daemon.call("POST", "/omeconf/v1/transactions", body).status == 200
    console.page.get_by_role("link", name="late", exact=True).wait_for()
    assert newest.inner_text() == "2"


def test_broken_by_hand(console: Console, daemon: Daemon) -> None:
    """A broken manual edit is told at once, wherever one is, and shown in its place beside the
    last good version; put right, nothing is said any more.
    """
    console.sign_in().to_form()
    page, good = console.page, daemon.text
    daemon.write(good.replace(OLD, "<SegmentCuont>8</SegmentCuont>"))
    page.get_by_text("The files on disk have errors").wait_for()
    line = good[: good.index(OLD)].count("\n") + 1
    assert page.get_by_role("alert").get_by_text(f"Server.xml:{line}").is_visible()
    page.get_by_role("link", name="Show").click()
    page.get_by_role("heading", name="What is wrong").wait_for()
    assert page.get_by_text("did you mean <SegmentCount>?").is_visible()
    on_disk = console.editor("Server.xml on disk, with errors")
    assert "".join(on_disk.locator(".cm-lintRange-error").all_inner_texts()) == "SegmentCuont"
    assert OLD in console.editor("Server.xml, the last good version").inner_text()
    assert daemon.calls == []
    daemon.write(good)
    page.get_by_text("The files on disk have errors").wait_for(state="detached")
    console.editor("Server.xml")


def test_roll_back(console: Console, daemon: Daemon) -> None:
    """Two revisions are shown side by side, and the older is taken up again with one click and a
    look at what that restarts.
    """
    before = daemon.text
    console.sign_in().to_form()
    write(console, "12")
    console.save("a mistake")
    console.go("history")
    page = console.page
    page.get_by_label("Compare revision 1").check()
    page.get_by_label("Compare revision 2").check()
    console.button("Compare 1 and 2").click()
    assert OLD in console.editor("Server.xml at revision 1").inner_text()
    assert NEW in console.editor("Server.xml at revision 2").inner_text()
    console.button("Roll back to 1").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("restart application default/app").wait_for()
    dialog.get_by_role("button", name="Roll back", exact=True).click()
    dialog.wait_for(state="detached")
    assert daemon.text == before
    assert daemon.calls == ["restart application default/app"] * 2
    assert daemon.status()["revision"]["head"] == 3


def test_keep_it(console: Console, daemon: Daemon) -> None:
    """A change with a countdown is there at once, and stays when it is kept."""
    console.sign_in().to_form()
    write(console, "12")
    dialog = console.review()
    dialog.get_by_label("Take it back unless").check()
    dialog.get_by_label("Seconds").fill("300")
    dialog.get_by_role("button", name="Save", exact=True).click()
    dialog.wait_for(state="detached")
    assert daemon.status()["confirm"]["backTo"] == 1
    console.page.get_by_text("The last change waits to be kept.").wait_for()
    console.button("Keep it").click()
    console.page.get_by_text("The last change waits to be kept.").wait_for(state="detached")
    assert daemon.status()["confirm"] is None
    assert NEW in daemon.text


def test_taken_back(console: Console, daemon: Daemon) -> None:
    """A change that nobody keeps is taken back, and the form shows what is there again."""
    before = daemon.text
    console.sign_in().to_form()
    write(console, "12")
    dialog = console.review()
    dialog.get_by_label("Take it back unless").check()
    dialog.get_by_label("Seconds").fill("1")
    dialog.get_by_role("button", name="Save", exact=True).click()
    dialog.wait_for(state="detached")
    wait_for(lambda: daemon.text == before, "the way back")
    field = console.page.get_by_label("SegmentCount", exact=True)
    wait_for(lambda: field.input_value() == "8", "the form")


def test_hook_fails(console: Console, daemon: Daemon) -> None:
    """If the reload fails, the dialog says so with the hook's words, and the change is away."""
    before = daemon.text
    (daemon.base / "fail").touch()
    console.sign_in().to_form()
    write(console, "12")
    dialog = console.review()
    dialog.get_by_role("button", name="Save", exact=True).click()
    dialog.get_by_text("the change was taken back: told to fail").wait_for()
    assert daemon.text == before
    dialog.get_by_role("button", name="Close").click()


def other_change(daemon: Daemon) -> None:
    """Somebody else changes the same application."""
    body = {"publishers": {"llhls": {"segmentCount": 10, "segmentDuration": 5}}}
    assert daemon.call("PATCH", "/v1/vhosts/default/apps/app", body).status == 200


def test_conflict_mine(console: Console, daemon: Daemon) -> None:
    """When somebody else was faster, loaded, theirs and mine are shown; nothing is written over
    before one decides. Mine on top keeps of theirs what I did not touch.
    """
    console.sign_in().to_form()
    write(console, "12")
    other_change(daemon)
    page = console.page
    page.get_by_text("The application app was changed meanwhile.").wait_for()
    row = page.get_by_role("row").filter(has_text="segmentCount")
    assert row.get_by_role("cell").all_inner_texts() == ["8", "10", "12"]
    assert "<SegmentCount>10<" in daemon.text
    console.button("Put mine on top").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("restart application default/app").wait_for()
    assert "10" in dialog.locator(".unified .old").inner_text()
    dialog.get_by_role("button", name="Save", exact=True).click()
    dialog.wait_for(state="detached")
    assert NEW in daemon.text
    assert "<SegmentDuration>5<" in daemon.text


def test_conflict_theirs(console: Console, daemon: Daemon) -> None:
    """Theirs can be taken: what I wrote is gone, and nothing was written."""
    console.sign_in().to_form()
    write(console, "12")
    other_change(daemon)
    console.button("Take theirs").click()
    field = console.group("LLHLS").get_by_label("SegmentCount", exact=True)
    assert field.input_value() == "10"
    assert console.button("Review and save").count() == 0
    assert daemon.status()["revision"]["head"] == 2


def test_others_elsewhere(console: Console, daemon: Daemon) -> None:
    """What somebody changes in another application is no conflict."""
    console.sign_in().to_form()
    write(console, "12")
    answer = daemon.call(
        "PATCH", "/v1/vhosts/default/apps/radio", {"publishers": {"hls": {"segmentCount": 9}}}
    )
    assert answer.status == 200
    wait_for(lambda: "<SegmentCount>9<" in daemon.text)
    console.save()
    assert NEW in daemon.text
    assert "<SegmentCount>9<" in daemon.text


def test_gone(console: Console, daemon: Daemon) -> None:
    """What was written in an application that somebody deletes stays on the screen, and cannot be
    saved.
    """
    console.sign_in().to_form()
    write(console, "12")
    assert daemon.call("DELETE", "/v1/vhosts/default/apps/app").status == 200
    console.page.get_by_text("There is no such application any more.").wait_for()
    assert console.page.get_by_label("SegmentCount", exact=True).input_value() == "12"
    before = daemon.text
    console.button("Review and save").click()
    console.page.get_by_role("dialog").get_by_role("alert").wait_for()
    assert daemon.text == before


def test_connection_lost(console: Console, daemon: Daemon) -> None:
    """The page says when the daemon is away, and goes on when it is back."""
    console.sign_in()
    daemon.stop()
    console.page.get_by_text("not connected").wait_for()
    daemon.start()
    console.page.get_by_text("live", exact=True).wait_for()
    console.complaints.clear()  # the browser tells of each attempt
