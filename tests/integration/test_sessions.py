"""Sessions of the dashboard: who gets one, what ends it, what it cannot be used for."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from app.config import Settings
from app.store.session import Database
from app.ui import sign_in
from app.ui.session import COOKIE, Sessions
from tests.support.world import Inhabitant, World, action, opened

KEY = "0123456789abcdef0123456789abcdef"
PAGES = ("/", "/actions", "/audits", "/analytics", "/alerts", "/exports", "/forwarding", "/storage")


@pytest.fixture
def house(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app whose dashboard is open."""
    sign_in.attempts = sign_in.Attempts()
    with opened(replace(settings, session_key=KEY, key_cache_s=0.01), maintenance) as world:
        yield world


def enter(who: Inhabitant, **values: str) -> Any:
    """Sign in as the form does."""
    form = who.client.get("/sign-in").get_data(as_text=True)
    csrf = re.search(r'name="csrf" value="([^"]+)"', form)
    assert csrf
    return who.client.post("/sign-in", data={"csrf": csrf[1], "key": who.secret, **values})


def test_a_key_opens_every_page_and_none_opens_without(house: World) -> None:
    """Nobody is led to the form, and from there to the page that was asked for."""
    who = house.settle()
    for path in PAGES:
        response = who.client.get(path)
        assert response.status_code == 302
        assert response.location.startswith("/sign-in")
    assert enter(who, next="/audits?user_id=ada").location == "/audits?user_id=ada"
    for path in PAGES:
        assert who.client.get(path).status_code == 200, path
    assert who.client.get("/keys").status_code == 403  # the operator's


def test_the_cookie_is_out_of_reach_and_holds_no_key(house: World) -> None:
    """HttpOnly, SameSite, for a set time; Secure where the page is."""
    who = house.settle()
    given = enter(who).headers["Set-Cookie"]
    assert "HttpOnly" in given
    assert "SameSite=Lax" in given
    assert f"Max-Age={12 * 3600}" in given
    assert "Secure" not in given
    assert who.secret not in given
    secure = who.client.get("/sign-out", base_url="https://localhost")
    assert secure.status_code == 405
    fresh = house.app.test_client().get("/sign-in", base_url="https://localhost")
    assert "Secure" in fresh.headers["Set-Cookie"]


@pytest.mark.parametrize("secret", ["", "nonsense", "x" * 5000])
def test_a_wrong_key_opens_nothing_and_is_told_why(house: World, secret: str) -> None:
    """Without saying which keys there are."""
    who = house.settle()
    response = enter(who, key=secret)
    assert response.status_code == 401
    assert "unknown, expired or revoked" in response.get_data(as_text=True)
    assert who.client.get("/actions").status_code == 302


def test_a_key_without_the_scope_is_told_which(house: World) -> None:
    """Reading is what the dashboard is for."""
    response = enter(house.settle(["logs:write"]))
    assert response.status_code == 401
    assert "logs:read" in response.get_data(as_text=True)


def test_revoking_the_key_ends_its_sessions(house: World) -> None:
    """Without anything being kept of them here."""
    who = house.settle()
    enter(who)
    assert who.client.get("/actions").status_code == 200
    with house.maintenance.unrestricted_unsafe() as session:
        session.execute(
            text("UPDATE api_keys SET revoked_at = :now WHERE tenant_id = :tenant"),
            {"now": datetime.now(UTC), "tenant": who.tenant_id},
        )
    response = who.client.get("/actions")
    assert response.status_code == 302
    assert "ended=1" in response.location
    part = who.client.get("/overview/failures", headers={"HX-Request": "true"})
    assert part.headers["HX-Redirect"].startswith("/sign-in")


def test_a_form_of_another_site_changes_nothing(house: World) -> None:
    """Neither signs it in nor out."""
    who = house.settle()
    who.client.get("/sign-in")
    for csrf in ({}, {"csrf": ""}, {"csrf": "guessed"}):
        assert who.client.post("/sign-in", data={"key": who.secret, **csrf}).status_code == 403
    enter(who)
    assert who.client.post("/sign-out").status_code == 403
    assert who.client.get("/actions").status_code == 200
    page = who.client.get("/actions").get_data(as_text=True)
    csrf_of_page = re.search(r'name="csrf" value="([^"]+)"', page)
    assert csrf_of_page
    foreign = {"Sec-Fetch-Site": "cross-site"}
    sent = {"csrf": csrf_of_page[1]}
    assert who.client.post("/sign-out", data=sent, headers=foreign).status_code == 403
    assert who.client.post("/sign-out", data=sent).status_code == 303
    assert who.client.get("/actions").status_code == 302


def test_a_session_that_was_not_made_here_opens_nothing(house: World) -> None:
    """Forged, altered, of another key, or over."""
    who = house.settle()
    enter(who)
    kept = who.client.get_cookie(COOKIE)
    assert kept
    ours = Sessions(KEY, 1)
    digest = ours.read(kept.value)
    assert digest
    assert digest.digest
    over = Sessions(KEY, 0).seal(Sessions(KEY, 0).begin(digest.digest))
    foreign = Sessions(KEY[::-1], 1).seal(Sessions(KEY[::-1], 1).begin(digest.digest))
    for value in (over, foreign, kept.value[:-2] + "AA", "x", ""):
        client = house.app.test_client()
        client.set_cookie(COOKIE, value)
        assert client.get("/actions").status_code == 302


def test_attempts_are_limited_by_address(house: World) -> None:
    """Ten failed ones a minute; then also the right key waits."""
    who = house.settle()
    for _ in range(sign_in.ATTEMPTS_MAX):
        assert enter(who, key="guess").status_code == 401
    response = enter(who)
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "60"


@pytest.mark.parametrize("wanted", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_signing_in_leads_to_no_other_site(house: World, wanted: str) -> None:
    """Whatever the URL says."""
    assert enter(house.settle(), next=wanted).location == "/"


def test_a_header_cannot_stand_for_a_session(house: World) -> None:
    """What the dashboard tells the API in-process, no caller can tell it."""
    who = house.settle()
    for name in ("opsledger.key_digest", "Opsledger-Key-Digest"):
        response = house.app.test_client().get("/api/v1/logs/actions", headers={name: who.secret})
        assert response.status_code == 401


def test_without_a_session_key_the_dashboard_is_closed_and_says_so(world: World) -> None:
    """Naming the setting."""
    page = world.app.test_client().get("/sign-in")
    assert "OPSLEDGER_SESSION_KEY" in page.get_data(as_text=True)
    sent = world.app.test_client().post("/sign-in", data={"key": world.settle().secret})
    assert sent.status_code == 403


def test_another_tenants_records_are_not_there(house: World) -> None:
    """By no id, and by no name."""
    mine, theirs = house.settle(), house.settle()
    theirs_alone = action(theirs.tenant_id, error_message="theirs alone", operation_id="their-op")
    house.put(theirs_alone)
    enter(mine)
    for path in (f"/actions/{theirs_alone.id}", "/operations/their-op"):
        assert mine.client.get(path).status_code == 404
    assert "theirs alone" not in mine.client.get("/actions").get_data(as_text=True)
