"""One browser for all tests; a daemon, and a page with nothing remembered, for each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.console import FLAGS, chromium, give_up
from tests.console.page import Console
from tests.support import EXAMPLES
from tests.support.daemon import SETTINGS, Daemon

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOKENS = {"read": "look-only", "write": "pen-only"}
ROLES = "".join(
    f'[[api.tokens]]\nname = "{role}er"\nrole = "{role}"\n'
    f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
    for role, token in TOKENS.items()
)
ORIGIN = (EXAMPLES / "origin/Server.xml").read_text().replace("<Port>8081<", "<Port>@PORT@<")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.console)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        give_up("there is no playwright: make test-console installs it")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """On a copy of the example, with a hook that records how it was called."""
    with Daemon(tmp_path, ORIGIN, settings=SETTINGS + ROLES) as started:
        yield started


@pytest.fixture
def console(browser: Browser, daemon: Daemon) -> Iterator[Console]:
    """The page, before anybody has signed in; at its end nothing has gone wrong in it."""
    page = browser.new_page(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    shown = Console(page, daemon)
    shown.open()
    yield shown
    page.close()
    assert shown.complaints == []
    assert shown.strangers == []
