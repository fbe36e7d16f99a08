"""Fixtures of the browser tests: Debian's Chromium, and the app behind a real socket."""

import html
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from app.config import load_settings
from app.store.session import Database
from tests.support.browser import Visitor, chromium_path
from tests.support.household import forwarded
from tests.support.watching import Watch
from tests.support.world import Inhabitant, World, action, audit, opened, record_id

UNLIMITED = {
    f"{kind}s_per_minute_{who}": 0 for kind in ("read", "write") for who in ("key", "tenant")
}
NOW = datetime.now(UTC)
SESSION_KEY = "0123456789abcdef0123456789abcdef"


class Quiet(WSGIRequestHandler):
    """Serves without a line for each request."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Keep it to itself."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser that this machine has; its event loop must not outlive these tests."""
    found = chromium_path()
    if found is None:
        pytest.skip("no Chromium here: install it (apt install chromium), or name it by CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def portal() -> Iterator[str]:
    """The address of a platform's page, which shows in a frame what its query names."""

    def show(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        framed = html.escape(unquote(environ["QUERY_STRING"]), quote=True)
        return [f"<title>Portal</title><iframe src='{framed}' width=800></iframe>".encode()]

    server = make_server("127.0.0.1", 0, show, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture(scope="session")
def site(
    portal: str,
    environment: dict[str, str],
    maintenance: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """The service, which browsers reach at `world.address`."""
    settings = replace(
        load_settings(environment),
        data_dir=tmp_path_factory.mktemp("site"),
        session_key=SESSION_KEY,
        viewer_ancestors=(portal,),
        **UNLIMITED,
    )
    with opened(settings, maintenance) as world:
        server = make_server("127.0.0.1", 0, world.app, threaded=True, request_handler=Quiet)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        world.address = f"http://127.0.0.1:{server.port}"
        yield world
        server.shutdown()
        thread.join()


@pytest.fixture
def visit(chromium: Browser, site: World) -> Iterator[Callable[..., Visitor]]:
    """Opens the dashboard in a browser of its own; fails if the browser complained of anything."""
    visitors: list[Visitor] = []

    def open_browser(secret: str | None = None, **options: object) -> Visitor:
        chosen = {"timezone_id": "Europe/Berlin", "color_scheme": "light", **options}
        context: BrowserContext = chromium.new_context(**chosen)  # type: ignore[arg-type]
        page: Page = context.new_page()
        visitor = Visitor(page, site.address)
        visitors.append(visitor)
        if secret:
            visitor.sign_in(secret)
        return visitor

    yield open_browser
    for visitor in visitors:
        visitor.page.context.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []


@pytest.fixture(scope="session")
def lived_in(site: World) -> Inhabitant:
    """A tenant with a day of records: 140 actions, 30 audits, retried operations, an alert."""
    who = site.settle()
    statuses = ("success", "success", "success", "failure", "timeout", "retry", "pending")
    site.put(
        *(
            action(
                who.tenant_id,
                at=NOW - timedelta(minutes=number * 7 + 1),
                status=statuses[number % 7],
                provider_name=("hubspot", "zendesk")[number % 2],
                action_type=("crm_create", "crm_get", "email_send")[number % 3],
                execution_time_ms=number * 11 % 900,
                error_message="no answer in 10 s" if statuses[number % 7] == "timeout" else None,
                request_payload={"contact": {"email": f"n{number}@example.com", "tags": ["a"]}},
                response_data={"id": number},
                operation_id=f"op-{number // 2}",
            )
            for number in range(140)
        )
    )
    site.put(
        *(
            audit(
                who.tenant_id,
                at=NOW - timedelta(minutes=number * 13 + 2),
                user_id=f"user{number % 3}@example.com",
                resource_type="settings",
                resource_id="billing/eu",
                changes={
                    "before": {"plan": "basic", "seats": number, "same": True, "old": [1]},
                    "after": {
                        "plan": "pro",
                        "seats": number,
                        "same": True,
                        "token": "[redacted: token]",
                    },
                },
            )
            for number in range(30)
        )
    )
    forwarded(site, who, "SIEM", record_id())
    who.post("/api/v1/exports", json={"kind": "audit", "filters": {"user_id": "user1@example.com"}})
    hook = {"name": "on call", "kind": "webhook", "target": "https://example.com/"}
    who.post("/api/v1/alerts/channels", json=hook)
    rule = {"kind": "action", "figure": "count", "threshold": 0, "window_s": 21_600}
    who.post("/api/v1/alerts/rules", json={"name": "Too much", **rule})
    Watch(site.maintenance, who.tenant_id).look(datetime.now(UTC))
    return who
