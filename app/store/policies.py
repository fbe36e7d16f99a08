"""The tenants' redaction policies, which are settings of tenants: as the web role learns them, and
as maintenance reads that of one.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..domain.tenancy import REDACTION
from .models import TenantRow


def list_policies(session: Session) -> dict[UUID, str]:
    """The rules of every tenant that has any, as JSON text."""
    rows = session.execute(text("SELECT tenant_id, rules FROM redaction_policies()"))
    return {row.tenant_id: row.rules for row in rows}


def find_policy(session: Session, tenant_id: UUID) -> Any:
    """The rules of one tenant as its settings have them; None if it has none."""
    statement = select(TenantRow.settings[REDACTION]).where(TenantRow.id == tenant_id)
    return session.execute(statement).scalar()
