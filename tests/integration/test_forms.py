"""The dashboard's forms: sent from its own pages, with a key that may, or nothing changes."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import flask
import pytest

from app.config import Settings
from app.domain.access import OPERATOR_TENANT_ID
from app.store.session import Database
from app.ui import sign_in
from tests.support.world import ALL_SCOPES, Inhabitant, World, opened

KEY = "0123456789abcdef0123456789abcdef"
RULE = {
    "name": "Too slow",
    "kind": "action",
    "figure": "average_ms",
    "comparison": ">",
    "threshold": "1500",
    "window_s": "10",
    "for_s": "0",
    "renotify_s": "60",
    "min_count": "5",
    "severity": "critical",
    "provider_name": "hubspot, zendesk",
    "group_by": "provider_name",
    "enabled": "on",
}


@pytest.fixture
def house(
    settings: Settings, maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """An app whose dashboard is open."""
    sign_in.attempts = sign_in.Attempts()
    chosen = replace(settings, session_key=KEY, data_dir=tmp_path_factory.mktemp("forms"))
    with opened(chosen, maintenance) as world:
        yield world


def csrf_of(who: Inhabitant, path: str = "/sign-in") -> str:
    """What a form of a page has to send back."""
    found = re.search(r'name="csrf" value="([^"]+)"', who.client.get(path).text)
    assert found
    return found[1]


def enter(who: Inhabitant) -> Inhabitant:
    """Sign in."""
    sent = {"csrf": csrf_of(who), "key": who.secret}
    assert who.client.post("/sign-in", data=sent).status_code == 303
    return who


def send(who: Inhabitant, path: str, **sent: Any) -> Any:
    """Send a form from a page of this session."""
    return who.client.post(path, data={"csrf": csrf_of(who, "/storage"), **sent})


def form_paths(app: flask.Flask) -> list[str]:
    """Every form of the dashboard that needs a session."""
    values = {"alert_id": uuid4(), "rule_id": uuid4(), "channel_id": uuid4(), "key_id": uuid4()}
    values |= {"view_id": uuid4(), "name": "actions", "act": "delete"}
    values |= {"destination_id": uuid4(), "command": "pause", "verb": "retry"}
    with app.test_request_context():
        return [
            flask.url_for(rule.endpoint, **{name: values[name] for name in rule.arguments})
            for rule in app.url_map.iter_rules()
            if "POST" in (rule.methods or ())
            and not rule.rule.startswith(("/api/", "/v1/"))
            and rule.rule not in ("/sign-in", "/sign-out")
        ]


def test_no_form_is_taken_without_a_session_or_from_elsewhere(house: World) -> None:
    """Whatever the key may."""
    stranger, who = house.settle(), enter(house.operator())
    paths = form_paths(house.app)
    assert len(paths) >= 13
    for path in paths:
        assert stranger.client.post(path).location.startswith("/sign-in")
        for sent in ({}, {"csrf": "guessed"}):
            assert who.client.post(path, data=sent).status_code == 403, path
        foreign = {"Sec-Fetch-Site": "cross-site"}
        csrf = {"csrf": csrf_of(who, "/storage")}
        assert who.client.post(path, data=csrf, headers=foreign).status_code == 403, path


def test_no_form_does_more_than_its_key_may(house: World) -> None:
    """A reader reads, and is told which scope is missing."""
    reader = enter(house.settle(["logs:read"]))
    for path in form_paths(house.app):
        if not path.startswith("/views"):
            answer = send(reader, path)
            assert answer.status_code == 403, path
            assert re.search("scope|operator", answer.text), path
    everything = enter(house.settle(ALL_SCOPES))
    assert send(everything, "/keys", tenant=str(OPERATOR_TENANT_ID), name="x").status_code == 403


def test_a_rule_is_made_changed_and_deleted_as_its_form_says(house: World) -> None:
    """Minutes become seconds, parted texts become lists, and a rule comes back as its form."""
    who = enter(house.settle())
    assert "done=rule-made" in send(who, "/alerts/rules/new", **RULE).location
    (rule,) = [one for one in who.get("/api/v1/alerts/rules").json if one["name"] == "Too slow"]
    assert rule["filters"] == {"provider_name": ["hubspot", "zendesk"]}
    assert (rule["window_s"], rule["renotify_s"], rule["threshold"]) == (600, 3600, 1500.0)
    path = f"/alerts/rules/{rule['id']}"
    page = who.client.get(path).text
    for value in ("hubspot, zendesk", "Too slow", 'value="1500"', 'value="10"', 'value="60"'):
        assert value in page
    changed = {**RULE, "threshold": "2000", "provider_name": "", "enabled": None}
    send(who, path, **{name: value for name, value in changed.items() if value is not None})
    after = who.get(f"/api/v1{path}").json
    assert (after["threshold"], after["filters"], after["enabled"]) == (2000.0, {}, False)
    assert "done=rule-deleted" in send(who, f"{path}/delete").location
    assert who.get(f"/api/v1{path}").status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("threshold", "much", "Not a valid number"),
        ("window_s", "0", "from 60"),
        ("window_s", "soon", "whole number"),
        ("name", "", "1 to 100"),
        ("severity", "dire", "Must be one of"),
        ("resource_type", "contact", "resource_type"),
    ],
)
def test_a_form_that_cannot_be_comes_back_with_what_is_wrong(
    house: World, field: str, value: str, said: str
) -> None:
    """In the API's words, with all that was written, and nothing is made."""
    who = enter(house.settle())
    answer = send(who, "/alerts/rules/new", **{**RULE, field: value})
    assert answer.status_code == 400
    assert said in answer.text
    assert "hubspot, zendesk" in answer.text
    assert "Too slow" not in str(who.get("/api/v1/alerts/rules").json)


def test_trying_a_rule_makes_none(house: World) -> None:
    """It says how often it would have fired."""
    who = enter(house.settle())
    tried = send(who, "/alerts/rules/new", **RULE, act="try")
    assert "it would have fired 0 times" in tried.text
    assert "Too slow" not in str(who.get("/api/v1/alerts/rules").json)


def test_a_secret_is_shown_once(house: World) -> None:
    """Of a key and of a webhook; no other page has it."""
    operator, who = enter(house.operator()), enter(house.settle())
    new = {"tenant": str(who.tenant_id), "name": "new", "holder": "human"}
    made = send(operator, "/keys", **new, scopes=["logs:read"])
    secret = re.search(r'id="once">([^<]+)<', made.text)
    assert secret
    assert made.headers["Cache-Control"] == "no-store"
    guest = Inhabitant(who.tenant_id, "", secret[1], house.app.test_client())
    assert guest.get("/api/v1/logs/actions").status_code == 200
    assert secret[1] not in operator.client.get(f"/keys?tenant={who.tenant_id}").text
    channel = {"name": "hook", "kind": "webhook", "target": "https://example.com/"}
    hook = send(who, "/alerts/channels", **channel)
    assert 'id="once"' in hook.text
    assert 'id="once"' not in who.client.get("/alerts/channels").text
    assert send(who, "/alerts/channels", **channel).status_code == 409
    assert send(who, "/alerts/channels", **{**channel, "kind": "email"}).status_code == 400


def test_keys_are_rotated_and_revoked_and_wrong_ones_told(house: World) -> None:
    """By the rules of the API."""
    operator, who = enter(house.operator()), house.settle()
    listed = operator.get(f"/api/v1/admin/keys?tenant_id={who.tenant_id}").json
    path = f"/keys/{listed[0]['id']}"
    assert 'id="once"' in send(operator, f"{path}/rotate", overlap_s="0").text
    after = operator.get(f"/api/v1/admin/keys?tenant_id={who.tenant_id}").json
    assert [bool(one["revoked_at"]) for one in after] == [True, False]
    newest = after[1]["id"]
    assert "done=key-revoked" in send(operator, f"/keys/{newest}/revoke").location
    assert send(operator, f"/keys/{newest}/revoke").status_code == 409
    wrong = {"tenant": str(who.tenant_id), "name": "n", "holder": "human", "networks": "all"}
    refused = send(operator, "/keys", **wrong, scopes=["logs:read"])
    assert refused.status_code == 400
    assert re.search(r"<dt>networks[^<]*</dt><dd>[^<]*all", refused.text)


def test_an_export_has_the_filters_of_its_list_and_says_what_it_leaves_out(house: World) -> None:
    """Search and paths are not exported, and the page says so before."""
    who = enter(house.settle())
    query = "status=failure&status=timeout&min_execution_time_ms=5&q=abc&payload.a=1&columns=time"
    page = who.client.get(f"/exports/new?log=actions&{query}").text
    assert "does not match <b>q abc</b> <b>payload.a 1</b>" in page
    kept = re.search(r'name="query" value="([^"]*)"', page)
    assert kept
    chosen = {"log": "actions", "query": kept[1].replace("&amp;", "&"), "format": "jsonl"}
    assert "done=asked" in send(who, "/exports", **chosen).location
    (export,) = who.get("/api/v1/exports").json
    filters = {"status": ["failure", "timeout"], "min_execution_time_ms": 5}
    assert (export["filters"], export["format"]) == (filters, "jsonl")
    assert who.client.get("/exports/new?log=secrets").status_code == 404
    assert send(who, "/exports", log="actions", format="doc").status_code == 400


def test_an_operator_sees_how_full_storage_is_and_a_tenant_does_not(house: World) -> None:
    """Its page asks the admin endpoint, which is not for tenants."""
    operator, who = enter(house.operator()), enter(house.settle())
    shown = html.unescape(operator.client.get("/storage").text)
    assert "the database's disk" in shown
    assert "By tenant and month" in shown
    assert "disk" not in re.sub(
        r"(?s)<pre.*?</pre>|<p>.*?</p>", "", who.client.get("/storage").text
    )
