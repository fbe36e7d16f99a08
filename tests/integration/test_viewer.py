"""Viewer links: what one shows, and that it shows nothing else, to nobody else, for no longer."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.auth import hash_secret
from app.config import Settings
from app.store.session import Database
from app.viewing import Viewer, Viewers
from tests.support.world import (
    Inhabitant,
    World,
    action,
    audit,
    opened,
    problem_of,
    refused_fields,
)

LINKS = "/api/v1/viewer-links"
KEY = "0123456789abcdef" * 2
PORTAL = "https://portal.example"
ADA = {"user_id": "ada", "resource_type": "contact", "resource_id": "c/1"}


@pytest.fixture
def shown(
    settings: Settings, maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """An app that makes links, which one portal may frame."""
    data_dir = tmp_path_factory.mktemp("viewer")
    chosen = replace(settings, session_key=KEY, viewer_ancestors=(PORTAL,), data_dir=data_dir)
    with opened(chosen, maintenance) as world:
        yield world


def link_of(who: Inhabitant, **wanted: Any) -> str:
    """The path of a new link."""
    made = who.post(LINKS, json=wanted)
    assert made.status_code == 201, made.text
    return urlsplit(made.json["url"]).path


def look(world: World, path: str) -> Any:
    """What somebody sees who has the link alone."""
    return world.app.test_client().get(path)


def records_on(page: Any) -> list[str]:
    """The records that a page leads to."""
    assert page.status_code == 200, page.text
    return re.findall(r'event-title" href="/embed/[^"/]+/([0-9a-f-]+)"', page.text)


@pytest.mark.parametrize(
    "filters", [{"user_id": "ada"}, {"resource_type": "contact", "resource_id": "c/1"}, ADA]
)
def test_a_link_shows_what_its_filters_match_and_each_record_of_it(
    shown: World, filters: dict[str, str]
) -> None:
    """No other record by the list, by its id, by a cursor or by a parameter."""
    who, other = shown.settle(), shown.settle()
    mine = [audit(who.tenant_id, **ADA) for _ in range(35)]
    foreign = [
        audit(who.tenant_id, **{**ADA, **dict.fromkeys(filters, "else")}),
        audit(other.tenant_id, **ADA),
        action(who.tenant_id),
    ]
    shown.put(*mine, *foreign)
    path = link_of(who, **filters)
    first = look(shown, path)
    rest = re.search(r'href="\?after=([^"]+)"', first.text)
    assert rest
    more = look(shown, f"{path}?after={rest.group(1)}")
    assert sorted(records_on(first) + records_on(more)) == sorted(str(one.id) for one in mine)
    assert look(shown, f"{path}/{mine[0].id}").status_code == 200
    for record in foreign:
        assert look(shown, f"{path}/{record.id}").status_code == 404
        assert str(record.id) not in look(shown, f"{path}?user_id=else&q={record.id}").text
    for nonsense in ("export.csv", "no-id", "..%2Factions"):
        assert look(shown, f"{path}/{nonsense}").status_code == 404
    other_list = other.get("/api/v1/logs/audits?order=commit").headers["Link"]
    cursor = re.search(r"after=([^&>]+)", other_list)
    assert cursor
    assert look(shown, f"{path}?after={cursor.group(1)}").status_code == 400


def test_a_page_has_no_way_out_and_takes_no_session(shown: World) -> None:
    """No navigation, no form, and of a session as little as of a key."""
    who = shown.settle()
    made = audit(who.tenant_id, **ADA)
    shown.put(made)
    path = link_of(who, user_id="ada")
    for page in (look(shown, path), look(shown, f"{path}/{made.id}")):
        links = set(re.findall(r'<a [^>]*href="([^"#][^"]*)"', page.text))
        assert links <= {path, f"{path}/{made.id}"}
        assert "<form" not in page.text
        assert who.secret[:17] not in page.text
        assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("place", [0, 9, 40, 120, -2])
def test_a_changed_link_is_none(shown: World, place: int) -> None:
    """Wherever it is changed, and also one that another platform sealed."""
    who = shown.settle()
    path = link_of(who, user_id="ada")
    token = path.removeprefix("/embed/")
    at = place % len(token)
    changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
    foreign = Viewers(KEY[::-1]).seal(viewer_of(who, timedelta(hours=1)))
    for one in (changed, foreign, token[:-20], "x", "é", "A" * 5000):
        page = look(shown, f"/embed/{one}")
        assert page.status_code == 404
        assert "This link has ended" in page.text
    assert look(shown, path).status_code == 200


def viewer_of(who: Inhabitant, length: timedelta) -> Viewer:
    """What a link of this key stands for."""
    expires_at = datetime.now(UTC) + length
    return Viewer(hash_secret(who.secret), (("user_id", "ada"),), expires_at)


def test_a_link_ends_with_its_time_and_with_its_key(shown: World) -> None:
    """The same page tells either."""
    sealer, hour = Viewers(KEY), timedelta(hours=1)
    who, revoked = shown.settle(), shown.settle(revoked_at=datetime.now(UTC))
    lacking = shown.settle(["logs:write"])
    for viewer, status in (
        (viewer_of(who, hour), 200),
        (viewer_of(who, timedelta(seconds=-1)), 404),
        (viewer_of(revoked, hour), 404),
        (viewer_of(lacking, hour), 404),
    ):
        assert look(shown, f"/embed/{sealer.seal(viewer)}").status_code == status


def test_what_the_key_may_not_see_the_link_does_not_show(shown: World) -> None:
    """Payloads are withheld."""
    who = shown.settle(["logs:read"])
    made = audit(who.tenant_id, **ADA, changes={"before": None, "after": {"plan": "pro-plan"}})
    shown.put(made)
    path = link_of(who, user_id="ada")
    for page in (look(shown, path), look(shown, f"{path}/{made.id}")):
        assert page.status_code == 200
        assert "pro-plan" not in page.text


def test_the_sites_that_may_frame_it_are_named_and_no_other_page_is_framed(shown: World) -> None:
    """By the policy, which the old header must not contradict."""
    who = shown.settle()
    page = look(shown, link_of(who, user_id="ada"))
    assert f"frame-ancestors {PORTAL}" in page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in page.headers
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    other = look(shown, "/sign-in")
    assert other.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in other.headers["Content-Security-Policy"]


def test_where_nobody_is_named_nobody_may_frame_it(
    settings: Settings, maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And where nothing signs sessions there are no links."""
    closed = replace(settings, session_key="", data_dir=tmp_path_factory.mktemp("closed"))
    with opened(replace(closed, session_key=KEY), maintenance) as world:
        page = look(world, link_of(world.settle(), user_id="ada"))
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Frame-Options"] == "DENY"
    with opened(closed, maintenance) as world:
        refused = world.settle().post(LINKS, json={"user_id": "ada"})
        assert "OPSLEDGER_SESSION_KEY" in problem_of(refused, 503)["detail"]
        assert look(world, "/embed/x").status_code == 404


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "body"),
        ({"resource_type": "contact"}, "body"),
        ({"resource_id": "c-1", "user_id": "ada"}, "resource_type"),
        ({"user_id": "ada", "minutes": 0}, "minutes"),
        ({"user_id": "ada", "minutes": 1441}, "minutes"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "ada", "q": "x"}, "q"),
    ],
)
def test_what_a_link_cannot_be_is_a_400(shown: World, wanted: dict[str, Any], field: str) -> None:
    """A link to all that a tenant has, above all."""
    assert field in refused_fields(shown.settle().post(LINKS, json=wanted))


def test_who_makes_a_link_is_on_record(live: World, shown: World) -> None:
    """With what it shows, and until when."""
    who = shown.settle()
    link_of(who, resource_type="contact", resource_id="c/1", minutes=5)
    problem_of(shown.settle(["logs:write"]).post(LINKS, json={"user_id": "ada"}), 403)
    shown.arrive()
    (row,) = who.get("/api/v1/logs/audits?resource_type=viewer_link").json
    assert row["resource_id"] == "c/1"
    assert row["user_id"].startswith("key:")
    assert row["changes"]["after"]["resource_type"] == "contact"
