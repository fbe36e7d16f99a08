"""Whether the ledger holds a record: what a caller that waits for its record asks."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..domain.records import Kind, Record
from .models import ActionLogRow, AuditLogRow
from .paging import LogRow

ROWS: dict[Kind, LogRow] = {Kind.ACTION: ActionLogRow, Kind.AUDIT: AuditLogRow}


def holds_record(session: Session, record: Record) -> bool:
    """Whether a record is there, in a session of its tenant; opens but its partition."""
    row = ROWS[record.kind]
    found = select(row.id).where(
        row.tenant_id == record.tenant_id,
        row.created_at == record.created_at,
        row.id == record.id,
    )
    return session.execute(found).first() is not None
