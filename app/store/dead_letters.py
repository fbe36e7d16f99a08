"""Dead letters as the maintenance role sees them: listed, opened, dropped.

They are written, tried again and answered in a worker's transaction; see LedgerWriter.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from .models import DeadLetterRow


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A record that could not be stored, with its bytes and the reason."""

    id: int
    created_at: datetime
    kind: str | None
    tenant_id: UUID | None
    record_id: UUID | None
    shipment_id: UUID
    reason: str
    payload: bytes


_COLUMNS = [getattr(DeadLetterRow, name) for name in KeptLetter.__slots__]


def list_letters(session: Session, limit: int) -> list[KeptLetter]:
    """The newest dead letters."""
    statement = select(*_COLUMNS).order_by(DeadLetterRow.id.desc()).limit(limit)
    return [KeptLetter(*row) for row in session.execute(statement)]


def count_letters(session: Session) -> int:
    """How many dead letters there are."""
    return session.execute(select(func.count()).select_from(DeadLetterRow)).scalar_one()


def letter_ids(session: Session, *, after: int, limit: int) -> list[int]:
    """The ids of dead letters past one, oldest first."""
    statement = select(DeadLetterRow.id).where(DeadLetterRow.id > after)
    return list(session.execute(statement.order_by(DeadLetterRow.id).limit(limit)).scalars())


def get_letter(session: Session, letter_id: int) -> KeptLetter | None:
    """One dead letter; None if there is none of this id."""
    row = session.execute(select(*_COLUMNS).where(DeadLetterRow.id == letter_id)).first()
    return None if row is None else KeptLetter(*row)


def drop_letter(session: Session, letter_id: int) -> bool:
    """Delete a dead letter; False if it is gone already."""
    found = session.execute(
        delete(DeadLetterRow).where(DeadLetterRow.id == letter_id).returning(DeadLetterRow.id)
    )
    return found.first() is not None
