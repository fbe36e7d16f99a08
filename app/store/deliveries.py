"""Messages to channels: queued with what they tell of, sent afterwards, kept as a log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from .alert_models import AlertDeliveryRow

ANSWER_CHARS_MAX = 500

# Whoever takes a message has it for itself for so long; if it dies, another takes it then.
_CLAIM = text(
    """
    UPDATE alert_deliveries AS d
    SET attempts = d.attempts + 1, due_at = :now + make_interval(secs => :lease_s)
    FROM (
        SELECT tenant_id, id FROM alert_deliveries
        WHERE state = 'queued' AND due_at <= :now
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE d.tenant_id = due.tenant_id AND d.id = due.id
    RETURNING d.tenant_id, d.id, d.channel_id, d.event, d.payload, d.attempts, d.created_at
    """
)
_TARGETS = text(
    """
    SELECT c.tenant_id, c.id, c.kind, c.target, c.secret, c.credentials, t.slug
    FROM alert_channels c JOIN tenants t ON t.id = c.tenant_id
    WHERE c.id = ANY(CAST(:ids AS uuid[]))
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a channel leads, with its secrets as they are kept."""

    kind: str
    target: str
    secret: str | None
    credentials: bytes | None
    slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A message that is to be sent now."""

    tenant_id: UUID
    id: UUID
    channel_id: UUID
    event: str
    payload: dict[str, Any]
    attempts: int
    created_at: datetime
    target: Target | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of a message; state is queued, sent or dead."""

    id: UUID
    channel_id: UUID
    event: str
    payload: dict[str, Any]
    state: str
    attempts: int
    answer: str | None
    created_at: datetime
    due_at: datetime
    done_at: datetime | None


def queue_delivery(
    session: Session, tenant_id: UUID, channel_id: UUID, event: str, payload: dict[str, Any]
) -> UUID:
    """Have a message sent once this transaction is committed; returns its id."""
    delivery_id = uuid7()
    session.execute(
        insert(AlertDeliveryRow)
        .inline()
        .values(
            tenant_id=tenant_id,
            id=delivery_id,
            channel_id=channel_id,
            event=event,
            payload=payload,
        )
    )
    return delivery_id


def claim_due(session: Session, *, now: datetime, lease_s: float, limit: int) -> list[Due]:
    """Take the messages that are due, for so many seconds."""
    asked = {"now": now, "lease_s": lease_s, "limit": limit}
    rows = session.execute(_CLAIM, asked).mappings().all()
    ids = sorted({str(row["channel_id"]) for row in rows})
    targets = {
        (found.tenant_id, found.id): Target(
            kind=found.kind,
            target=found.target,
            secret=found.secret,
            credentials=None if found.credentials is None else bytes(found.credentials),
            slug=found.slug,
        )
        for found in session.execute(_TARGETS, {"ids": ids})
    }
    return [Due(**row, target=targets.get((row["tenant_id"], row["channel_id"]))) for row in rows]


def note_sent(session: Session, due: Due, answer: str) -> None:
    """Note that a channel took a message."""
    _note(session, due, state="sent", answer=answer, done_at=func.clock_timestamp())


def note_retry(session: Session, due: Due, answer: str, due_at: datetime) -> None:
    """Note that a message is to be tried again."""
    _note(session, due, answer=answer, due_at=due_at)


def note_dead(session: Session, due: Due, answer: str) -> None:
    """Note that a message was given up."""
    _note(session, due, state="dead", answer=answer, done_at=func.clock_timestamp())


def list_deliveries(session: Session, tenant_id: UUID, limit: int) -> list[Delivery]:
    """The newest messages of a tenant."""
    columns = [getattr(AlertDeliveryRow, name) for name in Delivery.__slots__]
    statement = select(*columns).where(AlertDeliveryRow.tenant_id == tenant_id)
    rows = session.execute(statement.order_by(AlertDeliveryRow.id.desc()).limit(limit))
    return [Delivery(**row) for row in rows.mappings()]


def _note(session: Session, due: Due, *, answer: str, **values: Any) -> None:
    where = (AlertDeliveryRow.tenant_id == due.tenant_id, AlertDeliveryRow.id == due.id)
    changed = {**values, "answer": answer[:ANSWER_CHARS_MAX].replace("\x00", "")}
    session.execute(update(AlertDeliveryRow).where(*where).values(**changed))
