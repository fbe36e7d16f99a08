"""Questions of the operator: what is there."""

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
