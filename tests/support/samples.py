"""Sample records, spools to put them in, and ways to see what became of them."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from uuid_utils.compat import uuid7

from app.domain.codec import decode
from app.domain.records import (
    BUILTIN_ACTION_TYPES,
    ActionRecord,
    AuditRecord,
    Record,
    action_record,
    audit_record,
)
from app.spool import Spool

TENANT = UUID("0198c0de-0000-7000-8000-000000000001")


def action_values(**values: Any) -> dict[str, Any]:
    """The fields of a valid action record, with those given in place of the usual ones."""
    usual: dict[str, Any] = {
        "tenant_id": TENANT,
        "action_type": "crm_create",
        "provider_name": "hubspot",
        "request_payload": {"email": "a@example.com"},
        "response_data": {"id": 7},
        "status": "success",
        "execution_time_ms": 12,
    }
    return {**usual, **values}


def audit_values(**values: Any) -> dict[str, Any]:
    """The fields of a valid audit record, with those given in place of the usual ones."""
    usual: dict[str, Any] = {
        "tenant_id": TENANT,
        "action": "update",
        "resource_type": "contact",
        "resource_id": "7",
        "changes": {"before": {"name": "A"}, "after": {"name": "B"}},
    }
    return {**usual, **values}


def action(**values: Any) -> ActionRecord:
    """A valid action record."""
    whole = {"id": uuid7(), **action_values(**values)}
    return action_record(whole, action_types=BUILTIN_ACTION_TYPES)


def audit(**values: Any) -> AuditRecord:
    """A valid audit record."""
    return audit_record({"id": uuid7(), **audit_values(**values)})


def open_spool(folder: Path, **values: Any) -> Spool:
    """A spool with small bounds, by default without syncs of its own."""
    usual = {"bytes_max": 1 << 24, "reserve_bytes": 1 << 16, "segment_bytes_max": 1 << 12}
    return Spool(folder, **{**usual, "fsync": "off", **values})


def drain(spool: Spool) -> list[bytes]:
    """Hand out and confirm all that a spool holds, in its order."""
    payloads: list[bytes] = []
    while (shipment := spool.take(100)) is not None:
        assert shipment.payloads, "an empty shipment would be handed out for ever"
        payloads += shipment.payloads
        spool.forget(shipment.id)
    return payloads


def recover(folder: Path) -> list[bytes]:
    """What the next process finds in a spool folder; it is empty afterwards."""
    spool = open_spool(folder)
    spool.adopt()
    payloads = drain(spool)
    spool.close()
    return payloads


def recover_records(folder: Path) -> list[Record]:
    """The records that the next process finds in a spool folder."""
    return [decode(payload) for payload in recover(folder)]


def metric(name: str, **labels: str) -> float:
    """The present value of a counter."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines Opsledger logged in this test."""
    ours = [record for record in caplog.records if record.name.startswith("opsledger.")]
    return [json.loads(record.getMessage()) for record in ours]
