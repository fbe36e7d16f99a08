"""The timeline of one operation: its attempts, its outcome and what it changed, oldest first."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from app.capture import AuditService, log_action
from tests.support.world import World, action, audit, problem_of

OPERATIONS = "/api/v1/logs/operations"
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def test_a_timeline_joins_actions_and_audits_oldest_first(world: World) -> None:
    """Whatever order they arrived in; other operations stay out."""
    tenant = world.settle()
    story = [
        action(tenant.tenant_id, at=START, status="pending", operation_id="op-1"),
        action(
            tenant.tenant_id, at=START + timedelta(seconds=1), status="retry", operation_id="op-1"
        ),
        audit(tenant.tenant_id, at=START + timedelta(seconds=2), operation_id="op-1"),
        action(
            tenant.tenant_id, at=START + timedelta(seconds=3), status="success", operation_id="op-1"
        ),
        audit(tenant.tenant_id, at=START + timedelta(days=8) / 9, operation_id="op-1"),
    ]
    others = [
        action(tenant.tenant_id, operation_id="op-10"),
        action(tenant.tenant_id, operation_id="OP-1"),
        audit(tenant.tenant_id),
    ]
    world.put(*reversed(story), *others)
    shown = tenant.get(f"{OPERATIONS}/op-1").json
    assert [(row["kind"], row["id"]) for row in shown] == [
        (record.kind.value, str(record.id)) for record in story
    ]


def test_records_of_one_millisecond_are_told_apart_by_id(world: World) -> None:
    """The order is total, so two reads agree."""
    tenant = world.settle()
    records = [
        make(tenant.tenant_id, at=START, operation_id="op-1") for make in (action, audit) * 5
    ]
    world.put(*records)
    shown = [row["id"] for row in tenant.get(f"{OPERATIONS}/op-1").json]
    assert shown == sorted(str(record.id) for record in records)


def test_a_timeline_shows_each_record_in_full(world: World) -> None:
    """The fields of its kind's detail, and the kind."""
    tenant = world.settle()
    records = [
        action(tenant.tenant_id, at=START, request_payload={"a": [1]}, operation_id="op-1"),
        audit(tenant.tenant_id, metadata={"b": 2}, operation_id="op-1"),
    ]
    world.put(*records)
    for row, kind in zip(tenant.get(f"{OPERATIONS}/op-1").json, ("action", "audit"), strict=True):
        detail = tenant.get(f"/api/v1/logs/{kind}s/{row['id']}").json
        assert row == {"kind": kind, **detail}


@pytest.mark.parametrize(
    "operation_id", ["op-1", "a/b", "/a", "a//b/", "a b?c#d%", "日本", "x" * 255, "failed/recent"]
)
def test_an_operation_id_may_hold_any_character(world: World, operation_id: str) -> None:
    """It is the caller's own, such as a URL or a trace id."""
    tenant = world.settle()
    record = action(tenant.tenant_id, operation_id=operation_id)
    world.put(record)
    (row,) = tenant.get(f"{OPERATIONS}/{quote(operation_id, safe='')}").json
    assert row["operation_id"] == operation_id


def test_an_unknown_operation_is_not_found(world: World) -> None:
    """A timeline without a record is no timeline."""
    problem = problem_of(world.settle().get(f"{OPERATIONS}/none"), 404)
    assert "none" in problem["detail"]


def test_what_was_captured_under_one_operation_id_is_read_back_together(live: World) -> None:
    """From log_action and AuditService to the timeline, through spool, broker and worker."""
    tenant = live.settle()
    where = {"tenant_id": tenant.tenant_id, "operation_id": "sync 42"}
    call = {"action_type": "crm_update", "provider_name": "hubspot", "execution_time_ms": 3}
    with live.app.app_context():
        log_action(**where, **call, status="retry", error_message="429")
        log_action(**where, **call, status="success")
        AuditService().log_update(
            **where, resource_type="contact", resource_id="7", before={"a": 1}, after={"a": 2}
        )
    live.arrive()
    shown = tenant.get(f"{OPERATIONS}/sync%2042").json
    assert [(row["kind"], row.get("status")) for row in shown] == [
        ("action", "retry"),
        ("action", "success"),
        ("audit", None),
    ]
