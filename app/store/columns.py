"""Records as COPY text: the one place that knows which field is stored in which column."""

from typing import Any
from uuid import UUID

from ..domain.codec import dump_json
from ..domain.records import ActionRecord, AuditRecord, Kind, Record

TABLES = {Kind.ACTION: "action_logs", Kind.AUDIT: "audit_logs"}
# The worker may not read the logs, so it cannot copy their definition either (CREATE TABLE … LIKE).
_FIRST = {"tenant_id": "uuid", "created_at": "timestamptz", "id": "uuid"}
_LAST = {"operation_id": "varchar", "metadata": "jsonb", "batch_id": "uuid"}
COLUMN_TYPES: dict[Kind, dict[str, str]] = {
    Kind.ACTION: {
        **_FIRST,
        "action_type": "text",
        "provider_name": "varchar",
        "request_payload": "jsonb",
        "response_data": "jsonb",
        "status": "text",
        "error_message": "text",
        "execution_time_ms": "integer",
        **_LAST,
    },
    Kind.AUDIT: {
        **_FIRST,
        "user_id": "varchar",
        "action": "varchar",
        "resource_type": "varchar",
        "resource_id": "varchar",
        "changes": "jsonb",
        "ip_address": "varchar",
        "user_agent": "text",
        **_LAST,
    },
}
# COPY text format, https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2
TEXT_FIELDS: dict[Kind, tuple[str, ...]] = {
    Kind.ACTION: ("action_type", "provider_name", "error_message", "operation_id"),
    Kind.AUDIT: (
        *("user_id", "action", "resource_type", "resource_id"),
        *("ip_address", "user_agent", "operation_id"),
    ),
}
OBJECT_FIELDS = {Kind.ACTION: ("metadata",), Kind.AUDIT: ("changes", "metadata")}
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
NULL = "\\N"


def copy_line(record: Record, batch_id: UUID) -> str:
    """One record as a line of COPY text, in the order of COLUMN_TYPES.

    Raises:
        TypeError: a field holds a value of another type, which as text might pass for its own.
        UnicodeEncodeError: a payload holds lone surrogates.
    """
    _check_types(record)
    values = _action(record) if isinstance(record, ActionRecord) else _audit(record)
    cells = (record.tenant_id, record.created_at.isoformat(), record.id, *values, batch_id)
    return "\t".join(NULL if c is None else str(c).translate(ESCAPES) for c in cells) + "\n"


def _check_types(record: Record) -> None:
    for names, kind in ((TEXT_FIELDS, str), (OBJECT_FIELDS, dict)):
        for name in names[record.kind]:
            value = getattr(record, name)
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"{name}: must be {kind.__name__}, not {type(value).__name__}")


def _action(record: ActionRecord) -> tuple[Any, ...]:
    return (
        record.action_type,
        record.provider_name,
        _json(record.request_payload),
        None if record.response_data is None else _json(record.response_data),
        record.status.value,
        record.error_message,
        record.execution_time_ms,
        record.operation_id,
        _json(record.metadata) if record.metadata else None,
    )


def _audit(record: AuditRecord) -> tuple[Any, ...]:
    return (
        record.user_id,
        record.action,
        record.resource_type,
        record.resource_id,
        _json(record.changes),
        record.ip_address,
        record.user_agent,
        record.operation_id,
        _json(record.metadata) if record.metadata else None,
    )


def _json(value: Any) -> str:
    return dump_json(value).decode()
