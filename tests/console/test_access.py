from __future__ import annotations

from typing import Any

import pytest

from tests.console.conftest import ORIGIN, TOKENS
from tests.console.page import Console
from tests.support.daemon import TOKEN, Daemon, wait_for

VIEWS = [
    ((), "Virtual hosts and applications"),
    (("app", "default", "app"), "app"),
    (("app", "default", "app", "xml"), "app"),
    (("history",), "History"),
    (("compare", "1", "2"), "Revision 1 → 2"),
    (("files",), "Files"),
]
SECRET = "aKq9xF3"


def prepare(console: Console, daemon: Daemon) -> None:
    """Something to see in each view: two revisions."""
    body = {"publishers": {"llhls": {"segmentCount": 10}}}
    assert daemon.call("PATCH", "/v1/vhosts/default/apps/app", body).status == 200
    console.sign_in()


def each_view(console: Console, daemon: Daemon) -> list[str]:
    """Go everywhere; gives what axe-core finds on the way."""
    page, found = console.page, []
    for words, heading in VIEWS:
        console.go(*words)
        page.get_by_role("heading", name=heading, exact=True).wait_for()
        if words[:1] in (("compare",), ("files",)) or words[-1:] == ("xml",):
            page.locator(".cm-line").first.wait_for()
        found += console.serious_faults()
    console.to_form()
    console.group("LLHLS").get_by_label("SegmentCount", exact=True).fill("2")
    page.get_by_role("alert").wait_for()
    found += console.serious_faults()
    console.group("LLHLS").get_by_label("SegmentCount", exact=True).fill("12")
    page.get_by_text("1 value changed.").wait_for()
    dialog = console.review()
    found += console.serious_faults()
    dialog.get_by_role("button", name="Cancel").click()
    other = {"publishers": {"llhls": {"segmentCount": 11}}}
    assert daemon.call("PATCH", "/v1/vhosts/default/apps/app", other).status == 200
    page.get_by_text("was changed meanwhile").wait_for()
    found += console.serious_faults()
    console.button("Take theirs").click()
    daemon.write(daemon.text.replace("<SegmentCount>11", "<SegmentCuont>11"))
    page.get_by_text("The files on disk have errors").wait_for()
    console.go("files")
    page.get_by_role("heading", name="What is wrong").wait_for()
    page.locator(".cm-line").first.wait_for()
    return found + console.serious_faults()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault(console: Console, daemon: Daemon, scheme: Any) -> None:
    """axe-core finds nothing serious: in any view, in the dialog, in a conflict, light and dark."""
    console.page.emulate_media(color_scheme=scheme)
    faults = console.serious_faults()
    prepare(console, daemon)
    faults += each_view(console, daemon)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("width", [360, 800])
def test_narrow(console: Console, daemon: Daemon, width: int) -> None:
    """At the width of a phone nothing is beyond the edge, and everything can be done."""
    page = console.page
    page.set_viewport_size({"width": width, "height": 740})
    prepare(console, daemon)
    for words, heading in VIEWS:
        console.go(*words)
        page.get_by_role("heading", name=heading, exact=True).wait_for()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (words, wide)
    console.to_form()
    console.group("LLHLS").get_by_label("SegmentCount", exact=True).fill("12")
    console.save()
    assert "<SegmentCount>12<" in daemon.text


def test_keyboard_only(console: Console, daemon: Daemon) -> None:
    """From signing in to a saved value without a mouse; the focus is always seen."""
    page = console.page
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_text("live", exact=True).wait_for()
    to(console, "link", "radio")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="radio", exact=True).wait_for()
    to(console, "button", "HLS")
    page.keyboard.press("Enter")
    to(console, "spinbutton", "SegmentCount")
    page.keyboard.press("Control+a")
    page.keyboard.type("9")
    page.get_by_text("1 value changed.").wait_for()
    to(console, "button", "Review and save")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("heading", name="In the files").wait_for()
    to(console, "button", "Save")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for(state="detached")
    assert daemon.get("/v1/vhosts/default/apps/radio")["publishers"]["hls"]["segmentCount"] == 9


def to(console: Console, role: Any, name: str) -> None:
    """Press Tab until something has the focus, which must be seen there."""
    page = console.page
    wanted = page.get_by_role(role, name=name)
    wanted.first.wait_for()
    for _ in range(150):
        page.keyboard.press("Tab")
        if any(each.evaluate("it => it === document.activeElement") for each in wanted.all()):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", name
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_token(console: Console) -> None:
    """A wrong token is told; the right one lasts as long as the tab, also when it is loaded again,
    and is in no other; signing out forgets it.
    """
    page = console.page
    page.get_by_label("Access token").fill("wrong")
    page.get_by_label("Access token").press("Enter")
    page.get_by_role("alert").wait_for()
    console.sign_in()
    page.reload()
    page.get_by_text("live", exact=True).wait_for()
    stored = page.evaluate("[document.cookie, JSON.stringify(localStorage), location.href]")
    assert stored == ["", "{}", f"{console.origin}/console/"]
    with page.expect_popup() as opened:
        page.evaluate("open('/console/', '_blank', 'noopener')")
    opened.value.get_by_label("Access token").wait_for()
    opened.value.close()
    console.button("Sign out").click()
    page.get_by_label("Access token").wait_for()
    assert page.evaluate("JSON.stringify(sessionStorage)") == "{}"


def test_who_may_read(console: Console, daemon: Daemon) -> None:
    """Whoever may only read sees everything but the secrets, and no way to change anything."""
    console.sign_in(TOKENS["read"])
    page = console.page
    page.get_by_text("reader").wait_for()
    console.to_form()
    inputs = page.locator(".form input, .form select")
    assert inputs.count() > 2
    assert all(each.is_disabled() for each in inputs.all())
    for name in ("Remove", "Add", "Undo"):
        assert page.get_by_role("button", name=name).count() == 0
    assert console.to_xml().get_attribute("contenteditable") == "false"
    console.go("files")
    editor = console.editor("Server.xml")
    assert editor.get_attribute("contenteditable") == "false"
    assert TOKEN not in editor.inner_text()
    console.go("history")
    page.get_by_role("heading", name="History").wait_for()
    assert page.get_by_role("button", name="Roll back").count() == 0
    daemon.write(
        daemon.text.replace("<SegmentCount>8<", "<SegmentCuont>8<").replace(
            "8</SegmentCount>", "8</SegmentCuont>"
        )
    )
    console.go("files")
    page.get_by_text("did you mean <SegmentCount>?").wait_for()
    page.get_by_text("this needs the role write").wait_for()


def test_who_may_write(console: Console, daemon: Daemon) -> None:
    """The role write may change applications, but no whole files, and may not roll back."""
    console.sign_in(TOKENS["write"]).to_form()
    console.group("LLHLS").get_by_label("SegmentCount", exact=True).fill("12")
    console.save()
    assert "<SegmentCount>12<" in daemon.text
    assert daemon.get("/omeconf/v1/revisions")["revisions"][0]["author"] == "writeer"
    console.go("files")
    assert console.editor("Server.xml").get_attribute("contenteditable") == "false"
    console.go("history")
    console.page.get_by_label("Compare revision 1").wait_for()
    assert console.page.get_by_role("button", name="Roll back").count() == 0


def test_hostile_names(console: Console, daemon: Daemon) -> None:
    """Whatever stands in the file is shown as text: nothing of it is run, and nothing is loaded."""
    name = "&lt;img src=//evil.example/x onerror=alert(1)>"
    daemon.write(ORIGIN.replace("@PORT@", str(daemon.port)).replace(
        "<Name>origin-1<", f"<Name>{name}<"
    ).replace("<Name>source</Name>", f"<Name>{name}</Name>"))  # fmt: skip
    wait_for(lambda: daemon.status()["revision"]["head"] == 2, "the file to be taken up")
    console.sign_in()
    console.page.get_by_role("link", name="<img src=//evil.example/x").wait_for()
    console.go("compare", "1", "2")
    console.editor("Server.xml at revision 2")
    assert console.page.locator("img[src*=evil]").count() == 0
