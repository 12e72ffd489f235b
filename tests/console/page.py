"""The console as somebody uses it: by what it says, not by how it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.console import AXE
from tests.support.daemon import DEADLINE_S, TOKEN, Daemon

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page, Request

HARMLESS = ("Failed to load resource",)
"""What the browser says of each answer that is no success: they are expected."""
SERIOUS = ("serious", "critical")


class Console:
    """A page of a browser on the console of a daemon."""

    def __init__(self, page: Page, daemon: Daemon) -> None:
        self.page = page
        self.daemon = daemon
        self.origin = f"http://127.0.0.1:{daemon.port}"
        self.complaints: list[str] = []
        """What the browser found wrong: errors, and what the policy has kept from it."""
        self.strangers: list[str] = []
        """What was asked of anybody else."""
        page.set_default_timeout(DEADLINE_S * 1000)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._see)

    def open(self) -> None:
        """Load the page."""
        self.page.goto(f"{self.origin}/console/")

    def sign_in(self, token: str = TOKEN) -> Console:
        """With a token; the overview is there then, and live."""
        self.page.get_by_label("Access token").fill(token)
        self.page.get_by_label("Access token").press("Enter")
        self.page.get_by_text("live", exact=True).wait_for()
        self.page.get_by_role("heading", name="Virtual hosts and applications").wait_for()
        return self

    def go(self, *words: str) -> None:
        """To a place, as a link would."""
        place = "/".join(quote(word, safe="") for word in words)
        self.page.evaluate(f"location.hash = '#/{place}'")

    def to_form(self, app: str = "app", host: str = "default") -> None:
        """To an application as a form."""
        self.go("app", host, app)
        self.page.get_by_role("heading", name=app, exact=True).wait_for()

    def to_xml(self, app: str = "app", host: str = "default") -> Locator:
        """To an application as XML; gives the editor."""
        self.go("app", host, app, "xml")
        return self.editor(f"{app} as XML")

    def editor(self, label: str) -> Locator:
        """An editor that is there."""
        found = self.page.locator(f'.cm-content[aria-label="{label}"]')
        found.wait_for()
        return found

    def button(self, name: str) -> Locator:
        """A button by what it says."""
        return self.page.get_by_role("button", name=name, exact=True)

    def group(self, name: str) -> Locator:
        """What a group of the form holds, opened if it is not."""
        toggle = self.page.get_by_role("button", name=name, exact=True).and_(
            self.page.locator(".toggle")
        )
        if toggle.get_attribute("aria-expanded") == "false":
            toggle.click()
        return self.page.get_by_role("region", name=name, exact=True)

    def review(self) -> Locator:
        """The dialog that shows what would change, once it does."""
        self.button("Review and save").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("heading", name="In the files").wait_for()
        return dialog

    def save(self, message: str = "") -> None:
        """What is changed, by the dialog; it is saved when the dialog is gone."""
        dialog = self.review()
        if message:
            dialog.get_by_label("Message").fill(message)
        dialog.get_by_role("button", name="Save", exact=True).click()
        dialog.wait_for(state="detached")

    def discard(self) -> None:
        """Take back what is not saved."""
        self.button("Discard").click()
        self.button("Discard").wait_for(state="detached")

    def serious_faults(self) -> list[str]:
        """What axe-core finds that keeps people from using what is shown."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        assert len(found["passes"]) > 10
        return [
            f"{fault['id']}: {node['target']} {node.get('failureSummary', '')}"
            for fault in found["violations"]
            if fault["impact"] in SERIOUS
            for node in fault["nodes"]
        ]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(HARMLESS):
            self.complaints.append(message.text)

    def _see(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self.strangers.append(request.url)
