"""Debian's own Chromium, headless, and what a page in it did: its requests, and what it complained of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = (1280, 900), (390, 844)


@dataclass
class Seen:
    """A page, the addresses it asked for, and its errors and warnings."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def choose(self, scope: str, period: str) -> None:
        """Chooses as a person does, and waits until every chart is drawn."""
        self.page.select_option("#scope", scope)
        self.page.select_option("#period", period)
        self.wait(f"{scope} {period}")

    def wait(self, choice: str = "") -> None:
        """Until the charts of a choice are drawn."""
        self.page.wait_for_function(
            "choice => (document.documentElement.dataset.drawn || '').startsWith(choice || '')"
            " && (document.documentElement.dataset.drawn || 'no') !== 'no'",
            arg=choice,
        )

    def texts(self, selector: str) -> list[str]:
        """The text of each element, as it is shown or would be."""
        found: list[str] = self.page.eval_on_selector_all(selector, "all => all.map(one => one.textContent)")
        return found

    def table(self, selector: str) -> list[list[str]]:
        """The cells of a table's body."""
        rows: list[list[str]] = self.page.eval_on_selector_all(
            f"{selector} tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
        )
        return rows


@contextmanager
def start_browser() -> Iterator[Browser]:
    """A browser with a profile of its own, gone afterwards. Fails, saying what to install, where there is none."""
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing. Install it: apt-get install -y --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, address: str, size: tuple[int, int] = DESKTOP, **options: Any) -> Iterator[Seen]:
    """The page at an address, with an ear on everything that it does."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    try:
        seen = Seen(context.new_page())
        seen.page.set_default_timeout(20_000)
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on(
            "console",
            lambda message: seen.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        seen.page.goto(address)
        yield seen
    finally:
        context.close()
