"""Forwarding: every record arrives, in commit order, and what does not is seen and comes later."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.domain.forwarding import OPEN_AFTER, TRIAL_ROWS
from app.signing import sign
from app.store.session import Database
from tests.support.forwarding import DESTINATIONS, Line, act, made, shown
from tests.support.receiver import Receiver
from tests.support.tails import ids
from tests.support.world import (
    ALL_SCOPES,
    Inhabitant,
    World,
    action,
    audit,
    opened,
    problem_of,
    refused_fields,
)


def actions(who: Inhabitant, count: int, **values: Any) -> list[Any]:
    """Action records a millisecond apart, in the order of a batch."""
    at = datetime.now(UTC) - timedelta(seconds=5)
    return [
        action(who.tenant_id, at=at + timedelta(milliseconds=n), **values) for n in range(count)
    ]


def got(receiver: Receiver) -> list[str]:
    """The ids of all records that came, in their order."""
    return [record["id"] for _, body in receiver.got for record in json.loads(body)]


def webhook(who: Inhabitant, receiver: Receiver, **values: Any) -> dict[str, Any]:
    return made(who, "webhook", {"url": receiver.url, "compress": False}, **values)


def test_every_record_arrives_in_commit_order_and_once(
    world: World, line: Line, receiver: Receiver
) -> None:
    """Those from before the destination was made do not; a late one does, as it was committed."""
    who = world.settle()
    world.put(action(who.tenant_id))
    destination = webhook(who, receiver, kinds=["action"])
    first = actions(who, 3)
    late = action(who.tenant_id, at=datetime.now(UTC) - timedelta(days=3))
    world.put(*first)
    world.put(late)
    line.run()
    line.run()
    assert got(receiver) == [*ids(*first), str(late.id)]
    found = shown(who, destination)
    assert (found["sent"], found["waiting_records"], found["lag_s"]) == (4, 0, 0.0)
    assert found["last_success_at"]
    (audited,) = [audit(who.tenant_id)]
    world.put(audited)
    line.run()
    assert len(got(receiver)) == 4


def test_a_batch_is_signed_and_says_all_that_the_record_has(
    world: World, line: Line, receiver: Receiver
) -> None:
    """But nulls, which are left out."""
    who = world.settle()
    destination = webhook(who, receiver)
    assert destination["secret"].startswith("whsec_")
    record = action(who.tenant_id, request_payload={"a": [1, None]}, status="failure")
    changed = audit(who.tenant_id)
    world.put(record, changed)
    line.run()
    by_kind = {json.loads(body)[0]["kind"]: (head, body) for head, body in receiver.got}
    headers, body = by_kind["action"]
    stamp = int(headers["webhook-timestamp"])
    expected = sign(destination["secret"], headers["webhook-id"], stamp, body)
    assert headers["webhook-signature"] == expected
    (told,) = json.loads(body)
    assert told["request_payload"] == {"a": [1, None]}
    assert (told["status"], told["tenant_id"]) == ("failure", str(who.tenant_id))
    assert "response_data" not in told
    assert "error_message" not in told
    (told,) = json.loads(by_kind["audit"][1])
    assert told["changes"] == {"before": {"a": 1}, "after": {"a": 2}}


def test_filters_and_fields_choose_what_is_sent(
    world: World, line: Line, receiver: Receiver
) -> None:
    """By the filters of the lists; what names a record goes along."""
    who = world.settle()
    webhook(
        who,
        receiver,
        filters={"action": {"status": ["failure"]}, "audit": {"resource_type": "ticket"}},
        fields=["status", "resource_type"],
    )
    wanted = action(who.tenant_id, status="failure", request_payload={"secret": "x"})
    changed = audit(who.tenant_id, resource_type="ticket")
    world.put(wanted, action(who.tenant_id), changed, audit(who.tenant_id))
    line.run()
    told = [record for _, body in receiver.got for record in json.loads(body)]
    head = {"id", "tenant_id", "kind", "created_at"}
    assert {record["id"]: set(record) - head for record in told} == {
        str(wanted.id): {"status"},
        str(changed.id): {"resource_type"},
    }


def test_a_destination_that_is_away_is_tried_again_later_and_loses_nothing(
    world: World, line: Line, receiver: Receiver
) -> None:
    """With a pause that grows, and after many failures by a small batch."""
    who = world.settle()
    destination = webhook(who, receiver, kinds=["action"])
    records = actions(who, 3 * TRIAL_ROWS)
    world.put(*records)
    receiver.status = 503
    for tries in range(1, OPEN_AFTER + 1):
        line.run(later_s=400)
        found = shown(who, destination)
        assert (found["failures"], len(receiver.got)) == (tries, tries)
    assert line.run() == 0  # it is left alone for now
    assert found["waiting_records"] == 3 * TRIAL_ROWS
    assert found["lag_s"] > 0
    assert "503" in found["last_error"]
    assert found["retried"] == OPEN_AFTER * 3 * TRIAL_ROWS
    receiver.status, receiver.got = 200, []
    line.run(later_s=400)
    assert [len(json.loads(body)) for _, body in receiver.got] == [TRIAL_ROWS, 2 * TRIAL_ROWS]
    assert got(receiver) == ids(*records)
    found = shown(who, destination)
    assert (found["failures"], found["next_try_at"], found["waiting_records"]) == (0, None, 0)


def test_what_a_destination_asks_for_is_kept_to(
    world: World, line: Line, receiver: Receiver
) -> None:
    """Retry-After, in seconds, longer than our own pause."""
    who = world.settle()
    webhook(who, receiver)
    world.put(action(who.tenant_id))
    receiver.status, receiver.headers = 429, {"Retry-After": "120"}
    line.run()
    receiver.status = 200
    assert line.run(later_s=100) == 0
    line.run(later_s=25)
    assert len(receiver.got) == 2


def test_a_destination_that_denies_us_makes_no_dead_letters(
    world: World, line: Line, receiver: Receiver
) -> None:
    """The records wait until a person has put it right."""
    who = world.settle()
    destination = webhook(who, receiver)
    record = action(who.tenant_id)
    world.put(record)
    receiver.status = 401
    line.run()
    found = shown(who, destination)
    assert (found["dead_letters"], found["waiting_records"]) == (0, 1)
    assert found["last_error"].startswith("401")
    receiver.status = 200
    assert act(who, destination, "resume").status_code == 200  # at once
    line.run()
    assert got(receiver)[-1] == str(record.id)


def test_a_record_that_is_refused_becomes_a_dead_letter_and_its_neighbours_arrive(
    world: World, line: Line, receiver: Receiver
) -> None:
    """Found by halving; it can be sent again once the destination takes it, or be dropped."""
    who = world.settle()
    destination = webhook(who, receiver, kinds=["action"])
    records = [action(who.tenant_id, provider_name=f"p{n % 5}") for n in range(20)]
    poison = {str(record.id) for record in records if record.provider_name == "p3"}
    world.put(*records)

    def judge(body: bytes) -> int:
        return 422 if poison & {record["id"] for record in json.loads(body)} else 200

    receiver.judge = judge
    line.run()
    taken = [
        record["id"]
        for _, body in receiver.got
        if judge(body) == 200
        for record in json.loads(body)
    ]
    assert sorted(taken) == sorted(set(ids(*records)) - poison)
    found = shown(who, destination)
    assert (found["dead_letters"], found["sent"], found["waiting_records"]) == (4, 16, 0)
    letters = who.get(f"{DESTINATIONS}/{destination['id']}/dead-letters").json
    assert {one["record_id"] for one in letters} == poison
    assert all(one["reason"].startswith("422") for one in letters)
    chosen = [letters[0]["id"]]
    dropped = act(who, destination, "dead-letters/drop", ids=chosen)
    assert dropped.json == {"count": 1}
    line.run()
    assert shown(who, destination)["dead_letters"] == 3  # nothing is retried by itself
    receiver.judge = None
    assert act(who, destination, "dead-letters/retry", ids=[]).json == {"count": 3}
    receiver.got = []
    line.run()
    assert sorted(got(receiver)) == sorted(poison - {letters[0]["record_id"]})
    assert shown(who, destination)["dead_letters"] == 0


def test_a_destination_that_refuses_everything_is_stopped_before_it_empties_the_log(
    world: World, line: Line, receiver: Receiver
) -> None:
    """That is about the destination, not about the records."""
    who = world.settle()
    destination = webhook(who, receiver, kinds=["action"])
    world.put(*(action(who.tenant_id) for _ in range(40)))
    receiver.status = 400
    line.run()
    found = shown(who, destination)
    assert (found["dead_letters"], found["waiting_records"]) == (0, 40)
    assert "refuses whatever" in found["last_error"]


def test_a_paused_destination_waits_and_is_tested_all_the_same(
    world: World, line: Line, receiver: Receiver
) -> None:
    """A test is one record that is none of the log's."""
    who = world.settle()
    destination = webhook(who, receiver)
    assert act(who, destination, "pause").json["state"] == "paused"
    record = action(who.tenant_id)
    world.put(record)
    line.run()
    assert receiver.got == []
    assert act(who, destination, "test").status_code == 202
    line.run()
    (told,) = [one for _, body in receiver.got for one in json.loads(body)]
    assert (told["action"], told["resource_id"]) == ("test", destination["id"])
    found = shown(who, destination)
    assert (found["test_taken"], found["test_answer"], found["sent"]) == (True, "taken", 0)
    receiver.status = 500
    act(who, destination, "test")
    line.run()
    found = shown(who, destination)
    assert (found["test_taken"], found["failures"]) == (False, 0)
    assert found["test_answer"].startswith("500")
    receiver.status = 200
    act(who, destination, "resume")
    line.run()
    assert got(receiver)[-1] == str(record.id)


def test_a_window_is_replayed_beside_what_is_new(
    world: World, line: Line, receiver: Receiver
) -> None:
    """Also of before the destination was made."""
    who = world.settle()
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    old = [action(who.tenant_id, at=at + timedelta(minutes=n)) for n in range(5)]
    world.put(*old)
    destination = webhook(who, receiver)
    window = {
        "since": (at + timedelta(minutes=1)).isoformat(),
        "until": (at + timedelta(minutes=4)).isoformat(),
    }
    assert act(who, destination, "replay", **window).status_code == 202
    fresh = audit(who.tenant_id)
    world.put(fresh)
    line.run()
    assert sorted(got(receiver)) == sorted([*ids(*old[1:4]), str(fresh.id)])
    assert line.run() == 0


def test_the_policy_of_today_holds_for_what_was_kept_before_it(
    world: World, line: Line, receiver: Receiver
) -> None:
    """What is concealed already stays as it is."""
    who = world.settle()
    webhook(who, receiver, kinds=["action"])
    record = action(who.tenant_id, request_payload={"email": "a@example.com", "n": 1})
    world.put(record)
    rules = [{"key": "email", "mode": "hash"}, {"path": "request_payload.n", "mode": "drop"}]
    with world.maintenance.unrestricted_unsafe() as session:
        statement = "UPDATE tenants SET settings = CAST(:settings AS jsonb) WHERE id = :id"
        values = {"settings": json.dumps({"redaction": rules}), "id": who.tenant_id}
        session.execute(text(statement), values)
    line.run()
    (told,) = json.loads(receiver.got[0][1])
    hashed = told["request_payload"]["email"]
    assert hashed.startswith("[hashed: ")
    assert set(told["request_payload"]) == {"email"}
    again = action(who.tenant_id, request_payload={"email": hashed})
    world.put(again)
    line.run()
    assert json.loads(receiver.got[1][1])[0]["request_payload"] == {"email": hashed}


def test_secrets_are_never_shown_and_do_not_follow_to_another_address(
    world: World, receiver: Receiver
) -> None:
    """Neither in answers, nor in the database, nor to whoever only may change the URL."""
    who = world.settle()
    settings = {"url": "https://splunk.example.com:8088", "token": "t0ken-of-hec"}
    destination = made(who, "splunk", settings)
    for told in (destination, shown(who, destination), who.get(DESTINATIONS).json):
        assert "t0ken" not in json.dumps(told)
    with world.maintenance.unrestricted_unsafe() as session:
        (locked,) = session.execute(text("SELECT credentials FROM forward_destinations")).one()
    assert b"t0ken" not in bytes(locked)
    path = f"{DESTINATIONS}/{destination['id']}"
    elsewhere = {"settings": {"url": "https://evil.example.com"}}
    assert "secrets" in refused_fields(who.patch(path, json=elsewhere))["settings"]
    elsewhere["settings"]["token"] = "another"
    assert who.patch(path, json=elsewhere).json["settings"]["url"] == "https://evil.example.com"
    assert who.patch(path, json={"name": "renamed"}).json["name"] == "renamed"


def test_no_tenant_sees_or_moves_anothers_destination(world: World, receiver: Receiver) -> None:
    """And nobody without the scopes makes one."""
    who, other = world.settle(), world.settle()
    destination = webhook(who, receiver)
    path = f"{DESTINATIONS}/{destination['id']}"
    assert other.get(DESTINATIONS).json == []
    problem_of(other.get(path), 404)
    problem_of(other.patch(path, json={"name": "mine"}), 404)
    for verb in ("pause", "resume", "test"):
        problem_of(act(other, destination, verb), 404)
    problem_of(other.delete(path), 404)
    reader = world.settle(("logs:read",))
    body = {"name": "x", "sink": "webhook", "settings": {"url": receiver.url}}
    problem_of(reader.post(DESTINATIONS, json=body), 403)
    blind = world.settle(("logs:read", "forwarding:write"))
    assert "payloads" in problem_of(blind.post(DESTINATIONS, json=body), 403)["detail"]
    assert blind.post(DESTINATIONS, json={**body, "fields": ["status"]}).status_code == 201
    chosen = blind.get(DESTINATIONS).json[0]
    widened = blind.patch(f"{DESTINATIONS}/{chosen['id']}", json={"fields": []})
    assert "payloads" in problem_of(widened, 403)["detail"]


def test_the_operator_sends_on_the_records_of_every_tenant(
    world: World, line: Line, receiver: Receiver
) -> None:
    """Those that come later too; a tenant may not, and may not write files."""
    one, operator = world.settle(), world.operator()
    values = {"name": f"all {uuid7()}", "all_tenants": True, "kinds": ["action"]}
    destination = made(operator, "file", {"path": "all/actions.jsonl"}, **values)
    line.run()
    two = world.settle()
    records = [action(who.tenant_id) for who in (one, two)]
    for record in records:
        world.put(record)
    line.run()
    lines = (
        (world.opsledger.settings.data_dir / "forwarded/all/actions.jsonl").read_text().splitlines()
    )
    told = {json.loads(text)["id"]: json.loads(text)["tenant_id"] for text in lines}
    assert told == {str(one.id): str(one.tenant_id) for one in records} | {
        key: told[key] for key in told.keys() - set(ids(*records))
    }
    assert shown(operator, destination)["sent"] >= 2
    body = {"name": "x", "sink": "webhook", "settings": {"url": receiver.url}}
    assert (
        "operator"
        in refused_fields(one.post(DESTINATIONS, json={**body, "all_tenants": True}))["all_tenants"]
    )
    files = {"name": "x", "sink": "file", "settings": {"path": "x"}}
    assert "operator" in refused_fields(one.post(DESTINATIONS, json=files))["sink"]
    files["settings"] = {"path": "../x"}
    assert "settings.path" in refused_fields(operator.post(DESTINATIONS, json=files))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"sink": "pigeon"}, "sink"),
        ({"settings": {}}, "settings.url"),
        ({"settings": {"url": "nonsense"}}, "settings.url"),
        ({"settings": {"url": "https://a.example", "wings": 2}}, "settings.wings"),
        ({"settings": {"url": "https://a.example", "compress": "yes"}}, "settings.compress"),
        ({"settings": {"url": "https://a.example", "ca": "no PEM"}}, "settings.url"),
        ({"kinds": []}, "kinds"),
        ({"fields": ["shoe_size"]}, "fields"),
        ({"filters": {"action": {"status": ["odd"]}}}, "filters.action.status"),
        ({"filters": {"action": {"q": "x"}}}, "filters.action.q"),
        ({"format": "cbor"}, "format"),
    ],
)
def test_what_cannot_be_is_refused_by_name(world: World, body: dict[str, Any], field: str) -> None:
    """Each with the rule."""
    who = world.settle()
    usual = {"name": "x", "sink": "webhook", "settings": {"url": "https://a.example"}}
    if field != "settings.url" or body["settings"].get("ca") is None:
        assert field in refused_fields(who.post(DESTINATIONS, json={**usual, **body}))
    assert who.get(DESTINATIONS).json == []


def test_a_host_of_our_own_is_refused_when_it_is_sent_to(
    world: World, maintenance: Database, receiver: Receiver
) -> None:
    """Whatever was made while it was allowed."""
    who = world.settle()
    destination = webhook(who, receiver)
    world.put(action(who.tenant_id))
    strict = replace(world.opsledger.settings, private_destinations=("10.0.0.0/8",))
    with opened(strict, maintenance) as elsewhere:
        Line(elsewhere).run()
    assert receiver.got == []
    assert "not a public address" in shown(who, destination)["last_error"]


def test_whoever_lost_its_lease_moves_nothing(world: World, line: Line, receiver: Receiver) -> None:
    """A worker that froze comes back when another has delivered; the records came twice then."""
    who = world.settle()
    destination = webhook(who, receiver)
    record = action(who.tenant_id)
    world.put(record)

    def freeze(_: bytes) -> int:
        receiver.judge = None
        line.run(later_s=60)  # the lease is over, and another takes its turn
        return 200

    receiver.judge = freeze
    line.run()
    assert got(receiver) == [str(record.id)] * 2
    assert shown(who, destination)["sent"] == 1
    world.put(action(who.tenant_id))
    line.run(later_s=60)
    assert shown(who, destination)["sent"] == 2


def test_what_changes_a_destination_is_on_record(world: World, receiver: Receiver) -> None:
    """Without secrets."""
    who = world.settle(ALL_SCOPES)
    destination = webhook(who, receiver, name="on record")
    for verb in ("pause", "test", "resume"):
        act(who, destination, verb)
    assert who.delete(f"{DESTINATIONS}/{destination['id']}").status_code == 204
    spool = "".join(
        path.read_text("utf-8", "replace")
        for path in (world.opsledger.settings.data_dir / "spool").rglob("*")
        if path.is_file()
    )
    assert spool.count("forward_destination") >= 5
    assert destination["secret"] not in spool
