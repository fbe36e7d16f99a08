"""Questions of the operator: what is there, and what could not be stored."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from .models import (
    ActionLogRow,
    AuditLogRow,
    DeadLetterRow,
    LateRecordRow,
    LogBatchRow,
    TenantRow,
)

COUNTED = (TenantRow, ActionLogRow, AuditLogRow, LogBatchRow, DeadLetterRow, LateRecordRow)


def migration_revision(session: Session) -> str:
    """The revision of the schema."""
    return str(session.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def count_rows(session: Session) -> dict[str, int]:
    """The number of rows of each table that matters, as the role sees them."""
    return {
        model.__tablename__: session.execute(select(func.count()).select_from(model)).scalar_one()
        for model in COUNTED
    }


def list_dead_letters(
    session: Session, limit: int
) -> list[tuple[int, datetime, str | None, UUID | None, str]]:
    """The newest dead letters: id, time, kind, tenant, reason."""
    statement = (
        select(
            DeadLetterRow.id,
            DeadLetterRow.created_at,
            DeadLetterRow.kind,
            DeadLetterRow.tenant_id,
            DeadLetterRow.reason,
        )
        .order_by(DeadLetterRow.id.desc())
        .limit(limit)
    )
    return [tuple(row) for row in session.execute(statement)]  # type: ignore[misc]
