"""The timeline of one operation: its attempts, its outcome and what it changed, oldest first."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from app.capture import AuditService, log_action
from app.domain.records import Record
from tests.support.world import (
    World,
    action,
    audit,
    follow,
    next_page,
    problem_of,
    record_id,
    refused_fields,
)

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


@pytest.mark.parametrize("limit", [1, 2, 7, 40, 41])
def test_a_long_operation_is_shown_page_by_page(world: World, limit: int) -> None:
    """Each record once, also where an action and an audit log have one id and a page ends there."""
    tenant = world.settle()
    records: list[Record] = []
    for number in range(20):
        at = START + timedelta(seconds=number // 3)
        records.append(action(tenant.tenant_id, at=at, operation_id="op/1"))
        twin = records[-1].id if number % 2 else record_id(at)
        records.append(audit(tenant.tenant_id, id=twin, operation_id="op/1"))
    world.put(*records, action(tenant.tenant_id, operation_id="op/2"))
    pages = list(follow(tenant, f"{OPERATIONS}/op%2F1?limit={limit}"))
    shown = [(row["id"], row["kind"]) for page in pages for row in page]
    assert shown == sorted((str(record.id), record.kind.value) for record in records)
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit


def test_more_than_a_thousand_retries_are_not_cut_off_in_silence(world: World) -> None:
    """A hundred, unless asked for more, and a link to the rest."""
    tenant = world.settle()
    world.put(*(action(tenant.tenant_id, operation_id="loop") for _ in range(1100)))
    first = tenant.get(f"{OPERATIONS}/loop")
    assert len(first.json) == 100
    assert next_page(first)
    pages = list(follow(tenant, f"{OPERATIONS}/loop?limit=1000"))
    assert [len(page) for page in pages] == [1000, 100]


def test_a_cursor_of_another_operation_is_refused(world: World) -> None:
    """It is bound to the operation and the tenant."""
    tenant, other = world.settle(), world.settle()
    for who in (tenant, other):
        for name in ("one", "two"):
            world.put(*(action(who.tenant_id, operation_id=name) for _ in range(3)))
    link = next_page(tenant.get(f"{OPERATIONS}/one?limit=2"))
    assert link
    assert len(tenant.get(link).json) == 1
    for reader, path in ((tenant, link.replace("/one?", "/two?")), (other, link)):
        assert "other filters" in refused_fields(reader.get(path))["after"]
    logs = next_page(tenant.get("/api/v1/logs/actions?limit=2")) or ""
    path = f"{OPERATIONS}/one?after={logs.partition('after=')[2]}"
    assert "not a cursor" in refused_fields(tenant.get(path))["after"]


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
