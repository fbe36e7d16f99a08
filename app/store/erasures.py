"""Erasures on record: asked for, previewed, confirmed, done."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from ..domain.erasure import Erasure, ErasureState, Subject, SubjectKind
from .retention_models import ErasureRow

_OPEN = (ErasureState.REQUESTED.value, ErasureState.CONFIRMED.value)


def add_erasure(session: Session, erasure: Erasure, subject: Subject) -> None:
    """Note that somebody asked for the erasure of a person."""
    session.execute(
        insert(ErasureRow).values(
            tenant_id=erasure.tenant_id,
            id=erasure.id,
            subject_kind=erasure.subject_kind.value,
            subject=subject.value,
            state=erasure.state.value,
            requested_by=erasure.requested_by,
            requested_at=erasure.requested_at,
            confirmed_by=erasure.confirmed_by,
            confirmed_at=erasure.confirmed_at,
        )
    )


def find_erasure(session: Session, erasure_id: UUID, *, lock: bool = False) -> Erasure | None:
    """One erasure.

    Args:
        lock: whether nobody else shall change it before this transaction ends.
    """
    statement = select(ErasureRow).where(ErasureRow.id == erasure_id)
    if lock:
        statement = statement.with_for_update()
    fresh = statement.execution_options(populate_existing=True)
    row = session.execute(fresh).scalar_one_or_none()
    return None if row is None else _erasure(row)


def find_confirmed(session: Session, tenant_id: UUID, subject: Subject) -> Erasure | None:
    """The erasure of a person that was confirmed and is not done yet."""
    statement = select(ErasureRow).where(
        ErasureRow.tenant_id == tenant_id,
        ErasureRow.subject_kind == subject.kind.value,
        ErasureRow.subject == subject.value,
        ErasureRow.state == ErasureState.CONFIRMED.value,
    )
    row = session.execute(statement.order_by(ErasureRow.id).limit(1)).scalar_one_or_none()
    return None if row is None else _erasure(row)


def list_erasures(
    session: Session, tenant_id: UUID | None, *, after: UUID | None, limit: int
) -> list[Erasure]:
    """Erasures in the order they were asked for, of one tenant or all."""
    statement = select(ErasureRow).order_by(ErasureRow.id).limit(limit)
    if tenant_id is not None:
        statement = statement.where(ErasureRow.tenant_id == tenant_id)
    if after is not None:
        statement = statement.where(ErasureRow.id > after)
    return [_erasure(row) for row in session.execute(statement).scalars()]


def list_waiting(session: Session) -> list[Erasure]:
    """What waits for a preview or is confirmed, the oldest first."""
    statement = select(ErasureRow).where(ErasureRow.state.in_(_OPEN))
    rows = session.execute(statement.order_by(ErasureRow.requested_at)).scalars()
    return [_erasure(row) for row in rows]


def count_stuck(session: Session, before: datetime) -> int:
    """How many were confirmed before a moment and are not done."""
    stuck = select(func.count()).where(
        ErasureRow.state == ErasureState.CONFIRMED.value, ErasureRow.confirmed_at < before
    )
    return int(session.execute(stuck).scalar_one())


def note_erasure(session: Session, erasure: Erasure, state: ErasureState, **values: Any) -> None:
    """Note how an erasure stands; the person's name goes when it is over."""
    if state in (ErasureState.DONE, ErasureState.EXPIRED):
        values["subject"] = None
    session.execute(
        update(ErasureRow)
        .where(ErasureRow.tenant_id == erasure.tenant_id, ErasureRow.id == erasure.id)
        .values(state=state.value, **values)
    )


def keep_audit_id(session: Session, erasure: Erasure, new: UUID) -> UUID:
    """The id of the audit log that is to say it is done: the one of the first try."""
    mine = (ErasureRow.tenant_id == erasure.tenant_id, ErasureRow.id == erasure.id)
    kept = func.coalesce(ErasureRow.audit_id, new)
    statement = update(ErasureRow).where(*mine).values(audit_id=kept)
    return session.execute(statement.returning(ErasureRow.audit_id)).scalar_one() or new


def expire_previews(session: Session, before: datetime) -> int:
    """Forget those that nobody confirmed; returns how many."""
    states = (ErasureState.REQUESTED.value, ErasureState.PREVIEWED.value)
    result = session.execute(
        update(ErasureRow)
        .where(ErasureRow.state.in_(states), ErasureRow.requested_at < before)
        .values(state=ErasureState.EXPIRED.value, subject=None)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def _erasure(row: ErasureRow) -> Erasure:
    kind = SubjectKind(row.subject_kind)
    return Erasure(
        tenant_id=row.tenant_id,
        id=row.id,
        subject_kind=kind,
        subject=None if row.subject is None else Subject(kind, row.subject),
        state=ErasureState(row.state),
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        confirmed_by=row.confirmed_by,
        confirmed_at=row.confirmed_at,
        finished_at=row.finished_at,
        report=row.report,
    )
