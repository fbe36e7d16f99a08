"""What browsers are told: to load nothing from elsewhere, frame, keep and share nothing."""

import re
from dataclasses import replace
from typing import Any

import pytest

from app.config import Settings
from app.store.session import Database
from tests.support.world import World, opened

ELSEWHERE = "https://evil.example"
PATHS = ("/api/v1/logs/actions", "/health/live", "/docs", "/openapi.json", "/nowhere", "/")


def answers(world: World, **headers: str) -> dict[str, Any]:
    """What each kind of route answers, errors among them."""
    tenant = world.settle()
    client = world.app.test_client()
    found = {path: client.get(path, headers={**tenant.headers, **headers}) for path in PATHS}
    return {**found, "401": client.get(PATHS[0]), "405": client.post(PATHS[0])}


def test_every_answer_tells_browsers_to_do_little_with_it(world: World) -> None:
    """Also the errors."""
    for path, response in answers(world).items():
        headers = response.headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_what_a_tenant_is_shown_is_kept_by_no_cache(world: World) -> None:
    """Neither a browser's nor a proxy's."""
    assert answers(world)[PATHS[0]].headers["Cache-Control"] == "no-store"


def test_the_page_runs_no_script_of_its_own_text(world: World) -> None:
    """So that its policy can forbid inline scripts, as it does."""
    page = world.app.test_client().get("/docs")
    policy = page.headers["Content-Security-Policy"]
    (scripts,) = re.findall(r"script-src ([^;]*)", policy)
    assert scripts == "'self'"
    text = page.get_data(as_text=True)
    for attributes, body in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL):
        assert re.search(r'src="/static/', attributes)
        assert body == ""
    assert not re.search(r"\son\w+=", text)


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_pages_of_other_origins_are_told_nothing(world: World, method: str) -> None:
    """No header of CORS, whoever asks, also before a request (a preflight)."""
    tenant = world.settle()
    asked = {
        **tenant.headers,
        "Origin": ELSEWHERE,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "X-API-Key",
    }
    for path in PATHS:
        response = tenant.client.open(path, method=method, headers=asked)
        given = [name for name in dict(response.headers) if name.startswith("Access-Control")]
        assert given == [], path


OURS = "https://app.example.com"


def test_pages_of_an_origin_that_is_named_may_ask_and_read(
    settings: Settings, maintenance: Database
) -> None:
    """Of exactly that one, with a key and without cookies; errors too, or a page sees none."""
    named = replace(settings, cors_origins=(OURS, "http://localhost:3000"))
    with opened(named, maintenance) as world:
        tenant = world.settle()
        for origin in named.cors_origins:
            asked = {**tenant.headers, "Origin": origin}
            for path, status in ((PATHS[0], 200), (f"{PATHS[0]}?limit=0", 400)):
                answer = tenant.client.get(path, headers=asked)
                assert answer.status_code == status
                assert answer.headers["Access-Control-Allow-Origin"] == origin
                assert "Link" in answer.headers["Access-Control-Expose-Headers"]
                assert "Access-Control-Allow-Credentials" not in answer.headers
                assert answer.vary.to_header() == "Origin"
        for stranger in (ELSEWHERE, f"{OURS}.evil.example", f"{OURS}:8443", "null", OURS.upper()):
            answer = tenant.client.get(PATHS[0], headers={**tenant.headers, "Origin": stranger})
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.vary.to_header() == "Origin"
        page = tenant.client.get("/docs", headers={"Origin": OURS})
        assert "Access-Control-Allow-Origin" not in page.headers


def test_a_page_is_told_beforehand_what_it_may_ask(
    settings: Settings, maintenance: Database
) -> None:
    """A preflight has no key, and needs none; methods are those of the route."""
    with opened(replace(settings, cors_origins=(OURS,)), maintenance) as world:
        client = world.app.test_client()
        for path, methods in (
            (PATHS[0], {"GET", "HEAD", "OPTIONS"}),
            ("/api/v1/crm/contacts", {"GET", "HEAD", "OPTIONS", "POST"}),
        ):
            answer = client.options(
                path, headers={"Origin": OURS, "Access-Control-Request-Method": "GET"}
            )
            assert answer.status_code == 200
            allowed = answer.headers["Access-Control-Allow-Methods"]
            assert set(allowed.split(", ")) == methods
            assert "X-API-Key" in answer.headers["Access-Control-Allow-Headers"]
            assert int(answer.headers["Access-Control-Max-Age"]) > 0
        answer = client.options(
            PATHS[0], headers={"Origin": ELSEWHERE, "Access-Control-Request-Method": "GET"}
        )
        assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]


def test_over_tls_a_browser_is_told_to_stay_there(
    settings: Settings, maintenance: Database
) -> None:
    """As our own proxy says it; a caller's word alone is not enough."""
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    for proxies, told in ((0, False), (1, True)):
        with opened(replace(settings, trusted_proxies=proxies), maintenance) as world:
            for response in answers(world, **said).values():
                if response.request.headers.get("X-Forwarded-Proto"):
                    assert ("Strict-Transport-Security" in response.headers) == told
