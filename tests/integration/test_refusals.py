"""Who was turned away is on record: at once, and without a flood of records."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.api import counted
from app.config import Settings
from app.domain.access import OPERATOR_TENANT_ID, Scope
from app.store import tenants as store
from app.store.session import Database
from tests.support.world import ALL_SCOPES, Inhabitant, World, eventually, opened, problem_of

ACTIONS = "/api/v1/logs/actions"
AUDITS = "/api/v1/logs/audits"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for the minute."""
    monkeypatch.setattr(counted, "PERIOD_S", 1.0)


def knock(world: World, secret: str, address: str) -> None:
    """A request that is turned away."""
    response = world.app.test_client().get(
        ACTIONS, headers={"X-API-Key": secret}, environ_overrides={"REMOTE_ADDR": address}
    )
    problem_of(response, response.status_code)
    assert response.status_code in {401, 403}


def on_record(world: World, tenant_id: UUID, **filters: str) -> list[dict[str, Any]]:
    """The refusals in a tenant's audit log, oldest first."""
    world.arrive()
    secret = f"ops_reader_{uuid4().hex}"
    world.give_key(tenant_id, secret, ALL_SCOPES)
    who = Inhabitant(tenant_id, "", secret, world.app.test_client())
    rows = who.get(AUDITS, query_string={"action": "refuse", **filters}).json
    return [who.get(f"{AUDITS}/{row['id']}").json for row in rows][::-1]


def address() -> str:
    """One that no other test calls from."""
    return f"2001:db8::{uuid4().hex[:4]}:{uuid4().hex[:4]}"


def test_an_unknown_key_is_on_record_with_the_operator(live: World) -> None:
    """From where, when and why; nothing of what was sent as a key."""
    where, secret = address(), "ops_live_" + uuid4().hex * 2
    knock(live, secret, where)
    (record,) = on_record(live, OPERATOR_TENANT_ID, ip_address=where)
    assert (record["resource_type"], record["resource_id"]) == ("api_key", "unknown")
    assert record["user_id"] is None
    assert record["metadata"]["reason"] == "unknown"
    assert record["metadata"]["outcome"] == "refused"
    assert record["metadata"]["count"] == 1
    assert record["metadata"]["http"]["route"] == ACTIONS
    assert secret[9:] not in str(record)


def test_a_key_that_is_over_or_elsewhere_is_on_record_with_its_tenant(live: World) -> None:
    """By the prefix that it is known by."""
    past = datetime.now(UTC) - timedelta(hours=1)
    for reason, key in (
        ("expired", {"expires_at": past}),
        ("revoked", {"revoked_at": past}),
        ("network", {"networks": ("10.0.0.0/8",)}),
    ):
        tenant, where = live.settle(**key), address()
        knock(live, tenant.secret, where)
        (record,) = on_record(live, tenant.tenant_id)
        assert record["metadata"]["reason"] == reason
        assert record["ip_address"] == where
        assert record["user_id"] == f"key:{tenant.secret[:17]}"
        assert UUID(record["resource_id"])


def test_a_flood_makes_two_records(live: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first at once, one with the number of the others when the period ends."""
    where = address()

    def records() -> list[dict[str, Any]]:
        return on_record(live, OPERATOR_TENANT_ID, ip_address=where)

    time.sleep(counted.PERIOD_S)  # that of the test before
    monkeypatch.setattr(counted, "PERIOD_S", 5.0)  # a busy machine takes long for forty requests
    for _ in range(40):
        knock(live, f"ops_live_{uuid4().hex}", where)
    assert len(records()) == 1
    eventually(lambda: len(records()) == 2)
    last = records()[-1]
    assert last["metadata"]["count"] == 39
    assert last["metadata"]["since"] <= last["metadata"]["until"]
    time.sleep(1.2)
    assert len(records()) == 2


def test_a_flood_from_everywhere_makes_few_records(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past so many addresses they are counted together, and the sum is right."""
    monkeypatch.setattr(counted, "CASES_MAX", 5)
    tenant = live.settle(networks=("10.0.0.0/8",))
    for _ in range(60):
        knock(live, tenant.secret, address())

    def total() -> int:
        return sum(record["metadata"]["count"] for record in on_record(live, tenant.tenant_id))

    eventually(lambda: total() == 60)
    records = on_record(live, tenant.tenant_id)
    assert len(records) <= 15
    assert records[-1]["ip_address"] is None


def test_who_sends_no_key_is_no_case(live: World) -> None:
    """A browser that strays here, or a scanner, has tried no key."""
    where = address()
    response = live.app.test_client().get(ACTIONS, environ_overrides={"REMOTE_ADDR": where})
    problem_of(response, 401)
    assert on_record(live, OPERATOR_TENANT_ID, ip_address=where) == []


def test_a_key_that_lacks_a_scope_is_on_record_with_what_it_asked_for(live: World) -> None:
    """For a route, for a search in payloads, and for what only the operator may."""
    tenant = live.settle([Scope.LOGS_READ, Scope.ADMIN])
    for path in ("/api/v1/crm/contacts", f"{ACTIONS}?q=x", "/api/v1/admin/tenants"):
        problem_of(tenant.get(path), 403)
    found = on_record(live, tenant.tenant_id)
    assert [record["metadata"]["reason"] for record in found] == ["scope"] * 3
    assert [record["metadata"]["asked"] for record in found] == [
        *("adapter:use", "logs:read:payloads", "admin")
    ]
    assert found[0]["metadata"]["http"]["route"] == "/api/v1/crm/contacts"


def test_a_key_of_an_inactive_tenant_is_on_record(live: World) -> None:
    """With its tenant, which may wonder."""
    tenant = live.settle()
    with live.maintenance.unrestricted_unsafe() as session:
        store.change_tenant(session, tenant.tenant_id, {"is_active": False})
    problem_of(tenant.get(ACTIONS), 403)
    with live.maintenance.unrestricted_unsafe() as session:
        store.change_tenant(session, tenant.tenant_id, {"is_active": True})
    (record,) = on_record(live, tenant.tenant_id)
    assert record["metadata"]["reason"] == "inactive"


def test_a_key_past_its_quota_is_on_record_as_counts(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """Not once for each of the thousands of requests of a client gone wild."""
    with opened(replace(settings, reads_per_minute_key=5), maintenance) as world:
        tenant = world.settle()
        statuses = [tenant.get("/api/v1/logs/stats").status_code for _ in range(60)]
        refused = statuses.count(429)
        assert refused >= 50

        def total() -> int:
            found = on_record(world, tenant.tenant_id)
            return sum(record["metadata"]["count"] for record in found)

        eventually(lambda: total() == refused)
        records = on_record(world, tenant.tenant_id)
        assert len(records) <= 6
        assert {record["metadata"]["asked"] for record in records} == {"key-reads"}
