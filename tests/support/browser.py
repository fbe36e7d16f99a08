"""A visitor of the dashboard: a page of a real browser, and all that it complained of."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = (Path(__file__).parent / "vendor" / "axe" / "axe.min.js").read_text()
WAIT_MS = 10_000
SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


class Visitor:
    """Somebody in front of the dashboard.

    Args:
        page: of a browser.
        address: of the service.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.add_init_script(SHIFTS)
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))

    def _complain(self, kind: str, text: str) -> None:
        # A page that answers with an error is an error to the browser, and one of our cases.
        if kind in ("error", "warning") and "the server responded with a status of" not in text:
            self.complaints.append(text)

    def sign_in(self, secret: str) -> None:
        """Sign in with a key and wait for the overview."""
        self.open("/sign-in")
        self.page.fill("#key", secret)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("h1:text('Overview')")
        self.settle()

    def open(self, path: str) -> None:
        """Open a path and wait until nothing more is loaded."""
        self.page.goto(self.address + path)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing more is loaded."""
        self.page.wait_for_load_state("load")
        self.page.wait_for_selector(".htmx-request", state="detached")

    def reach_for_more(self) -> None:
        """Scroll to where more rows are loaded, in one go: that place is replaced by them."""
        self.page.evaluate("document.querySelector('.more-rows')?.scrollIntoView()")

    def path(self) -> str:
        """Where the page is now, without the host."""
        return self.page.url.removeprefix(self.address)

    def text(self, selector: str = "main") -> str:
        """What is written there."""
        return self.page.inner_text(selector)

    def ids(self) -> list[str]:
        """The records of the list, from top to bottom."""
        found: list[str] = self.page.eval_on_selector_all(
            "tr.row", "rows => rows.map(row => row.id.slice(2))"
        )
        return found

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page as it stands."""
        if self.page.evaluate("typeof axe === 'undefined'"):
            self.page.evaluate(AXE)  # by the debugger, which the page's policy does not bind
        # What is right about a page is megabytes.
        found: list[dict[str, Any]] = self.page.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"
        )
        return [
            f"{one['id']}: {json.dumps([n['target'] for n in one['nodes']][:3])} {one['help']}"
            for one in found
        ]

    def shifted(self) -> float:
        """How much of the page moved by itself, as Chromium counts it."""
        return float(self.page.evaluate("window.shifted"))
