"""The tenants' redaction policies, as the web role learns them; they are settings of tenants."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session


def list_policies(session: Session) -> dict[UUID, str]:
    """The rules of every tenant that has any, as JSON text."""
    rows = session.execute(text("SELECT tenant_id, rules FROM redaction_policies()"))
    return {row.tenant_id: row.rules for row in rows}
