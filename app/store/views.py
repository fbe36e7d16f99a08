"""Views on record: whoever asks sees its own and the shared ones, and removes its own."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, or_, select
from sqlalchemy.orm import Session

from ..domain.views import View
from .browser_models import SavedViewRow


def add_view(session: Session, tenant_id: UUID, view: View) -> None:
    """Keep a view."""
    values: dict[str, Any] = {name: getattr(view, name) for name in View.__slots__}
    session.execute(insert(SavedViewRow).values(tenant_id=tenant_id, **values))


def list_views(session: Session, tenant_id: UUID, key_id: UUID) -> list[View]:
    """The views that a key sees, by name."""
    seen = or_(SavedViewRow.key_id == key_id, SavedViewRow.shared)
    statement = select(SavedViewRow).where(SavedViewRow.tenant_id == tenant_id, seen)
    rows = session.execute(statement.order_by(SavedViewRow.name, SavedViewRow.id)).scalars()
    return [View(**{name: getattr(row, name) for name in View.__slots__}) for row in rows]


def remove_view(session: Session, tenant_id: UUID, key_id: UUID, view_id: UUID) -> bool:
    """Remove a key's own view; whether there was one."""
    gone = (
        delete(SavedViewRow)
        .where(
            SavedViewRow.tenant_id == tenant_id,
            SavedViewRow.id == view_id,
            SavedViewRow.key_id == key_id,
        )
        .returning(SavedViewRow.id)
    )
    return session.execute(gone).scalar_one_or_none() is not None
