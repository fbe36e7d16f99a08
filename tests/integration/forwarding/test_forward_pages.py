"""The dashboard's pages of destinations: all that the API does with one, by forms."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.config import Settings
from app.store.session import Database
from app.ui import sign_in
from tests.support.forwarding import DESTINATIONS, Line, made, sending, shown
from tests.support.receiver import Receiver
from tests.support.world import Inhabitant, World, action


@pytest.fixture
def world(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app that may send to this host, and whose dashboard is open."""
    sign_in.attempts = sign_in.Attempts()
    chosen = replace(settings, session_key="0123456789abcdef0123456789abcdef")
    with sending(chosen, maintenance) as world:
        yield world


def csrf_of(who: Inhabitant, path: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', who.client.get(path).text)
    assert found
    return found[1]


def enter(who: Inhabitant) -> Inhabitant:
    """Sign in."""
    sent = {"csrf": csrf_of(who, "/sign-in"), "key": who.secret}
    assert who.client.post("/sign-in", data=sent).status_code == 303
    return who


def send(who: Inhabitant, path: str, **sent: Any) -> Any:
    """Send a form from a page of this session."""
    return who.client.post(path, data={"csrf": csrf_of(who, "/forwarding"), **sent})


def form_of(page: str) -> dict[str, Any]:
    """What a browser would send of the settings' form, as it is shown."""
    fields: dict[str, Any] = {}
    for tag in re.findall(r"<input [^>]*>", page):
        told = dict(re.findall(r'([a-z]+)="([^"]*)"', tag))
        if told.get("type") == "checkbox":
            if " checked" in tag:
                fields.setdefault(told["name"], []).append(told.get("value", "on"))
        elif "name" in told:
            fields[told["name"]] = html.unescape(told.get("value", ""))
    for name, body in re.findall(r'<select name="([^"]+)">(.*?)</select>', page, re.S):
        chosen = re.search(r'value="([^"]*)" selected', body)
        fields[name] = chosen[1] if chosen else ""
    return {name: value for name, value in fields.items() if name not in ("csrf", "key")}


def test_a_destination_is_made_changed_and_deleted_by_forms(
    world: World, line: Line, receiver: Receiver
) -> None:
    """As the API would: its secret is shown once, and stays unless another is written."""
    who = enter(world.settle())
    values = {
        "sink": "webhook",
        "name": "SIEM",
        "format": "native",
        "kinds": ["action"],
        "fields": ["status"],
        "settings.url": receiver.url,
        "filters.action.status": "failure, timeout",
        "filters.action.min_execution_time_ms": "0",
    }
    answer = send(who, "/forwarding/new", **values)
    assert 'id="once"' in answer.text
    (found,) = who.get(DESTINATIONS).json
    path = f"/forwarding/{found['id']}"
    assert 'id="once"' not in who.client.get(path).text
    chosen = {"status": ["failure", "timeout"], "min_execution_time_ms": 0}
    assert (found["kinds"], found["fields"]) == (["action"], ["status"])
    assert found["filters"] == {"action": chosen}
    assert found["settings"] == {"url": receiver.url, "cloud_events": False, "compress": False}
    # What the page shows, sent back as it is, changes nothing.
    again = form_of(who.client.get(path).text)
    assert "destination-changed" in send(who, path, **again).location
    same = ("name", "kinds", "fields", "filters", "settings", "format")
    assert {name: shown(who, found)[name] for name in same} == {name: found[name] for name in same}
    again |= {"name": "renamed", "filters.action.status": "", "kinds": ["action", "audit"]}
    send(who, path, **again)
    changed = shown(who, found)
    assert (changed["name"], changed["kinds"]) == ("renamed", ["action", "audit"])
    world.put(action(who.tenant_id))
    line.run()
    assert len(receiver.got) == 1  # under the secret it had
    assert "destination-deleted" in send(who, f"{path}/delete").location
    assert who.get(DESTINATIONS).json == []


@pytest.mark.parametrize("sink", ["syslog", "elasticsearch", "datadog", "splunk", "otlp", "s3"])
def test_each_sink_has_a_form_of_what_it_asks_for(world: World, sink: str) -> None:
    """What is wrong comes back with the form, in the API's words; secrets do not."""
    who = enter(world.settle())
    page = who.client.get(f"/forwarding/new?sink={sink}").text
    sent = {**form_of(page), "name": "x", "settings.client_key": "hush", "settings.port": "many"}
    refused = send(who, "/forwarding/new", **sent)
    assert refused.status_code == 400
    assert "<dt>settings." in refused.text
    assert "hush" not in refused.text
    assert 'value="file"' not in page  # the operator's alone
    assert who.get(DESTINATIONS).json == []


def test_what_can_be_done_with_a_destination_is_on_its_page(
    world: World, line: Line, receiver: Receiver
) -> None:
    """Test, pause, resume, replay; and dead letters one by one or all."""
    who = enter(world.settle())
    found = made(who, "webhook", {"url": receiver.url, "compress": False}, kinds=["action"])
    path = f"/forwarding/{found['id']}"
    records = [action(who.tenant_id) for _ in range(3)]
    world.put(*records)
    poison = {str(record.id) for record in records[:2]}
    receiver.judge = lambda body: 422 if poison & {one["id"] for one in json.loads(body)} else 200
    line.run()
    page = who.client.get(path).text
    assert all(record_id in page for record_id in poison)
    letters = who.get(f"{DESTINATIONS}/{found['id']}/dead-letters").json
    send(who, f"{path}/dead-letters/drop", letter=letters[0]["id"])
    assert shown(who, found)["dead_letters"] == 1
    receiver.judge = None
    assert "letters-retried" in send(who, f"{path}/dead-letters/retry").location
    line.run()
    assert shown(who, found)["dead_letters"] == 0
    assert "paused" in send(who, f"{path}/pause").location
    assert shown(who, found)["state"] == "paused"
    send(who, f"{path}/test")
    line.run()
    assert "The test was taken" in who.client.get(path).text
    send(who, f"{path}/resume")
    assert shown(who, found)["state"] == "active"
    receiver.got = []
    assert send(who, f"{path}/replay", since="yesterday").status_code == 400
    assert "replay-asked" in send(who, f"{path}/replay", since="2020-01-01T00:00:00Z").location
    line.run()
    (told,) = [json.loads(body) for _, body in receiver.got]
    assert {one["id"] for one in told} == {str(record.id) for record in records}
    assert who.client.get("/forwarding/no-id").status_code in (400, 404)


def test_a_reader_sees_the_page_and_does_nothing(world: World, receiver: Receiver) -> None:
    """Nor does it see another tenant's."""
    who, reader = world.settle(), enter(world.settle(("logs:read",)))
    found = made(who, "webhook", {"url": receiver.url})
    assert reader.client.get("/forwarding").status_code == 200
    assert reader.client.get("/forwarding/new").status_code == 403
    assert reader.client.get(f"/forwarding/{found['id']}").status_code == 404
    answer = send(reader, f"/forwarding/{found['id']}/delete")
    assert answer.status_code == 403
    assert shown(who, found)["state"] == "active"
