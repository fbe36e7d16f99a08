"""What a person's key reads of payloads is on record; what a machine's reads is not."""

from typing import Any
from uuid import uuid4

import pytest

from app.api import counted
from app.domain.access import Scope
from tests.support.world import Inhabitant, World, action, audit, eventually

LOGS = "/api/v1/logs"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for the minute."""
    monkeypatch.setattr(counted, "PERIOD_S", 1.0)


def with_records(world: World, **key: Any) -> tuple[Inhabitant, str, str]:
    """A tenant with an action and an audit log of one operation, and their ids."""
    tenant = world.settle(**key)
    act = action(tenant.tenant_id, request_payload={"a": 1}, operation_id="op/1")
    change = audit(tenant.tenant_id, operation_id="op/1")
    world.put(act, change)
    return tenant, str(act.id), str(change.id)


def readings(world: World, tenant: Inhabitant) -> list[dict[str, Any]]:
    """The readings in a tenant's log, oldest first, as a machine sees them."""
    world.arrive()
    secret = f"ops_machine_{uuid4().hex}"
    world.give_key(tenant.tenant_id, secret, [Scope.LOGS_READ, Scope.LOGS_READ_PAYLOADS])
    machine = Inhabitant(tenant.tenant_id, "", secret, tenant.client)
    rows = machine.get(f"{LOGS}/audits?action=read").json
    return [machine.get(f"{LOGS}/audits/{row['id']}").json for row in rows][::-1]


def test_each_record_a_person_reads_is_on_record(live: World) -> None:
    """Who, from where, and which; details, operations, and lists that show changes."""
    person, act, change = with_records(live, holder="human")
    for path in (f"actions/{act}", f"audits/{change}", "operations/op%2F1", "audits"):
        assert person.get(f"{LOGS}/{path}").status_code == 200
    found = readings(live, person)
    assert [(r["resource_type"], r["resource_id"]) for r in found] == [
        ("action_log", act),
        ("audit_log", change),
        ("operation", "op/1"),
        ("audit_logs", "list"),
    ]
    for record in found:
        assert record["user_id"] == f"key:{person.secret[:17]}"
        assert record["ip_address"] == "127.0.0.1"
        assert record["metadata"]["outcome"] == "success"
        assert record["metadata"]["count"] == 1


def test_reading_one_record_again_and_again_is_one_more_record(live: World) -> None:
    """With how often."""
    person, act, _ = with_records(live, holder="human")
    for _ in range(20):
        person.get(f"{LOGS}/actions/{act}")
    eventually(lambda: len(readings(live, person)) == 2)
    assert [record["metadata"]["count"] for record in readings(live, person)] == [1, 19]


@pytest.mark.parametrize(
    "key",
    [
        {"holder": "machine"},
        {},
        {"holder": "human", "scopes": [Scope.LOGS_READ]},
    ],
)
def test_what_shows_a_person_no_payload_is_not_on_record(live: World, key: dict[str, Any]) -> None:
    """A machine processes what it was given; without the scope, payloads are withheld."""
    reader, act, change = with_records(live, **key)
    for path in (f"actions/{act}", f"audits/{change}", "operations/op%2F1", "audits"):
        assert reader.get(f"{LOGS}/{path}").status_code == 200
    assert readings(live, reader) == []


def test_lists_without_payloads_leave_nothing(live: World) -> None:
    """The action list, statistics, and what is not there."""
    person, _, change = with_records(live, holder="human")
    for path in ("actions", "stats", "actions/failed/recent"):
        assert person.get(f"{LOGS}/{path}").status_code == 200
    assert person.get(f"{LOGS}/actions/{change}").status_code == 404
    assert readings(live, person) == []
