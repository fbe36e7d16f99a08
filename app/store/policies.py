"""The tenants' redaction policies: managed as the maintenance role, learned as the web role."""

import json
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from .models import TenantRow

SETTING = "redaction"  # the name in tenants.settings


def list_policies(session: Session) -> dict[UUID, str]:
    """The rules of every tenant that has any, as JSON text."""
    rows = session.execute(text("SELECT tenant_id, rules FROM redaction_policies()"))
    return {row.tenant_id: row.rules for row in rows}


def get_policy(session: Session, tenant_id: UUID) -> Any:
    """The rules of a tenant as its settings hold them; None if it has none."""
    statement = select(TenantRow.settings[SETTING]).where(TenantRow.id == tenant_id)
    return session.execute(statement).scalar_one()


def set_policy(session: Session, tenant_id: UUID, rules: list[dict[str, str]]) -> None:
    """Put rules in the place of those that a tenant has; none if the list is empty."""
    statement = text(
        "UPDATE tenants SET settings = (settings - :name) || CAST(:added AS jsonb) WHERE id = :id"
    )
    added = json.dumps({SETTING: rules} if rules else {})
    session.execute(statement, {"name": SETTING, "added": added, "id": tenant_id})
