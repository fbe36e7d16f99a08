"""Legal holds on record: placed, listed and released as the maintenance role."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from ..domain.holds import Hold, Target
from .retention_models import LegalHoldRow

# Whoever places a hold locks the tenant against this, so waits for what is purged at the moment;
# and who purges or erases next sees the hold. Writers of records are not in the way of either.
_LOCK = text("SELECT FROM tenants WHERE id = :tenant_id FOR SHARE")
_TARGET = ("resource_type", "resource_id", "user_id")


def add_hold(session: Session, hold: Hold) -> None:
    """Place a hold; the caller has locked the tenant."""
    names = ("tenant_id", "id", "reason", "placed_by", "placed_at")
    values: dict[str, Any] = {name: getattr(hold, name) for name in names}
    target = {name: getattr(hold.target, name) for name in _TARGET}
    scope = hold.target.scope.value
    session.execute(insert(LegalHoldRow).values(**values, **target, scope=scope))


def list_holds(
    session: Session,
    tenant_id: UUID | None,
    *,
    released: bool,
    after: UUID | None = None,
    limit: int | None = None,
) -> list[Hold]:
    """Holds in the order they were placed, of one tenant or all.

    Args:
        released: whether those that are over are wanted too.
    """
    statement = select(LegalHoldRow).order_by(LegalHoldRow.id).limit(limit)
    if tenant_id is not None:
        statement = statement.where(LegalHoldRow.tenant_id == tenant_id)
    if not released:
        statement = statement.where(LegalHoldRow.released_at.is_(None))
    if after is not None:
        statement = statement.where(LegalHoldRow.id > after)
    return [_hold(row) for row in session.execute(statement).scalars()]


def holds_in_force(session: Session, tenant_id: UUID) -> list[Hold]:
    """The holds of a tenant, to which none is added before this transaction ends."""
    session.execute(_LOCK, {"tenant_id": tenant_id})
    return list_holds(session, tenant_id, released=False)


def find_hold(session: Session, hold_id: UUID, *, lock: bool = False) -> Hold | None:
    """One hold, in force or not.

    Args:
        lock: whether nobody else shall release it before this transaction ends.
    """
    statement = select(LegalHoldRow).where(LegalHoldRow.id == hold_id)
    if lock:
        statement = statement.with_for_update()
    row = session.execute(statement).scalar_one_or_none()
    return None if row is None else _hold(row)


def release_hold(session: Session, hold: Hold, *, by: str, at: datetime) -> None:
    """End a hold."""
    session.execute(
        update(LegalHoldRow)
        .where(LegalHoldRow.tenant_id == hold.tenant_id, LegalHoldRow.id == hold.id)
        .values(released_by=by, released_at=at)
    )


def _hold(row: LegalHoldRow) -> Hold:
    return Hold(
        tenant_id=row.tenant_id,
        id=row.id,
        target=Target(**{name: getattr(row, name) for name in _TARGET}),
        reason=row.reason,
        placed_by=row.placed_by,
        placed_at=row.placed_at,
        released_by=row.released_by,
        released_at=row.released_at,
    )
