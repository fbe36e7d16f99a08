"""Takes the pictures of docs/dashboard from a running service: python -m tests.screenshots.

It signs in to `make run` (ADDRESS and KEY name another), tells it a believable week if it has few
records, and looks at each page as a visitor does.
"""

import os
import time
from pathlib import Path

import requests
from playwright.sync_api import Page, sync_playwright

from tests.support.browser import chromium_path
from tests.support.story import Record, tell

ADDRESS = os.environ.get("ADDRESS", "http://localhost:8000")
KEY = os.environ.get("KEY", "test-api-key-12345")
FOLDER = Path(__file__).parents[1] / "docs" / "dashboard"
FEW = 1_000
API = "api.hubapi.com"
EVALUATED_S = 35.0  # until rules were looked at, and the export is made
DAYS, PER_DAY = 8, 4_000
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
PICTURES = {  # of all that is looked at, what docs show
    *("sign-in-light", "overview-light", "overview-dark", "actions-light", "action-dark"),
    *("audits-light", "audit-light", "resource-dark", "analytics-light", "phone"),
    *("alerts-light", "rule-dark", "exports-light", "viewer-light"),
}
ROW = "tr.row .c-time a"


def main() -> None:
    """Tell the story if there is none, and take all pictures."""
    api = requests.Session()
    api.headers["X-API-Key"] = KEY
    if api.get(f"{ADDRESS}/api/v1/logs/stats", timeout=30).json()["total_actions"] < FEW:

        def post(path: str, records: list[Record]) -> None:
            api.post(ADDRESS + path, json=records, timeout=60).raise_for_status()

        tell(post, days=DAYS, per_day=PER_DAY)
    take_along()
    time.sleep(EVALUATED_S)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=WIDE, color_scheme=scheme)
            page = context.new_page()
            look(page, scheme)
            context.close()
        context = browser.new_context(viewport=PHONE, color_scheme="light", device_scale_factor=2)
        page = context.new_page()
        enter(page)
        take(page, "/", "phone")
        browser.close()


def look(page: Page, scheme: str) -> None:
    """Every page in one scheme."""
    page.goto(f"{ADDRESS}/sign-in")
    shoot(page, f"sign-in-{scheme}")
    enter(page)
    take(page, "/", f"overview-{scheme}", whole=True)
    take(page, "/actions?period=24h&status=failure&status=timeout", f"actions-{scheme}")
    page.click(ROW)
    shoot(page, f"action-{scheme}", whole=True)
    take(page, "/audits?resource_type=settings", f"audits-{scheme}")
    page.click(ROW)
    shoot(page, f"audit-{scheme}")
    take(page, "/resources/settings/billing", f"resource-{scheme}")
    take(page, "/analytics", f"analytics-{scheme}")
    take(page, "/alerts", f"alerts-{scheme}")
    page.goto(f"{ADDRESS}/alerts/rules/new")
    page.fill("[name=name]", "Too many failures of a provider")
    page.select_option("[name=group_by]", "provider_name")
    page.fill("[name=window_s]", "60")
    page.click("button:has-text('Try on')")
    shoot(page, f"rule-{scheme}", whole=True)
    take(page, "/exports", f"exports-{scheme}")
    page.goto(viewer_link())
    shoot(page, f"viewer-{scheme}")


def viewer_link() -> str:
    """A link to what a portal would show of the story's busiest resource."""
    wanted = {"resource_type": "settings", "resource_id": "billing"}
    headers = {"X-API-Key": KEY}
    made = requests.post(f"{ADDRESS}/api/v1/viewer-links", json=wanted, headers=headers, timeout=30)
    return str(made.json()["url"])


def take_along() -> None:
    """An export, and a call that fails so often that an alert fires."""
    headers = {"X-API-Key": KEY}
    wanted = {"kind": "action", "format": "jsonl", "filters": {"status": ["failure"]}}
    requests.post(f"{ADDRESS}/api/v1/exports", json=wanted, headers=headers, timeout=30)
    failure = {"provider_name": "hubspot", "status": "failure", "execution_time_ms": 212}
    failures = [
        {**failure, "action_type": kind, "error_message": f"502 Bad Gateway from {API}/{path}"}
        for kind, path in (("crm_get", "contacts"), ("crm_update", "deals"), ("crm_list", "owners"))
        for _ in range(4)
    ]
    requests.post(
        f"{ADDRESS}/api/v1/ingest/actions", json=failures, headers=headers, timeout=30
    ).raise_for_status()


def enter(page: Page) -> None:
    """Sign in."""
    page.goto(f"{ADDRESS}/sign-in")
    page.fill("#key", KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:text('Overview')")


def take(page: Page, path: str, name: str, *, whole: bool = False) -> None:
    """Open a path and take a picture."""
    page.goto(ADDRESS + path)
    shoot(page, name, whole=whole)


def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    """Take a picture once nothing more is loaded."""
    page.wait_for_load_state("networkidle")
    if name in PICTURES:
        page.screenshot(path=str(FOLDER / f"{name}.png"), full_page=whole)


if __name__ == "__main__":
    main()
