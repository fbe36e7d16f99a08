"""The columns of the logs as the worker writes them: those of a record's line, and its batch."""

from ..domain.codec import COLUMNS, JSON_COLUMNS
from ..domain.records import Kind

TABLES = {Kind.ACTION: "action_logs", Kind.AUDIT: "audit_logs"}
WRITTEN = {kind: ", ".join((*columns, "batch_id")) for kind, columns in COLUMNS.items()}

TYPES = {"id": "uuid", "tenant_id": "uuid", "batch_id": "uuid", "created_at": "timestamptz"}
TYPES |= {"execution_time_ms": "integer"} | dict.fromkeys(JSON_COLUMNS, "jsonb")

# The worker may not read the logs, so it cannot copy their definition either (CREATE TABLE … LIKE).
DEFINITIONS = {
    kind: ", ".join(f"{name} {TYPES.get(name, 'text')}" for name in (*columns, "batch_id"))
    for kind, columns in COLUMNS.items()
}
