"""How soon pages are there in Chromium, and how late a call's row is on an open one.

`python -m benchmarks.pages ADDRESS KEY` looks at a dashboard that is served already, with whatever
it holds, and changes nothing; as a benchmark it fills a database of its own and makes 200 calls.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import requests
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.browser import chromium_path
from tests.support.product import Product

from .query import fold
from .query.load import load, make_tenants
from .support import median, percentile, servers

KEY = "test-api-key-12345"
ROWS, SMOKE_ROWS = 300_000, 20_000
ROUNDS, CALLS = 15, 200
WAIT_MS = 30_000
SIZE = {"width": 1440, "height": 900}
SECRET = "0123456789abcdef0123456789abcdef"  # signs the sessions of a benchmark
# All parts that come after the page are there, and the chart is drawn.
USABLE = """() => document.querySelector('[data-chart=volume] canvas')
  && document.readyState === 'complete'
  && !document.querySelector('.htmx-request')
  && [...document.querySelectorAll('[hx-trigger=load]')].every(part => part.children.length)
  && performance.now()"""
PAINTED = """() => document.querySelector('tr.row')
  && performance.getEntriesByName('first-contentful-paint')[0]?.startTime"""
CHANGED = """wanted => new Promise(done => {
  const from = performance.now();
  document.body.addEventListener('htmx:afterSettle', function settled(event) {
    if (event.detail.target.id !== 'results') return;
    document.body.removeEventListener('htmx:afterSettle', settled);
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - from)));
  });
  document.querySelector(`label.choice input[value=${wanted}]`).click();
})"""
ROW_COUNT = "() => document.querySelectorAll('tr.row').length"

Figures = dict[str, float]


def run(smoke: bool) -> Figures:
    """Milliseconds; nothing where there is no Chromium."""
    if chromium_path() is None:
        sys.stderr.write("no Chromium here: pages are not measured\n")
        return {}
    rounds, calls = (2, 3) if smoke else (ROUNDS, CALLS)
    with servers() as bench:
        load(bench, SMOKE_ROWS if smoke else ROWS, make_tenants(bench))
        fold(bench)
        env = {**bench.env, "OPSLEDGER_SESSION_KEY": SECRET}
        with Product(env, bench.folder, ("web", "worker")) as product:
            address = f"http://127.0.0.1:{product.port}"
            return _in_chromium(
                lambda browser: (
                    _pages(browser, address, KEY, rounds)
                    | _live(browser, address, KEY, product.call_crm, calls)
                )
            )


def main() -> None:
    """Look at a dashboard that is served already."""
    address, key = sys.argv[1:3]
    requests.get(f"{address}/health/live", timeout=10).raise_for_status()
    figures = _in_chromium(lambda browser: _pages(browser, address, key, ROUNDS))
    sys.stdout.write(json.dumps({name: round(ms, 1) for name, ms in figures.items()}, indent=1))


def _in_chromium(measure: Callable[[Browser], Figures]) -> Figures:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        figures = measure(browser)
        browser.close()
    return figures


def _pages(browser: Browser, address: str, key: str, rounds: int) -> Figures:
    """Medians and the slowest, each time in a browser that has nothing of ours but the session."""
    session = _signed_in(browser, address, key)
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, path, there in (
            ("overview", "/", USABLE),
            ("overview_30d", "/?period=30d", USABLE),
            ("actions", "/actions", PAINTED),
            ("audits", "/audits", PAINTED),
        ):
            context = browser.new_context(storage_state=session, viewport=SIZE)
            page = _opened(context, address + path)
            times.setdefault(name, []).append(_once(page, there))
            if name == "actions":
                page.wait_for_load_state("load")
                for wanted in ("failure", "timeout"):
                    changed = float(page.evaluate(CHANGED, wanted))
                    times.setdefault("filter", []).append(changed)
            context.close()
    figures = {f"pages.{name}.p50_ms": median(found) for name, found in times.items()}
    return figures | {f"pages.{name}.max_ms": max(found) for name, found in times.items()}


def _live(browser: Browser, address: str, key: str, call: Callable[[], Any], calls: int) -> Figures:
    """From a call's answer to its row on a page that follows the list."""
    context = browser.new_context(storage_state=_signed_in(browser, address, key), viewport=SIZE)
    page = _opened(context, f"{address}/actions?action_type=crm_create")
    page.wait_for_load_state("load")
    page.click("[data-live]")
    page.wait_for_selector("[data-live][aria-pressed=true]")
    times = []
    for _ in range(calls):
        before = page.evaluate(ROW_COUNT)
        call()
        started = page.evaluate("performance.now()")
        come = page.wait_for_function(
            "before => document.querySelectorAll('tr.row').length > before && performance.now()",
            arg=before,
        )
        times.append(float(come.json_value()) - started)
    context.close()
    return {
        "pages.live.p50_ms": percentile(times, 0.5),
        "pages.live.p99_ms": percentile(times, 0.99),
        "pages.live.max_ms": max(times),
    }


def _signed_in(browser: Browser, address: str, key: str) -> Any:
    """The cookies of a session."""
    context = browser.new_context()
    page = _opened(context, f"{address}/sign-in")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:text('Overview')")
    state = context.storage_state()
    context.close()
    return state


def _opened(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url, wait_until="commit")
    return page


def _once(page: Page, there: str) -> float:
    """Milliseconds from the request of the page until something is there."""
    return float(page.wait_for_function(there).json_value())


if __name__ == "__main__":
    main()
