"""The pictures of docs/console/, made anew: ``python -m tests.console.screenshots``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, sync_playwright

from tests.console import FLAGS, chromium
from tests.console.page import Console
from tests.support import EXAMPLES, PROJECT
from tests.support.daemon import Daemon

FOLDER = PROJECT / "docs/console"
SIZE: Any = {"width": 1200, "height": 800}
SETTLE_MS = 700
"""A picture shows no moment between two."""


def main() -> None:
    """Make all of them."""
    FOLDER.mkdir(exist_ok=True)
    text = (EXAMPLES / "origin/Server.xml").read_text().replace("<Port>8081<", "<Port>@PORT@<")
    with (
        tempfile.TemporaryDirectory() as folder,
        Daemon(Path(folder), text) as daemon,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        console = Console(page, daemon)
        console.open()
        console.sign_in()
        history(console, daemon)
        overview(page)
        form(console)
        xml(console)
        compare(console)
        files(console, daemon)
        browser.close()


def history(console: Console, daemon: Daemon) -> None:
    """Something to see."""
    for message, app, body in (
        ("shorter segments", "app", {"publishers": {"llhls": {"segmentDuration": 4}}}),
        ("the radio takes WebRTC, too", "radio", {"providers": {"webrtc": {}}}),
        ("more of them for slow phones", "app", {"publishers": {"llhls": {"segmentCount": 12}}}),
    ):
        headers = {"Omeconf-Message": message}
        path = f"/v1/vhosts/default/apps/{app}"
        assert daemon.call("PATCH", path, body, headers=headers).status == 200
    console.page.locator('[data-revision="Healthy"]', has_text="4").wait_for()


def overview(page: Page) -> None:
    """Revisions, the last reload, the tree."""
    take(page, "overview")


def form(console: Console) -> None:
    """An application with a changed value."""
    console.to_form()
    group = console.group("LLHLS")
    group.get_by_label("SegmentCount", exact=True).fill("10")
    console.page.get_by_text("1 value changed.").wait_for()
    top(group)
    take(console.page, "form")
    console.discard()


def xml(console: Console) -> None:
    """The same as XML, with something wrong in it, and what may be written."""
    from tests.console.test_editor import find

    editor = console.to_xml()
    find(editor, "<ChunkDuration>0.5")
    editor.press_sequentially("s")
    editor.locator(".cm-lintRange").first.wait_for()
    find(editor, "<SegmentCount>12</SegmentCount>")
    editor.press("Enter")
    editor.press("Control+Space")
    console.page.get_by_role("option").first.wait_for()
    console.page.wait_for_timeout(SETTLE_MS)
    editor.press("ArrowDown")
    take(console.page, "xml")
    editor.press("Escape")
    console.discard()


def compare(console: Console) -> None:
    """Two revisions side by side."""
    console.go("compare", "1", "4")
    console.editor("Server.xml at revision 4")
    take(console.page, "history")


def files(console: Console, daemon: Daemon) -> None:
    """A broken manual edit beside the last good version."""
    daemon.write(
        daemon.text.replace("<MaxDuration>7200</MaxDuration>", "<MaxDuraton>3600</MaxDuraton>")
    )
    console.page.get_by_text("The files on disk have errors").wait_for()
    console.go("files")
    console.editor("Server.xml on disk, with errors")
    take(console.page, "files")


def top(locator: Locator) -> None:
    """Have something at the top of the page, below its bar."""
    locator.evaluate("it => scrollTo(0, it.getBoundingClientRect().top + scrollY - 118)")


def take(page: Page, name: str) -> None:
    """One picture."""
    page.evaluate("document.querySelector('.told').hidden = true")
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
