"""Destinations on record: what tenants set, who delivers there, and how that went.

Who delivers has a lease; what it notes, and where it moves a cursor, counts only while it has it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from ..domain.forwarding import Destination, DestinationState, Format
from ..domain.records import Kind
from .forward_models import ForwardDestinationRow as Row

WORDS_CHARS_MAX = 500  # of what a destination said

# Who is due and has anything to be done: batches past a cursor, letters to be retried, a replay, a
# test. Those that waited longest for their turn come first. Whoever takes over a lease that was
# never given back does not know what its holder had sent.
_CLAIM = text(
    """
    UPDATE forward_destinations AS d
    SET lease = :lease, leased_until = :until, turned_at = :now,
        unsure_at = CASE WHEN d.lease IS NULL THEN d.unsure_at ELSE :now END
    FROM (
        SELECT tenant_id, id FROM forward_destinations f
        WHERE (leased_until IS NULL OR leased_until < :now) AND (:failing OR failures = 0)
          AND (test_asked_at IS NOT NULL OR (
            state = 'active' AND due_at <= :now AND (
                EXISTS (
                    SELECT FROM forward_cursors c
                    WHERE c.tenant_id = f.tenant_id AND c.destination_id = f.id AND EXISTS (
                        SELECT FROM log_batches b WHERE b.tenant_id = c.source_id
                        AND b.kind = c.kind AND b.seq > c.seq
                    )
                )
                OR EXISTS (
                    SELECT FROM forward_dead_letters l
                    WHERE l.tenant_id = f.tenant_id AND l.destination_id = f.id
                    AND l.state = 'retry'
                )
                OR EXISTS (
                    SELECT FROM forward_replays r
                    WHERE r.tenant_id = f.tenant_id AND r.destination_id = f.id
                    AND r.state = 'pending'
                )
            )
          ))
        ORDER BY turned_at NULLS FIRST LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE d.tenant_id = due.tenant_id AND d.id = due.id
    RETURNING d.tenant_id, d.id
    """
)
_STATE = text("SELECT * FROM forward_state()")
_LATE = text(
    """
    SELECT d.tenant_id, d.id, d.name, d.state = 'active' AS active, s.waiting_since, d.last_error,
        d.told_at
    FROM forward_state() s JOIN forward_destinations d USING (tenant_id, id)
    WHERE s.waiting_since IS NOT NULL OR d.told_at IS NOT NULL
    """
)
_COLUMNS = [getattr(Row, name) for name in Destination.__slots__]


class LeaseLost(LookupError):
    """Another delivers to this destination by now, or it is gone."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A destination, whose lease is ours."""

    destination: Destination
    credentials: bytes | None
    lease: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a destination stands.

    Args:
        waiting_records: committed and not sent yet, counted up to 2,000 batches of each log.
        waiting_since: when the oldest of them was committed.
    """

    tenant_id: UUID
    id: UUID
    sink: str
    state: str
    failures: int
    waiting_records: int
    waiting_since: datetime | None
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A destination for which records wait, or of which its tenant was told that they do."""

    tenant_id: UUID
    id: UUID
    name: str
    active: bool
    waiting_since: datetime | None
    last_error: str | None
    told_at: datetime | None


def add_destination(session: Session, destination: Destination, credentials: bytes | None) -> None:
    """Add a destination, whose name must be free."""
    values = {**_values(destination), "credentials": credentials}
    # Inline: the web role may write what it must not read back.
    session.execute(insert(Row).inline().values(**values))


def change_destination(
    session: Session, destination: Destination, values: Mapping[str, Any]
) -> None:
    """Give a destination other values; it is tried with them at once."""
    fresh = {**values, "updated_at": func.now(), "due_at": func.now(), "failures": 0}
    _update(session, destination.tenant_id, destination.id, fresh)


def delete_destination(session: Session, tenant_id: UUID, destination_id: UUID) -> None:
    """Delete a destination with its cursors, dead letters and replays."""
    session.execute(delete(Row).where(Row.tenant_id == tenant_id, Row.id == destination_id))


def set_state(
    session: Session, tenant_id: UUID, destination_id: UUID, state: DestinationState
) -> None:
    """Pause a destination, or go on with it at once."""
    values = {"state": state.value, "due_at": func.now(), "updated_at": func.now()}
    _update(session, tenant_id, destination_id, values)


def ask_test(session: Session, tenant_id: UUID, destination_id: UUID, now: datetime) -> None:
    """Have a test record sent, paused or not."""
    _update(session, tenant_id, destination_id, {"test_asked_at": now})


def list_destinations(session: Session, tenant_id: UUID) -> list[Destination]:
    """The destinations of a tenant, oldest first."""
    statement = select(*_COLUMNS).where(Row.tenant_id == tenant_id)
    rows = session.execute(statement.order_by(Row.created_at, Row.id)).mappings()
    return [_destination(row) for row in rows]


def find_destination(session: Session, tenant_id: UUID, destination_id: UUID) -> Destination | None:
    """A destination of a tenant, or None."""
    statement = select(*_COLUMNS).where(Row.tenant_id == tenant_id, Row.id == destination_id)
    row = session.execute(statement).mappings().first()
    return None if row is None else _destination(row)


def read_standings(session: Session) -> list[Standing]:
    """How the destinations of the transaction's tenant stand; without one, all there are."""
    return [Standing(**row) for row in session.execute(_STATE).mappings()]


def read_late(session: Session) -> list[Late]:
    """Destinations of all tenants for which records wait, or are known to have waited."""
    return [Late(**row) for row in session.execute(_LATE).mappings()]


def note_told(session: Session, late: Late, told_at: datetime | None) -> None:
    """Note when a tenant was told that its records wait; None that they do no more."""
    _update(session, late.tenant_id, late.id, {"told_at": told_at})


def claim_next(
    session: Session, lease: UUID, *, now: datetime, lease_s: float, failing: bool = True
) -> Claimed | None:
    """Take the destination whose turn it is, for so many seconds; None if none has work that is
    due.

    Args:
        failing: whether it may be one that failed the last time.
    """
    until = now + timedelta(seconds=lease_s)
    asked = {"lease": lease, "now": now, "until": until, "failing": failing}
    found = session.execute(_CLAIM, asked).first()
    return None if found is None else claimed(session, found.tenant_id, found.id, lease)


def take(
    session: Session, tenant_id: UUID, destination_id: UUID, lease: UUID, until: datetime
) -> Claimed | None:
    """Take one destination, whatever is due and whoever has it; for a command's trial."""
    _update(session, tenant_id, destination_id, {"lease": lease, "leased_until": until})
    return claimed(session, tenant_id, destination_id, lease)


def claimed(session: Session, tenant_id: UUID, destination_id: UUID, lease: UUID) -> Claimed | None:
    """A destination under a lease, as it is now."""
    statement = select(*_COLUMNS, Row.credentials).where(
        Row.tenant_id == tenant_id, Row.id == destination_id, Row.lease == lease
    )
    row = session.execute(statement).mappings().first()
    if row is None:
        return None
    return Claimed(_destination(row), row["credentials"], lease)


def note_progress(
    session: Session,
    held: Claimed,
    *,
    now: datetime,
    leased_until: datetime,
    sent: int = 0,
    dead: int = 0,
    due_at: datetime | None = None,
) -> None:
    """Note what a destination took and refused, and keep its lease.

    Args:
        due_at: when its next turn is, if not at once.

    Raises:
        LeaseLost: the lease is another's by now, so that nothing of this transaction may count.
    """
    values: dict[str, Any] = {
        "leased_until": leased_until,
        "sent": Row.sent + sent,
        "dead": Row.dead + dead,
    }
    if sent:
        values |= {"last_success_at": now, "failures": 0}
    if due_at is not None:
        values["due_at"] = due_at
    _note(session, held, values)


def note_failure(
    session: Session,
    held: Claimed,
    words: str,
    *,
    now: datetime,
    due_at: datetime,
    again: int,
    unsure: bool = False,
) -> None:
    """Note that a delivery failed, of how many records, and when the next is due.

    Args:
        unsure: whether some of them may have arrived.

    Raises:
        LeaseLost: the lease is another's by now.
    """
    values = {
        "failures": Row.failures + 1,
        "retried": Row.retried + again,
        "last_error": _cut(words),
        "last_error_at": now,
        "due_at": due_at,
    }
    if unsure:
        values["unsure_at"] = now
    _note(session, held, values)


def note_test(session: Session, held: Claimed, *, now: datetime, taken: bool, words: str) -> None:
    """Note what a destination answered to a test.

    Raises:
        LeaseLost: the lease is another's by now.
    """
    values = {
        "test_asked_at": None,
        "tested_at": now,
        "test_taken": taken,
        "test_answer": _cut(words),
    }
    _note(session, held, values)


def release(session: Session, held: Claimed) -> None:
    """Give a lease back, if it is still ours."""
    session.execute(
        update(Row).where(*_of(held), Row.lease == held.lease).values(lease=None, leased_until=None)
    )


def list_locked(session: Session) -> Iterable[tuple[UUID, UUID, bytes]]:
    """Tenant, id and encrypted credentials of every destination that has any."""
    statement = select(Row.tenant_id, Row.id, Row.credentials).where(Row.credentials.is_not(None))
    return [(row.tenant_id, row.id, row.credentials) for row in session.execute(statement)]


def put_locked(session: Session, tenant_id: UUID, destination_id: UUID, locked: bytes) -> None:
    """Keep credentials that were encrypted anew."""
    _update(session, tenant_id, destination_id, {"credentials": locked})


def _note(session: Session, held: Claimed, values: Mapping[str, Any]) -> None:
    statement = update(Row).where(*_of(held), Row.lease == held.lease).values(**values)
    if session.execute(statement.returning(Row.id)).first() is None:
        raise LeaseLost


def _update(
    session: Session, tenant_id: UUID, destination_id: UUID, values: Mapping[str, Any]
) -> None:
    where = (Row.tenant_id == tenant_id, Row.id == destination_id)
    session.execute(update(Row).where(*where).values(**values))


def _of(held: Claimed) -> tuple[Any, Any]:
    return Row.tenant_id == held.destination.tenant_id, Row.id == held.destination.id


def _values(destination: Destination) -> dict[str, Any]:
    return {
        **{name: getattr(destination, name) for name in Destination.__slots__},
        **plain_values(destination),
    }


def plain_values(destination: Destination) -> dict[str, Any]:
    """What a destination is set to, as its row has it."""
    return {
        "name": destination.name,
        "sink": destination.sink,
        "settings": dict(destination.settings),
        "kinds": [kind.value for kind in destination.kinds],
        "filters": {name: dict(chosen) for name, chosen in destination.filters.items()},
        "fields": list(destination.fields),
        "format": destination.format.value,
        "all_tenants": destination.all_tenants,
        "state": destination.state.value,
    }


def _destination(row: Any) -> Destination:
    values = {name: row[name] for name in Destination.__slots__}
    return Destination(
        **{
            **values,
            "kinds": tuple(Kind(kind) for kind in row["kinds"]),
            "fields": tuple(row["fields"]),
            "format": Format(row["format"]),
            "state": DestinationState(row["state"]),
        }
    )


def _cut(words: str) -> str:
    return words[:WORDS_CHARS_MAX].replace("\x00", "")
