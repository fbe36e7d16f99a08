"""Exports on record: asked for by the web role, made by maintenance."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from ..domain.exports import Export, ExportFormat, ExportState
from ..domain.records import Kind
from .archive_models import ExportRow

OPEN = (ExportState.PENDING.value, ExportState.RUNNING.value)


def add_export(session: Session, **values: Any) -> None:
    """Ask for an export."""
    session.execute(insert(ExportRow).values(**values))


def count_open(session: Session, tenant_id: UUID) -> int:
    """How many exports of a tenant are not finished; who asks at once waits for the other."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('exports ' || :tenant, 0))"),
        {"tenant": str(tenant_id)},
    )
    unfinished = select(func.count()).where(
        ExportRow.tenant_id == tenant_id, ExportRow.state.in_(OPEN)
    )
    return int(session.execute(unfinished).scalar_one())


def find_export(session: Session, tenant_id: UUID, export_id: UUID) -> Export | None:
    """One export of a tenant."""
    row = session.get(ExportRow, (tenant_id, export_id))
    return None if row is None else _export(row)


def list_exports(session: Session, tenant_id: UUID, limit: int) -> list[Export]:
    """A tenant's exports, the newest first."""
    statement = select(ExportRow).where(ExportRow.tenant_id == tenant_id)
    newest = statement.order_by(ExportRow.requested_at.desc()).limit(limit)
    return [_export(row) for row in session.execute(newest).scalars()]


def every_export(session: Session, tenant_id: UUID) -> list[Export]:
    """All exports of a tenant that are on record."""
    statement = select(ExportRow).where(ExportRow.tenant_id == tenant_id)
    return [_export(row) for row in session.execute(statement).scalars()]


def next_open(session: Session) -> Export | None:
    """The export that waits longest, or that a worker which died had begun."""
    oldest = select(ExportRow).where(ExportRow.state.in_(OPEN)).order_by(ExportRow.requested_at)
    row = session.execute(oldest.limit(1)).scalar_one_or_none()
    return None if row is None else _export(row)


def outdated(session: Session, before: datetime) -> list[Export]:
    """Ready exports that were finished before a moment."""
    statement = select(ExportRow).where(
        ExportRow.state == ExportState.READY.value, ExportRow.finished_at < before
    )
    return [_export(row) for row in session.execute(statement).scalars()]


def note_export(session: Session, export: Export, state: ExportState, **values: Any) -> None:
    """Note how an export stands."""
    session.execute(
        update(ExportRow)
        .where(ExportRow.tenant_id == export.tenant_id, ExportRow.id == export.id)
        .values(state=state.value, **values)
    )


def _export(row: ExportRow) -> Export:
    values = {name: getattr(row, name) for name in Export.__slots__}
    return Export(
        **{
            **values,
            "kind": Kind(row.kind),
            "format": ExportFormat(row.format),
            "state": ExportState(row.state),
        }
    )
