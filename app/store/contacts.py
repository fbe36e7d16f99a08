"""ContactRepository: the contacts that the sandbox provider keeps for a tenant."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..domain.resources import Contact
from .adapter_models import SandboxContactRow

_COLUMNS = (
    SandboxContactRow.id,
    SandboxContactRow.email,
    SandboxContactRow.first_name,
    SandboxContactRow.last_name,
    SandboxContactRow.company,
    SandboxContactRow.phone,
    SandboxContactRow.properties,
    SandboxContactRow.created_at,
    SandboxContactRow.updated_at,
)
_SEARCHED = ("email", "first_name", "last_name", "company", "phone")


class ContactRepository:
    """Contacts of one tenant, inside a transaction scoped to that tenant."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def add(self, contact_id: UUID, values: dict[str, Any]) -> Contact:
        """Add a contact; under an id that is taken none is added, and what is there is returned."""
        statement = insert(SandboxContactRow).values(
            tenant_id=self._tenant_id, id=contact_id, **values
        )
        self._session.execute(statement.on_conflict_do_nothing())
        return _contact(self._session.execute(self._one(contact_id)).mappings().one())

    def get(self, contact_id: UUID) -> Contact | None:
        """One contact, or None."""
        row = self._session.execute(self._one(contact_id)).mappings().first()
        return None if row is None else _contact(row)

    def update(self, contact_id: UUID, values: dict[str, Any]) -> Contact | None:
        """Change the given fields; None if there is no such contact."""
        statement = (
            update(SandboxContactRow)
            .where(
                SandboxContactRow.tenant_id == self._tenant_id, SandboxContactRow.id == contact_id
            )
            .values(**values, updated_at=func.now())
            .returning(*_COLUMNS)
        )
        row = self._session.execute(statement).mappings().first()
        return None if row is None else _contact(row)

    def delete(self, contact_id: UUID) -> bool:
        """Delete a contact; False if there is none."""
        statement = delete(SandboxContactRow).where(
            SandboxContactRow.tenant_id == self._tenant_id, SandboxContactRow.id == contact_id
        )
        deleted = self._session.execute(statement.returning(SandboxContactRow.id)).first()
        return deleted is not None

    def list(self, *, limit: int, after: UUID | None, query: str | None = None) -> list[Contact]:
        """Contacts, newest first, past the id `after`; `query` is sought in every text field."""
        statement = self._select().order_by(SandboxContactRow.id.desc()).limit(limit)
        if after is not None:
            statement = statement.where(SandboxContactRow.id < after)
        if query is not None:
            columns = [getattr(SandboxContactRow, name) for name in _SEARCHED]
            statement = statement.where(
                or_(*(column.icontains(query, autoescape=True) for column in columns))
            )
        return [_contact(row) for row in self._session.execute(statement).mappings()]

    def _one(self, contact_id: UUID) -> Select[Any]:
        return self._select().where(SandboxContactRow.id == contact_id)

    def _select(self) -> Select[Any]:
        return select(*_COLUMNS).where(SandboxContactRow.tenant_id == self._tenant_id)


def _contact(row: Any) -> Contact:
    return Contact(**{**row, "id": str(row["id"]), "provider": "sandbox"})
