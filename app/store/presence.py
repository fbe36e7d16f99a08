"""Whether the ledger holds a record: what a caller that waits for its record asks."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..domain.identity import created_at_of
from ..domain.records import Kind, Record
from .models import ActionLogRow, AuditLogRow
from .paging import LogRow

ROWS: dict[Kind, LogRow] = {Kind.ACTION: ActionLogRow, Kind.AUDIT: AuditLogRow}


def holds_record(session: Session, record: Record) -> bool:
    """Whether a record is there, in a session of its tenant."""
    return bool(held_ids(session, record.tenant_id, record.kind, [record.id]))


def held_ids(session: Session, tenant_id: UUID, kind: Kind, ids: Iterable[UUID]) -> set[UUID]:
    """Which of these records are there, in a session of their tenant; opens but their parts."""
    row, found = ROWS[kind], set[UUID]()
    for record_id in ids:
        wanted = select(row.id).where(
            row.tenant_id == tenant_id,
            row.created_at == created_at_of(record_id),
            row.id == record_id,
        )
        found.update(session.execute(wanted).scalars())
    return found
