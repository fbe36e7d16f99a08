"""All 26 operations over HTTP, each with every outcome: status, records and timeline."""

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.serving import make_server

from app.config import load_settings
from app.domain.records import BUILTIN_ACTION_TYPES
from app.domain.resources import Contact
from app.providers.sandbox import SandboxServer
from app.store.session import Database
from tests.support.adapter import BODIES, CALLS, COLLECTIONS, UNKNOWN_ID, Call, make_item
from tests.support.world import Inhabitant, World, eventually, follow, opened, problem_of

FAULT = "X-Sandbox-Fault"
OPERATION = "X-Operation-ID"


@pytest.fixture(scope="module")
def busy(
    environment: dict[str, str],
    maintenance: Database,
    worker: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A live app that waits for nobody long."""
    settings = replace(
        load_settings(environment),
        data_dir=tmp_path_factory.mktemp("adapter"),
        flush_interval_ms=5,
        flush_pause_ms=5,
        provider_timeout_s=0.02,
        provider_backoff_s=0.001,
        provider_failures_max=1_000,
    )
    with opened(settings, maintenance) as world:
        yield world


def timelines(world: World, who: Inhabitant) -> dict[str, list[dict[str, Any]]]:
    """The tenant's action logs by operation, oldest first, as Postgres has them."""
    world.arrive()
    found: dict[str, list[dict[str, Any]]] = {}
    with world.maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM action_logs WHERE tenant_id = :tenant ORDER BY id")
        for row in session.execute(statement, {"tenant": who.tenant_id}).mappings():
            found.setdefault(row["operation_id"], []).append(dict(row))
    return found


def timeline(world: World, who: Inhabitant, response: Any) -> list[dict[str, Any]]:
    """The records of the operation that a response names, oldest first."""
    return timelines(world, who)[response.headers[OPERATION]]


def test_there_is_a_call_for_each_action_type() -> None:
    """26, and the tests below make all of them."""
    assert set(CALLS) == set(BUILTIN_ACTION_TYPES)
    assert len(CALLS) == 26


def test_each_route_of_the_adapter_stands_for_one_action_type(world: World) -> None:
    """By its own mark; no type has two routes, no route has none."""
    marked = {
        (method, rule.rule): getattr(world.app.view_functions[rule.endpoint], "action_type", None)
        for rule in world.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(tuple(f"/api/v1/{path}" for path in COLLECTIONS.values()))
    }
    assert sorted(marked.values()) == sorted(BUILTIN_ACTION_TYPES)
    for action_type, call in CALLS.items():
        adapter = world.app.url_map.bind("localhost")
        endpoint, _ = adapter.match(call.path.format(id="x"), call.method)
        assert world.app.view_functions[endpoint].action_type == action_type


OUTCOMES: dict[str, tuple[str, int, list[str], str | None]] = {
    # fault, status (0: that of success), statuses on record, code
    "success": ("ok", 0, ["success"], None),
    "not found": ("404", 404, ["failure"], "not_found"),
    "invalid": ("400", 400, ["failure"], "invalid"),
    "unauthorized": ("401", 502, ["failure"], "unauthorized"),
    "provider 500": ("500", 502, ["retry", "retry", "failure"], "unavailable"),
    "500 once": ("500,ok", 0, ["retry", "success"], None),
    "429 with Retry-After": ("429=9", 429, ["failure"], "rate_limited"),
    "429, soon over": ("429=0,ok", 0, ["retry", "success"], None),
    "timeout": ("timeout", 504, ["retry", "retry", "timeout"], "timeout"),
    "lost answer": ("lost,ok", 0, ["retry", "success"], None),
    "malformed": ("malformed", 502, ["retry", "retry", "failure"], "unavailable"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_outcome_has_its_status_records_and_timeline(busy: World, call: Call) -> None:
    """What the caller is told, and what is on record of each attempt."""
    who = busy.settle()
    told, item_id = {}, ""
    for outcome, (fault, *_) in OUTCOMES.items():
        if "{id}" in call.path and (not item_id or call.method == "DELETE"):
            item_id = make_item(who, call.capability)["id"]
        told[outcome] = (item_id, call.make(who, item_id, **{FAULT: fault}))
    found = timelines(busy, who)
    for outcome, (fault, status, statuses, code) in OUTCOMES.items():
        item_id, response = told[outcome]
        records = found[response.headers[OPERATION]]
        where = f"{call.action_type}, {outcome}"
        assert response.status_code == (status or call.status), where
        assert [record["status"] for record in records] == statuses, where
        check_records(call, item_id, records)
        if code is not None:
            problem = problem_of(response, status)
            assert problem["code"] == code, where
            assert problem["type"].endswith(f"provider-{code.replace('_', '-')}"), where
            assert records[-1]["metadata"]["provider"]["code"] == code, where
            assert records[-1]["error_message"], where
        if fault == "429=9":
            assert response.headers["Retry-After"] == "9"
            assert records[-1]["metadata"]["provider"]["retry_after_s"] == 9


@pytest.mark.parametrize(
    ("fault", "status", "statuses"),
    [
        ("latency=1", 200, ["success"]),
        ("429=0", 429, ["retry", "retry", "failure"]),
        ("503=0,503=9", 502, ["retry", "failure"]),
        ("504", 504, ["retry", "retry", "timeout"]),
        ("409", 400, ["failure"]),
        ("403", 502, ["failure"]),
    ],
)
def test_further_faults_have_their_outcomes(
    busy: World, fault: str, status: int, statuses: list[str]
) -> None:
    """Of one operation, since none of them knows which it is."""
    who = busy.settle()
    response = CALLS["crm_list"].make(who, **{FAULT: fault})
    assert response.status_code == status
    assert [record["status"] for record in timeline(busy, who, response)] == statuses


def check_records(call: Call, item_id: str, records: list[dict[str, Any]]) -> None:
    """What the records of one operation have in common, and each for itself."""
    asked = {**({} if call.body is None else call.body), **call.query}
    for number, record in enumerate(records, 1):
        assert record["action_type"] == call.action_type
        assert record["provider_name"] == "sandbox"
        assert record["execution_time_ms"] >= 0
        assert asked.items() <= record["request_payload"].items()
        assert not item_id or item_id in record["request_payload"].values()
        exchange = record["metadata"]["provider"]
        assert exchange["attempt"] == number
        assert exchange["method"] == call.method
        assert (exchange["request_bytes"] > 0) == (call.body is not None)
        assert ("next_attempt_after_ms" in exchange) == (record["status"] == "retry")
        assert record["metadata"]["http"]["duration_ms"] >= record["execution_time_ms"] - 1


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_refused_at_the_door_is_asked_of_nobody(busy: World, call: Call) -> None:
    """400, no operation, no record."""
    who = busy.settle()
    item_id = UNKNOWN_ID if "{id}" in call.path else ""
    refused = who.client.open(
        call.path.format(id=item_id),
        method=call.method,
        headers=who.headers,
        **({"json": call.body} | call.invalid if call.body else call.invalid),
    )
    problem_of(refused, 400)
    assert OPERATION not in refused.headers
    busy.arrive()
    assert who.get("/api/v1/logs/actions").json == []


@pytest.mark.parametrize(
    "call", [call for call in CALLS.values() if "{id}" in call.path], ids=lambda c: c.action_type
)
def test_what_is_not_there_is_not_found(busy: World, call: Call) -> None:
    """Without any fault: by the sandbox' own word, which is on record."""
    who = busy.settle()
    for item_id in (UNKNOWN_ID, "no-such-form"):
        response = call.make(who, item_id)
        assert item_id in problem_of(response, 404)["detail"]
        (record,) = timeline(busy, who, response)
        assert record["status"] == "failure"
        assert record["response_data"]["code"] == "not_found"


@pytest.mark.parametrize("family", COLLECTIONS)
def test_a_creation_whose_answer_was_lost_makes_one_thing(busy: World, family: str) -> None:
    """The second attempt has the first one's idempotency key, and gets what the first one made."""
    who = busy.settle()
    path = f"/api/v1/{COLLECTIONS[family]}"
    for fault in ("lost,ok", "lost,lost,ok", "malformed,ok", "ok"):
        made = who.client.post(path, json=BODIES[family], headers={**who.headers, FAULT: fault})
        assert made.status_code == 201
    assert len(who.get(path).json) == 4


@pytest.mark.parametrize("family", ["crm", "calendar", "knowledge"])
def test_a_deletion_whose_answer_was_lost_is_done(busy: World, family: str) -> None:
    """The second attempt finds nothing, since the first one did it."""
    who = busy.settle()
    path = f"/api/v1/{COLLECTIONS[family]}/{make_item(who, family)['id']}"
    gone = who.client.delete(path, headers={**who.headers, FAULT: "lost,ok"})
    assert gone.status_code == 204
    # A limit is an answer of a provider that did nothing: what is not there then, never was.
    again = who.client.delete(path, headers={**who.headers, FAULT: "429=0,ok"})
    problem_of(again, 404)


@pytest.mark.parametrize(
    "given", ["", "nope", "200", "500;ok", "latency", "500=3", ",", "ok," * 20]
)
def test_a_fault_that_is_none_is_refused_with_those_there_are(world: World, given: str) -> None:
    """And nothing is done."""
    who = world.settle()
    response = who.client.post(
        "/api/v1/crm/contacts", json=BODIES["crm"], headers={**who.headers, FAULT: given}
    )
    (error,) = problem_of(response, 400)["errors"]
    assert error["field"] == FAULT
    assert "malformed" in error["detail"]
    assert who.get("/api/v1/crm/contacts").json == []


def test_every_nth_operation_has_the_faults_of_the_setting(
    environment: dict[str, str], maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same ones on each run."""
    settings = replace(
        load_settings(environment),
        data_dir=tmp_path_factory.mktemp("planned"),
        sandbox_faults="3:404",
    )
    with opened(settings, maintenance) as world:
        who = world.settle()
        statuses = [who.get("/api/v1/crm/contacts").status_code for _ in range(9)]
    assert statuses == [200, 200, 404] * 3


def test_an_event_cannot_end_before_it_starts(busy: World) -> None:
    """At the door if both are given; else the provider says so, and names the field."""
    who = busy.settle()
    made = make_item(who, "calendar")
    path = f"/api/v1/calendar/events/{made['id']}"
    at_door = who.patch(path, json={"start": made["end"], "end": made["start"]})
    assert OPERATION not in at_door.headers
    by_provider = who.patch(path, json={"end": made["start"]})
    for response in (at_door, by_provider):
        (error,) = problem_of(response, 400)["errors"]
        assert error["field"] == "end"
    (record,) = timeline(busy, who, by_provider)
    assert record["response_data"]["field"] == "end"


def test_events_are_listed_by_window(busy: World) -> None:
    """Those that touch it."""
    who = busy.settle()
    for day in (1, 2, 3):
        make_item(
            who, "calendar", start=f"2026-03-0{day}T10:00:00Z", end=f"2026-03-0{day}T11:00:00Z"
        )
    path = "/api/v1/calendar/events?since=2026-03-01T10:30:00Z&until=2026-03-03T10:00:00Z"
    shown = who.get(path).json
    assert [event["start"][:10] for event in shown] == ["2026-03-02", "2026-03-01"]
    backwards = "/api/v1/calendar/events?since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z"
    problem_of(who.get(backwards), 400)


@pytest.mark.parametrize("family", COLLECTIONS)
def test_pages_show_each_thing_once(busy: World, family: str) -> None:
    """By the Link header, to the end."""
    who = busy.settle()
    made = [make_item(who, family)["id"] for _ in range(5)]
    pages = list(follow(who, f"/api/v1/{COLLECTIONS[family]}?limit=2"))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(item["id"] for page in pages for item in page) == sorted(made)


def test_a_mistake_of_ours_is_one_failure_on_record(
    busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in a provider's code: 500 without a trace, and the call is on record all the same."""
    who = busy.settle()

    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Contact, "from_json", broken)
    response = who.get("/api/v1/crm/contacts")
    assert response.json == []
    with monkeypatch.context() as patch:
        patch.setattr(SandboxServer, "send", broken)
        failed = who.get("/api/v1/crm/contacts")
    assert "a bug" not in str(problem_of(failed, 500))
    (record,) = timeline(busy, who, failed)
    assert (record["status"], record["error_message"]) == ("failure", "RuntimeError: a bug")
    made = who.post("/api/v1/crm/contacts", json=BODIES["crm"])
    problem_of(made, 500)
    (record,) = timeline(busy, who, made)
    assert record["response_data"]["email"] == BODIES["crm"]["email"]


def test_a_caller_that_hangs_up_leaves_one_record(busy: World) -> None:
    """What was done for it is done, and on record, though nobody reads the answer."""
    who = busy.settle()
    server = make_server("127.0.0.1", 0, busy.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with socket.create_connection(("127.0.0.1", server.server_port)) as caller:
            lines = [
                "GET /api/v1/crm/contacts HTTP/1.1",
                "Host: localhost",
                f"X-API-Key: {who.secret}",
                f"{FAULT}: latency=10",
            ]
            caller.sendall("\r\n".join([*lines, "", ""]).encode())
        eventually(lambda: busy.opsledger.shipper.flush(1) and len(listed(who)) == 1)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    (record,) = listed(who)
    assert (record["action_type"], record["status"]) == ("crm_list", "success")


def listed(who: Inhabitant) -> list[dict[str, Any]]:
    """The tenant's action logs."""
    found: list[dict[str, Any]] = who.get("/api/v1/logs/actions").json
    return found


CREATES = {
    call.capability: name
    for name, call in CALLS.items()
    if call.path.endswith("s") and call.method == "POST" and "{id}" not in call.path
}
FAULTS = ("500", "500,ok", "429=0,ok", "429=9", "timeout,ok", "malformed,lost,ok", "404")
STEPS_OF = {
    "500": ["retry", "retry", "failure"],
    "500,ok": ["retry", "success"],
    "429=0,ok": ["retry", "success"],
    "429=9": ["failure"],
    "timeout,ok": ["retry", "success"],
    "malformed,lost,ok": ["retry", "retry", "success"],
    "404": ["failure"],
    "ok": ["success"],
}


def test_records_and_attempts_are_those_of_the_fault_log(busy: World) -> None:
    """A thousand of all 26, a tenth of them with faults by lot: each has its records, in order, and
    nobody else has any.
    """
    who, lot = busy.settle(), random.Random(7)
    items = {family: make_item(who, family)["id"] for family in COLLECTIONS}
    expected = Counter((CREATES[family], "success") for family in COLLECTIONS)
    operations = {}
    for _ in range(1_000):
        call, item_id = lot.choice(list(CALLS.values())), ""
        if call.method == "DELETE":
            item_id = make_item(who, call.capability)["id"]
            expected[CREATES[call.capability], "success"] += 1
        fault = lot.choice(FAULTS) if lot.random() < 0.1 else "ok"
        response = call.make(who, item_id or items[call.capability], **{FAULT: fault})
        operations[response.headers[OPERATION]] = STEPS_OF[fault]
        expected.update((call.action_type, status) for status in STEPS_OF[fault])
    busy.arrive()
    records = [row for page in follow(who, "/api/v1/logs/actions?limit=1000") for row in page]
    counted = Counter((row["action_type"], row["status"]) for row in records)
    assert counted == expected
    found = timelines(busy, who)
    for operation_id, statuses in operations.items():
        assert [record["status"] for record in found[operation_id]] == statuses
    for operation_id in lot.sample(sorted(operations), 50):
        shown = who.get(f"/api/v1/logs/operations/{operation_id}").json
        assert [record["status"] for record in shown] == operations[operation_id]
