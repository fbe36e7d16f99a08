"""SandboxRepository: what the sandbox provider keeps for a tenant, but for contacts, as JSON."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from .adapter_models import SandboxItemRow

_COLUMNS = (
    SandboxItemRow.id,
    SandboxItemRow.parent_id,
    SandboxItemRow.fields,
    SandboxItemRow.created_at,
    SandboxItemRow.updated_at,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxItem:
    """One thing that the sandbox keeps; `fields` as its collection has them."""

    id: UUID
    parent_id: UUID | None
    fields: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class SandboxRepository:
    """One collection of one tenant, inside a transaction scoped to that tenant."""

    def __init__(self, session: Session, tenant_id: UUID, collection: str) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._collection = collection

    def add(
        self, item_id: UUID, fields: dict[str, Any], parent_id: UUID | None = None
    ) -> SandboxItem:
        """Add an item; under an id that is taken none is added, and that one is returned."""
        statement = insert(SandboxItemRow).values(
            tenant_id=self._tenant_id,
            collection=self._collection,
            id=item_id,
            parent_id=parent_id,
            fields=fields,
        )
        self._session.execute(statement.on_conflict_do_nothing())
        found = self.get(item_id)
        assert found is not None  # noqa: S101 # it was added just now, or before  # nosec B101
        return found

    def get(self, item_id: UUID, *, locked: bool = False) -> SandboxItem | None:
        """One item, or None; `locked` keeps others from changing it until the transaction ends."""
        statement = self._select().where(SandboxItemRow.id == item_id)
        if locked:
            statement = statement.with_for_update()
        row = self._session.execute(statement).mappings().first()
        return None if row is None else SandboxItem(**row)

    def replace(self, item_id: UUID, fields: dict[str, Any]) -> SandboxItem:
        """Give an item that is there other fields."""
        statement = (
            update(SandboxItemRow)
            .where(*self._own, SandboxItemRow.id == item_id)
            .values(fields=fields, updated_at=func.now())
            .returning(*_COLUMNS)
        )
        return SandboxItem(**self._session.execute(statement).mappings().one())

    def delete(self, item_id: UUID) -> bool:
        """Delete an item; False if there is none."""
        statement = delete(SandboxItemRow).where(*self._own, SandboxItemRow.id == item_id)
        return self._session.execute(statement.returning(SandboxItemRow.id)).first() is not None

    def list(
        self,
        *,
        limit: int,
        after: UUID | None,
        query: str | None = None,
        searched: tuple[str, ...] = (),
        since: str | None = None,
        until: str | None = None,
    ) -> list[SandboxItem]:
        """Items, newest first, past the id `after`.

        Args:
            query: is sought in the `searched` fields, whatever its case.
            since: only what has a later `end`; until: only what has an earlier `start`.
        """
        statement = self._select().order_by(SandboxItemRow.id.desc()).limit(limit)
        if after is not None:
            statement = statement.where(SandboxItemRow.id < after)
        if query is not None:
            texts = [SandboxItemRow.fields[name].astext for name in searched]
            statement = statement.where(
                or_(*(text.icontains(query, autoescape=True) for text in texts))
            )
        if since is not None:
            statement = statement.where(SandboxItemRow.fields["end"].astext > since)
        if until is not None:
            statement = statement.where(SandboxItemRow.fields["start"].astext < until)
        return [SandboxItem(**row) for row in self._session.execute(statement).mappings()]

    @property
    def _own(self) -> tuple[Any, Any]:
        return (
            SandboxItemRow.tenant_id == self._tenant_id,
            SandboxItemRow.collection == self._collection,
        )

    def _select(self) -> Select[Any]:
        return select(*_COLUMNS).where(*self._own)
