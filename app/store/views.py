"""Views on record: whoever asks sees its own and the shared ones, and removes its own; maintenance
sees all of a tenant, and changes their words.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, or_, select, update
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
    return [_view(row) for row in rows]


def every_view(session: Session, tenant_id: UUID) -> list[View]:
    """All views of a tenant, whoever sees them; locked until the transaction ends."""
    statement = select(SavedViewRow).where(SavedViewRow.tenant_id == tenant_id).with_for_update()
    return [_view(row) for row in session.execute(statement).scalars()]


def reword_view(session: Session, tenant_id: UUID, view: View) -> None:
    """Put a view's name and query in the place of those it has."""
    session.execute(
        update(SavedViewRow)
        .where(SavedViewRow.tenant_id == tenant_id, SavedViewRow.id == view.id)
        .values(name=view.name, query=view.query)
    )


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


def _view(row: SavedViewRow) -> View:
    return View(**{name: getattr(row, name) for name in View.__slots__})
