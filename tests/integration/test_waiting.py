"""Synchronous capture: a caller that waits knows that Postgres has its record."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.capture import ActionLogger, AuditService
from app.config import Settings
from app.errors import NotYetCommitted, RecordRefused
from app.store.session import Database
from tests.support.ledger import rows
from tests.support.world import World, opened


def test_who_waits_finds_the_record_in_postgres(live: World) -> None:
    """Of both kinds, at once and without a flush; in far less than the time it may take."""
    tenant_id = live.settle().tenant_id
    live.log(tenant_id, wait=True)  # the first one makes connections
    taken = []
    for _ in range(10):
        started = time.monotonic()
        record_id = live.log(tenant_id, wait=True)
        taken.append(time.monotonic() - started)
        found = [row.id for row in rows(live.maintenance, "action_logs", tenant_id)]
        assert record_id in found
    with live.app.app_context():
        service = AuditService(wait=True)
        change: dict[str, Any] = {"resource_type": "contact", "resource_id": "7", "data": {}}
        audit_id = service.log_create(tenant_id=tenant_id, **change)
        with ActionLogger(tenant_id, "crm_get", "hubspot", wait=True) as call:
            call.response_data = {"id": 7}
    assert [row.id for row in rows(live.maintenance, "audit_logs", tenant_id)] == [audit_id]
    assert call.record_id in [row.id for row in rows(live.maintenance, "action_logs", tenant_id)]
    print(f"waited {sorted(taken)[5] * 1000:.0f} ms (median), {max(taken) * 1000:.0f} ms at most")
    assert sorted(taken)[5] < 1.0


def test_who_waits_for_a_record_that_became_a_dead_letter_is_told(live: World) -> None:
    """The shipment is confirmed, the record is not in the log: of a tenant that does not exist."""
    stranger, tenant_id = uuid7(), live.settle().tenant_id
    live.log(tenant_id)
    with pytest.raises(RecordRefused, match="dead letter") as raised:
        live.log(stranger, wait=True)
    with live.maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT reason FROM dead_letters WHERE record_id = :record")
        reason = session.execute(statement, {"record": raised.value.record_id}).scalar_one()
    assert reason == f"tenant_id: no tenant {stranger}"


def test_many_wait_at_once(live: World) -> None:
    """They share shipments, and each gets its own answer."""
    tenant_id = live.settle().tenant_id
    done: list[Any] = []
    threads = [
        threading.Thread(target=lambda: done.append(live.log(tenant_id, wait=True)))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 20
    assert {row.id for row in rows(live.maintenance, "action_logs", tenant_id)} == set(done)


def test_without_a_broker_the_wait_ends_in_time_and_the_record_is_kept(
    settings: Settings, maintenance: Database
) -> None:
    """Which the exception says."""
    with opened(replace(settings, redis_url="redis://127.0.0.1:1/0"), maintenance) as world:
        tenant_id = world.settle().tenant_id
        started = time.monotonic()
        with pytest.raises(NotYetCommitted):
            world.log(tenant_id, wait=True, timeout_s=0.2)
        assert time.monotonic() - started < 2.0
        assert world.opsledger.recorder.spool.pending
