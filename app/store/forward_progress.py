"""How far destinations are: cursors, dead letters and replays, each moved in the transaction that
holds the destination's lease.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from ..domain.forwarding import Cursor, Destination, Letter, Replay
from ..domain.records import Kind
from ..domain.tail import AFTER_ALL, Position
from .forward_models import ForwardDeadLetterRow, ForwardReplayRow
from .forwarding import WORDS_CHARS_MAX

# Cursors begin where the log stood when the destination was made; those of a tenant that came
# later, at the beginning of its log.
_BEGIN = text(
    """
    INSERT INTO forward_cursors
        (tenant_id, destination_id, source_id, kind, seq, batch_id, last_id)
    SELECT d.tenant_id, d.id, t.id, k.kind, coalesce(b.seq, 0), b.id,
        CASE WHEN b.id IS NULL THEN CAST(:before_all AS uuid) ELSE CAST(:after_all AS uuid) END
    FROM forward_destinations d
    CROSS JOIN LATERAL unnest(d.kinds) AS k(kind)
    JOIN tenants t ON d.all_tenants OR t.id = d.tenant_id
    LEFT JOIN LATERAL (
        SELECT id, seq FROM log_batches l
        WHERE l.tenant_id = t.id AND l.kind = k.kind AND l.committed_at <= d.created_at
        ORDER BY seq DESC LIMIT 1
    ) AS b ON true
    WHERE NOT EXISTS (
        SELECT FROM forward_cursors c WHERE c.tenant_id = d.tenant_id
        AND c.destination_id = d.id AND c.source_id = t.id AND c.kind = k.kind
    )
    ON CONFLICT DO NOTHING
    """
)
_WAITING = text(
    """
    SELECT c.source_id, c.kind, c.batch_id, c.last_id, c.taken FROM forward_cursors c
    WHERE c.tenant_id = :tenant_id AND c.destination_id = :destination_id
    AND c.kind = ANY(:kinds) AND EXISTS (
        SELECT FROM log_batches b
        WHERE b.tenant_id = c.source_id AND b.kind = c.kind AND b.seq > c.seq
    )
    ORDER BY c.source_id, c.kind
    """
)
# seq of the last batch that is behind a position. Of a batch that was removed meanwhile it stays.
_MOVE = text(
    """
    UPDATE forward_cursors c
    SET batch_id = :batch_id, last_id = :last_id, taken = :taken,
        seq = coalesce(
            (
                SELECT b.seq - CASE WHEN CAST(:last_id AS uuid) = CAST(:after_all AS uuid)
                    THEN 0 ELSE 1 END
                FROM log_batches b
                WHERE b.tenant_id = c.source_id AND b.id = :batch_id
            ),
            c.seq
        )
    WHERE c.tenant_id = :tenant_id AND c.destination_id = :destination_id
    AND c.source_id = :source_id AND c.kind = :kind
    """
)
_SOURCES = text(
    """
    SELECT DISTINCT source_id FROM forward_cursors
    WHERE tenant_id = :tenant_id AND destination_id = :destination_id
    AND source_id >= :first ORDER BY source_id LIMIT 2
    """
)
_LETTERS = [getattr(ForwardDeadLetterRow, name) for name in Letter.__slots__]
_REPLAYS = [getattr(ForwardReplayRow, name) for name in Replay.__slots__]


def begin_cursors(session: Session) -> None:
    """Give every destination a cursor for each log that it is sent."""
    session.execute(_BEGIN, {"before_all": UUID(int=0), "after_all": AFTER_ALL})


def waiting_cursors(session: Session, destination: Destination) -> list[Cursor]:
    """The cursors past which there are batches."""
    asked = {**_of(destination), "kinds": [kind.value for kind in destination.kinds]}
    return [
        Cursor(
            source_id=row.source_id,
            kind=Kind(row.kind),
            position=Position(row.batch_id, row.last_id),
            taken=frozenset(row.taken),
        )
        for row in session.execute(_WAITING, asked)
    ]


def move_cursor(
    session: Session,
    destination: Destination,
    cursor: Cursor,
    position: Position,
    taken: Iterable[UUID] = (),
) -> None:
    """Move a cursor, under the destination's lease.

    Args:
        taken: records past the position that the destination has already.
    """
    session.execute(
        _MOVE,
        {
            **_of(destination),
            "source_id": cursor.source_id,
            "kind": cursor.kind.value,
            "batch_id": position.batch_id,
            "last_id": position.last_id,
            "after_all": AFTER_ALL,
            "taken": sorted(taken),
        },
    )


def bury(
    session: Session,
    destination: Destination,
    refused: Iterable[tuple[UUID, Kind, UUID, str]],
) -> None:
    """Keep dead letters: source, kind and id of a record, and what was said of it."""
    rows = [
        {
            "tenant_id": destination.tenant_id,
            "id": uuid7(),
            "destination_id": destination.id,
            "source_id": source_id,
            "kind": kind.value,
            "record_id": record_id,
            "reason": words[:WORDS_CHARS_MAX].replace("\x00", ""),
        }
        for source_id, kind, record_id, words in refused
    ]
    if not rows:
        return
    statement = insert(ForwardDeadLetterRow).values(rows)
    again = {
        "reason": statement.excluded.reason,
        "state": "dead",
        "attempts": ForwardDeadLetterRow.attempts + 1,
    }
    key = ["tenant_id", "destination_id", "source_id", "record_id"]
    session.execute(statement.on_conflict_do_update(index_elements=key, set_=again))


def list_letters(
    session: Session,
    tenant_id: UUID,
    destination_id: UUID,
    limit: int,
    *,
    after: UUID | None = None,
    to_retry: bool = False,
) -> list[Letter]:
    """Dead letters of a destination, oldest first, past an id."""
    row = ForwardDeadLetterRow
    statement = select(*_LETTERS).where(
        row.tenant_id == tenant_id, row.destination_id == destination_id
    )
    if after is not None:
        statement = statement.where(row.id > after)
    if to_retry:
        statement = statement.where(row.state == "retry")
    found = session.execute(statement.order_by(row.id).limit(limit)).mappings()
    return [Letter(**{**one, "kind": Kind(one["kind"])}) for one in found]


def retry_letters(
    session: Session, tenant_id: UUID, destination_id: UUID, ids: Sequence[UUID]
) -> int:
    """Have dead letters delivered again, those named or all; returns how many."""
    where = _letters_of(tenant_id, destination_id, ids)
    row = ForwardDeadLetterRow
    done = session.execute(update(row).where(*where).values(state="retry").returning(row.id))
    return len(done.all())


def drop_letters(
    session: Session, tenant_id: UUID, destination_id: UUID, ids: Sequence[UUID]
) -> int:
    """Forget dead letters, those named or all; returns how many."""
    where = _letters_of(tenant_id, destination_id, ids)
    done = session.execute(delete(ForwardDeadLetterRow).where(*where).returning(text("id")))
    return len(done.all())


def add_replay(
    session: Session,
    destination: Destination,
    since: datetime | None,
    until: datetime,
    source_id: UUID | None = None,
) -> UUID:
    """Have the records of a window sent once more; returns the replay's id.

    Args:
        source_id: of one tenant alone.
    """
    replay_id = uuid7()
    session.execute(
        insert(ForwardReplayRow)
        .inline()
        .values(
            tenant_id=destination.tenant_id,
            id=replay_id,
            destination_id=destination.id,
            since=since,
            until=until,
            source_id=source_id,
            single=source_id is not None,
        )
    )
    return replay_id


def next_replay(session: Session, destination: Destination) -> Replay | None:
    """The oldest replay that is not done."""
    row = ForwardReplayRow
    statement = select(*_REPLAYS).where(
        row.tenant_id == destination.tenant_id,
        row.destination_id == destination.id,
        row.state == "pending",
    )
    found = session.execute(statement.order_by(row.id).limit(1)).mappings().first()
    if found is None:
        return None
    return Replay(**{**found, "kind": Kind(found["kind"]) if found["kind"] else None})


def move_replay(
    session: Session, destination: Destination, replay: Replay, values: Mapping[str, Any]
) -> None:
    """Note how far a replay is, under the destination's lease."""
    row = ForwardReplayRow
    where = (row.tenant_id == destination.tenant_id, row.id == replay.id)
    session.execute(update(row).where(*where).values(**values))


def end_replay(session: Session, destination: Destination, replay: Replay) -> None:
    """Note that a replay is done."""
    values = {"state": "done", "finished_at": func.clock_timestamp()}
    move_replay(session, destination, replay, values)


def sources_from(session: Session, destination: Destination, first: UUID) -> list[UUID]:
    """The first two tenants, by id from one on, whose records a destination is sent."""
    asked = {**_of(destination), "first": first}
    return list(session.execute(_SOURCES, asked).scalars())


def _letters_of(tenant_id: UUID, destination_id: UUID, ids: Sequence[UUID]) -> list[Any]:
    row = ForwardDeadLetterRow
    where: list[Any] = [row.tenant_id == tenant_id, row.destination_id == destination_id]
    if ids:
        where.append(row.id.in_(ids))
    return where


def _of(destination: Destination) -> dict[str, Any]:
    return {"tenant_id": destination.tenant_id, "destination_id": destination.id}
