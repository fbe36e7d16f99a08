"""The newcomer's walk of README in a browser, with pictures: python -m tests.walk.

It does at `make run` (ADDRESS and KEY name another) what README tells to do: the first call by its
very command, then the dashboard by mouse and by keys. What is not as README says ends it.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.support.browser import chromium_path
from tests.support.readme import blocks_of

ADDRESS = os.environ.get("ADDRESS", "http://localhost:8000")
KEY = os.environ.get("KEY", "test-api-key-12345")
FOLDER = Path(os.environ.get("FOLDER", ".data/walk"))
SIZE = {"width": 1280, "height": 800}
SOON_MS = 10_000  # on a busy machine; README promises a second

Shoot = Callable[[str], object]


def main() -> None:
    """Walk once, and say where the pictures are."""
    found = chromium_path()
    if found is None:
        sys.exit("There is no Chromium here: install it (apt install chromium).")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        walk(page, ADDRESS, KEY, lambda name: page.screenshot(path=str(FOLDER / f"{name}.png")))
        browser.close()
    sys.stdout.write(f"README's walk is as it says; pictures are in {FOLDER}\n")


def walk(page: Page, address: str, key: str, shoot: Shoot = lambda _: None) -> None:
    """Walk, with a picture of each step."""
    page.set_default_timeout(SOON_MS)
    sign_in(page, address, key, shoot)
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.locator("h1")).to_have_text("Actions")
    page.keyboard.press("l")
    expect(page.locator("[data-live]")).to_have_attribute("aria-pressed", "true")
    before = page.locator("tr.row").count()
    make_a_call(address, key)
    expect(page.locator("tr.row")).to_have_count(before + 1, timeout=SOON_MS)
    shoot("2-the-call-comes-by-itself")
    look_at_the_call(page, shoot)
    walk_by_keys(page, shoot)


def sign_in(page: Page, address: str, key: str, shoot: Shoot) -> None:
    """With the key that `make run` prints."""
    page.goto(address)
    shoot("0-sign-in")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Overview")
    shoot("1-overview")


def make_a_call(address: str, key: str) -> None:
    """README's first call, word for word but for address and key."""
    command = blocks_of("Try it", "bash")[0].replace("localhost:8000", address.split("//")[1])
    command = command.replace("test-api-key-12345", key)
    subprocess.run(["bash", "-ec", command], check=True, capture_output=True, timeout=60)


def look_at_the_call(page: Page, shoot: Shoot) -> None:
    """A click shows its request and response, what happened around it, and its command."""
    page.click("tr.row .c-time a >> nth=0")
    expect(page.locator("main")).to_contain_text("test@example.com")
    for title in ("Request", "Response", "Around this moment"):
        expect(page.locator(f"h2:has-text('{title}')")).to_be_visible()
    expect(page.locator("[data-curl]")).to_be_visible()
    shoot("3-its-request-and-response")
    page.click("nav a:has-text('Audits')")
    expect(page.locator("tr.row:has-text('sign_in')").first).to_be_visible()
    shoot("4-the-sign-in-is-on-record")


def walk_by_keys(page: Page, shoot: Shoot) -> None:
    """`?` lists the keys: `/` searches, `j` and `k` walk, `g` `o` leads home."""
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    shoot("5-the-keys")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("tr.row a:focus")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("dl.facts")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page.locator("h1")).to_have_text("Overview")
    shoot("6-home-again")


if __name__ == "__main__":
    main()
