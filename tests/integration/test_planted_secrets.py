"""Secrets planted wherever a caller can put one: they appear nowhere that anything is kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.capture import ActionLogger, AuditService
from app.config import Settings
from app.store.session import Database
from tests.support.host import NOWHERE
from tests.support.ingest import ACTIONS, AUDITS, call, change
from tests.support.planted import AWS, GITHUB, HEADERS, PASSWORD, PAYLOAD, STRIPE, TEXT, found_in
from tests.support.world import Inhabitant, World, opened

TABLES = ("action_logs", "audit_logs", "dead_letters", "late_records", "log_batches", "shipments")


@pytest.fixture
def alone(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app without a broker: what it keeps stays on its disk."""
    with opened(replace(settings, redis_url=NOWHERE["redis_url"]), maintenance) as world:
        yield world


def _plant(world: World, tenant: Inhabitant) -> list[str]:
    """Send secrets through every door; returns what the callers were answered."""

    def fail() -> Any:
        raise RuntimeError(f"the view failed: {TEXT}")

    world.app.add_url_rule("/planted", "planted", fail)
    audits = AuditService(world.opsledger.recorder)
    texts = {"operation_id": GITHUB, "metadata": PAYLOAD}
    action = call(request_payload=PAYLOAD, response_data=TEXT, error_message=TEXT, **texts)
    audit = change(changes=PAYLOAD, user_agent=TEXT, user_id=f"u {AWS}", **texts)
    with world.app.app_context():
        world.opsledger.recorder.record_action({**action, "tenant_id": tenant.tenant_id})
        with (
            pytest.raises(ValueError, match="Bearer"),
            ActionLogger(tenant.tenant_id, "crm_get", "hubspot", request_payload={"e": TEXT}),
        ):
            raise ValueError(TEXT)
    headers = {**tenant.headers, **HEADERS}
    with world.app.test_request_context("/nowhere/" + STRIPE, headers=HEADERS):
        audits.log_create(
            tenant_id=tenant.tenant_id, resource_type="key", resource_id=AWS, data=PAYLOAD
        )
        world.app.process_response(world.app.response_class())
    sent = [
        tenant.client.post(ACTIONS, json=[action, call(status=TEXT)], headers=headers),
        tenant.client.post(AUDITS, json=[audit, change(tenant_id=TEXT)], headers=headers),
        tenant.client.get("/planted", query_string={"token": PASSWORD}, headers=headers),
        tenant.client.get(f"/api/v1/logs/{STRIPE}", headers=headers),
        tenant.client.get("/api/v1/logs/actions", query_string={"a": TEXT}, headers=headers),
        tenant.client.get("/api/v1/logs/actions", query_string={"status": TEXT}, headers=headers),
        tenant.client.post("/api/v1/crm/contacts", json={TEXT: TEXT}, headers=headers),
        tenant.client.get("/api/v1/logs/actions", headers={**HEADERS, "X-API-Key": STRIPE}),
    ]
    assert [answer.status_code for answer in sent] == [202, 202, 500, 404, 400, 400, 400, 401]
    return [f"{answer.headers}{answer.get_data(as_text=True)}" for answer in sent]


def test_no_planted_secret_is_on_disk_in_a_log_line_or_in_an_answer(
    alone: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The spool holds the very bytes that the broker is handed."""
    answers = _plant(alone, alone.settle())
    alone.opsledger.shipper.stop(grace_s=0)
    folder: Path = alone.opsledger.settings.data_dir
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert kept.count(b"[redacted: stripe_key]") > 5
    assert found_in(kept.decode("utf-8", "replace")) == []
    lines = caplog.text + "".join(capfd.readouterr())
    assert "the view failed: Bearer [redacted: bearer]" in lines
    assert found_in(lines) == []
    assert found_in("".join(answers)) == []


def test_no_planted_secret_is_in_the_database(live: World) -> None:
    """In no column of any table that holds what records say."""
    tenant = live.settle()
    _plant(live, tenant)
    live.arrive()
    with live.maintenance.unrestricted_unsafe() as session:
        rows = [
            row[0]
            for table in TABLES
            for row in session.connection().exec_driver_sql(f"SELECT t::text FROM {table} t")
        ]
    mine = "\n".join(row for row in rows if str(tenant.tenant_id) in row)
    assert mine.count("[redacted: stripe_key]") > 5
    assert found_in(mine) == []
