"""Who was turned away is on record: at once, and without a flood of records."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.api import refusals
from app.domain.access import OPERATOR_TENANT_ID
from tests.support.world import ALL_SCOPES, Inhabitant, World, eventually, problem_of

ACTIONS = "/api/v1/logs/actions"
AUDITS = "/api/v1/logs/audits"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for the minute."""
    monkeypatch.setattr(refusals, "PERIOD_S", 1.0)


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

    time.sleep(refusals.PERIOD_S)  # that of the test before
    monkeypatch.setattr(refusals, "PERIOD_S", 5.0)  # a busy machine takes long for forty requests
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
    monkeypatch.setattr(refusals, "CASES_MAX", 5)
    tenant = live.settle(networks=("10.0.0.0/8",))
    for _ in range(60):
        knock(live, tenant.secret, address())

    def counted() -> int:
        return sum(record["metadata"]["count"] for record in on_record(live, tenant.tenant_id))

    eventually(lambda: counted() == 60)
    records = on_record(live, tenant.tenant_id)
    assert len(records) <= 15
    assert records[-1]["ip_address"] is None


def test_who_sends_no_key_is_no_case(live: World) -> None:
    """A browser that strays here, or a scanner, has tried no key."""
    where = address()
    response = live.app.test_client().get(ACTIONS, environ_overrides={"REMOTE_ADDR": where})
    problem_of(response, 401)
    assert on_record(live, OPERATOR_TENANT_ID, ip_address=where) == []
