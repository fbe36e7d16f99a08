"""Sinks against fakes that check every request by the published shape of their API."""

import json
from typing import Any

import pytest

from app.domain.ecs import ECS_VERSION
from tests.support.forwarding import Line, act, made, shown
from tests.support.intakes import Bulk, Datadog, Splunk, serving
from tests.support.tails import ids
from tests.support.world import World, action, audit


def test_bulk_takes_each_record_once_and_says_which_it_refuses(world: World, line: Line) -> None:
    """Half of them refused, some busy: neighbours arrive, none is sent twice into the stream."""
    who = world.settle()
    with serving(Bulk()) as bulk:
        destination = made(who, "elasticsearch", {"url": bulk.url, "namespace": "prod"})
        records = [
            action(who.tenant_id, execution_time_ms=number, status="failure", error_message="no")
            for number in range(40)
        ]
        world.put(*records, audit(who.tenant_id))
        busy: set[str] = set()

        def judge(document: dict[str, Any]) -> tuple[int, str] | None:
            number = document["event"].get("duration", -1) // 1_000_000
            if number % 4 == 1:
                return 400, "failed to parse field"
            if number % 4 == 2 and document["event"]["id"] not in busy:
                busy.add(document["event"]["id"])
                return 429, "rejected execution"
            return None

        bulk.judge = judge
        line.run()
        found = shown(who, destination)
        assert (found["dead_letters"], len(bulk.got)) == (10, 20)
        assert "429" in found["last_error"]
        line.run(later_s=10)
        found = shown(who, destination)
        assert (found["dead_letters"], found["sent"], found["waiting_records"]) == (10, 31, 0)
        assert len(set(bulk.ids())) == len(bulk.ids()) == 31
        letters = who.get(f"/api/v1/forwarding/destinations/{destination['id']}/dead-letters").json
        assert {one["reason"] for one in letters} == {"400 refused: failed to parse field"}
        bulk.judge = lambda _: None
        act(who, destination, "dead-letters/retry", ids=[])
        line.run()
        assert sorted(bulk.ids())[:3] == sorted(bulk.ids())[:3]
        assert len(set(bulk.ids())) == 41
        assert {index for index, _ in bulk.documents} == {
            "logs-opsledger.action-prod",
            "logs-opsledger.audit-prod",
        }
        one = bulk.documents["logs-opsledger.action-prod", str(records[0].id)]
        assert (one["ecs"]["version"], one["event"]["outcome"]) == (ECS_VERSION, "failure")
        assert one["organization"]["id"] == str(who.tenant_id)
        assert bulk.wrong == []


def test_a_repeated_bulk_makes_no_second_document(world: World, line: Line) -> None:
    """A conflict says that it is there, so it counts as taken."""
    who = world.settle()
    with serving(Bulk()) as bulk:
        destination = made(who, "elasticsearch", {"url": bulk.url, "api_key": "a2V5"})
        record = action(who.tenant_id)
        world.put(record)
        line.run()
        act(who, destination, "replay", since="2020-01-01T00:00:00Z")
        line.run()
        found = shown(who, destination)
        assert (found["sent"], found["failures"], found["dead_letters"]) == (2, 0, 0)
        assert bulk.ids() == ids(record)


def test_datadog_gets_entries_within_its_limits(world: World, line: Line) -> None:
    """5 MB and 1,000 at a time; a wrong key is the destination's fault."""
    who = world.settle()
    with serving(Datadog()) as intake:
        settings = {"url": intake.url, "api_key": intake.key, "tags": "env:test"}
        destination = made(who, "datadog", settings)
        large = {"blob": "x" * 60_000}
        records = [action(who.tenant_id, request_payload=large) for _ in range(100)]
        failed = action(who.tenant_id, status="timeout", error_message="too slow")
        world.put(*records, failed)
        line.run()
        assert intake.wrong == []
        assert sorted(intake.ids()) == sorted(ids(*records, failed))
        assert intake.requests == 2
        (entry,) = [one for one in intake.got if one["id"] == str(failed.id)]
        assert entry["status"] == "error"
        assert entry["message"] == "crm_create hubspot timeout too slow"
        assert set(entry["ddtags"].split(",")) == {
            "kind:action",
            f"tenant:{who.tenant_id}",
            "env:test",
        }
        intake.key = "another"
        world.put(action(who.tenant_id))
        line.run()
        found = shown(who, destination)
        assert found["last_error"].startswith("403")
        assert (found["dead_letters"], found["waiting_records"]) == (0, 1)


def test_splunk_counts_a_batch_once_it_is_acknowledged(
    world: World, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when it was received; and a token that is none of its is no record's fault."""
    import app.sinks.splunk as module

    monkeypatch.setattr(module, "ACK_S", 0.6)
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    who = world.settle()
    with serving(Splunk()) as hec:
        settings = {"url": hec.url, "token": hec.token, "acknowledged": True, "index": "main"}
        destination = made(who, "splunk", settings)
        records = [action(who.tenant_id), audit(who.tenant_id)]
        world.put(*records)
        hec.looks_needed = 10**6
        line.run()
        found = shown(who, destination)
        assert (found["sent"], found["waiting_records"]) == (0, 2)
        assert "not acknowledged" in found["last_error"]
        hec.looks_needed = 2
        line.run(later_s=10)
        assert set(hec.ids()) == set(ids(*records))
        assert shown(who, destination)["sent"] == 2
        event = next(one for one in hec.got if one["id"] == str(records[0].id))
        assert event["event"]["action_type"] == "crm_create"
        assert (event["sourcetype"], event["index"]) == ("opsledger:action", "main")
        assert hec.wrong == []
        hec.fail = lambda _: (400, {}, b'{"text":"Incorrect index","code":7}')
        world.put(action(who.tenant_id))
        line.run()
        assert shown(who, destination)["dead_letters"] == 0


def test_cloud_events_have_what_the_specification_asks_for(world: World, line: Line) -> None:
    """As a batch in JSON, version 1.0."""
    who = world.settle()
    taken: list[tuple[str, Any]] = []
    with serving(Bulk()) as server:

        def take(request: Any) -> tuple[int, dict[str, str], bytes]:
            taken.append((request.headers["content-type"], json.loads(request.body)))
            return 204, {}, b""

        server.fail = take
        made(who, "webhook", {"url": f"{server.url}/in", "cloud_events": True}, format="ocsf")
        record = action(who.tenant_id)
        world.put(record)
        line.run()
    ((kind, (event,)),) = taken
    assert kind.startswith("application/cloudevents-batch+json")
    assert {"id", "source", "specversion", "type"} <= set(event)
    assert (event["id"], event["specversion"]) == (str(record.id), "1.0")
    assert event["data"]["class_uid"] == 6003
