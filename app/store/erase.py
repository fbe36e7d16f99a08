"""Erasing in Postgres: finding what may name a person, and putting the mark in its place.

Each function here is a step of a transaction that is one page long.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from ..domain.codec import JSON_COLUMNS
from ..domain.erasure import ERASED
from ..domain.grains import Grain, floor, from_ms, to_ms
from ..domain.holds import PERSONAL
from ..domain.records import Kind
from .archive_models import ArchiveRow
from .archives import VERIFIED
from .columns import TABLES
from .fold import ADD_USERS
from .models import DeadLetterRow, LateRecordRow, LogBatchRow
from .recount import UserCell, add_users, discount_users

# Asked of every text that may name the person; lower() of ASCII alone, as the needle is.
_HOLDS_NEEDLE = 'position(:needle in lower({name}::text COLLATE "C")) > 0'
_IN_BYTES = "position(:needle in lower(encode({name}, 'escape') COLLATE \"C\")) > 0"
_CANDIDATES = """
    SELECT id, created_at, batch_id{cells}, {personal} FROM {log}
    WHERE tenant_id = :tenant_id AND (created_at, id) > (:at, :id) AND ({named})
    ORDER BY created_at, id LIMIT :limit
"""
_ERASE = text("SELECT erase_rows(:kind, :tenant_id, :erasure_id, CAST(:changes AS jsonb)) AS id")
_WAITING_OF = text(
    """
    SELECT b.id FROM log_batches b LEFT JOIN rollup_cursors c ON c.tenant_id = b.tenant_id
    WHERE b.tenant_id = :tenant_id AND b.id = ANY(:ids) AND b.seq > coalesce(c.folded_seq, 0)
    """
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hot record that may name the person.

    Attributes:
        values: the columns that may, as text.
        action, resource_type: of an audit.
    """

    id: UUID
    created_at: datetime
    batch_id: UUID
    values: Mapping[str, str | None]
    action: str | None = None
    resource_type: str | None = None


@dataclass(frozen=True, slots=True)
class UserMove:
    """An audit that was a user's and is nobody's now."""

    created_at: datetime
    user_id: str
    action: str
    resource_type: str
    batch_id: UUID


def list_candidates(
    session: Session,
    tenant_id: UUID,
    kind: Kind,
    needle: str,
    after: tuple[datetime, UUID],
    limit: int,
) -> list[Candidate]:
    """The next records past one, by time and id, that have the needle somewhere."""
    names = PERSONAL[kind]
    cells = ", action, resource_type" if kind is Kind.AUDIT else ""
    statement = _CANDIDATES.format(
        cells=cells,
        personal=", ".join(f"{name}::text AS {name}" for name in names),
        log=TABLES[kind],
        named=" OR ".join(_HOLDS_NEEDLE.format(name=name) for name in names),
    )
    asked = {"tenant_id": tenant_id, "at": after[0], "id": after[1]}
    found = session.execute(text(statement), {**asked, "needle": needle, "limit": limit})
    others = ("id", "created_at", "batch_id", *(("action", "resource_type") if cells else ()))
    return [
        Candidate(
            **{name: row[name] for name in others}, values={name: row[name] for name in names}
        )
        for row in found.mappings()
    ]


def erase_rows(
    session: Session,
    tenant_id: UUID,
    kind: Kind,
    erasure_id: UUID,
    changes: Sequence[tuple[Candidate, Mapping[str, str]]],
) -> set[UUID]:
    """Put what was erased in the place of what rows have; returns the ids of those not held."""
    rows = ", ".join(
        f'{{"id": "{row.id}", "created_at": "{row.created_at.isoformat()}", "new": {_object(new)}}}'
        for row, new in changes
    )
    asked = {"kind": kind.value, "tenant_id": tenant_id, "erasure_id": erasure_id}
    return set(session.execute(_ERASE, {**asked, "changes": f"[{rows}]"}).scalars())


def _object(new: Mapping[str, str]) -> str:
    """The columns as JSON; documents as they are, to the digit."""
    parts = (
        f'"{name}": {value if name in JSON_COLUMNS else json.dumps(value)}'
        for name, value in new.items()
    )
    return "{" + ", ".join(parts) + "}"


def move_users(session: Session, tenant_id: UUID, moves: Iterable[UserMove]) -> None:
    """Count audits as nobody's where they were counted as a user's: in the rollups, or in the
    summaries that wait to be folded; the name goes from summaries that were folded, too.

    The caller has the tenant's rollups locked.
    """
    moves = list(moves)
    ids = sorted({move.batch_id for move in moves}, key=str)
    waits = set(session.execute(_WAITING_OF, {"tenant_id": tenant_id, "ids": ids}).scalars())
    counted: Counter[UserCell] = Counter()
    by_batch: dict[UUID, Counter[tuple[str, str, str, str]]] = {}
    for move in moves:
        day = floor(Grain.DAY, to_ms(move.created_at))
        if move.batch_id not in waits:
            counted[day, move.user_id, move.action, move.resource_type] += 1
        shown = from_ms(day).strftime("%Y-%m-%d")
        cell = (shown, move.user_id, move.action, move.resource_type)
        by_batch.setdefault(move.batch_id, Counter())[cell] += 1
    if counted:
        discount_users(session, tenant_id, counted)
        nobodys: Counter[UserCell] = Counter()
        for (day, _, *names), count in counted.items():
            nobodys[day, ERASED, names[0], names[1]] += count
        add_users(session, tenant_id, ADD_USERS, nobodys)
    for batch_id, cells in by_batch.items():
        _change_summary(session, tenant_id, batch_id, cells)


def _change_summary(
    session: Session, tenant_id: UUID, batch_id: UUID, cells: Counter[tuple[str, str, str, str]]
) -> None:
    mine = (LogBatchRow.tenant_id == tenant_id, LogBatchRow.id == batch_id)
    summary = session.execute(select(LogBatchRow.summary).where(*mine)).scalar_one_or_none()
    if summary is None or "users" not in summary:
        return
    counts: Counter[tuple[Any, ...]] = Counter()
    for day, user_id, action, resource_type, count in summary["users"]:
        gone = min(count, cells.get((day, user_id, action, resource_type), 0))
        counts[day, user_id, action, resource_type] += count - gone
        counts[day, ERASED, action, resource_type] += gone
    users = [[*key, count] for key, count in sorted(counts.items(), key=str) if count]
    changed = {**summary, "users": users}
    session.execute(update(LogBatchRow).where(*mine).values(summary=changed))


def late_lines(
    session: Session, tenant_id: UUID, kind: Kind, needle: str
) -> list[tuple[UUID, bytes]]:
    """The late records of a tenant that have the needle, as they came."""
    statement = select(LateRecordRow.id, LateRecordRow.payload).where(
        LateRecordRow.tenant_id == tenant_id,
        LateRecordRow.kind == kind.value,
        text(_IN_BYTES.format(name="payload")),
    )
    found = session.execute(statement.order_by(LateRecordRow.id), {"needle": needle})
    return [(id_, bytes(payload)) for id_, payload in found]


def change_late(session: Session, tenant_id: UUID, kind: Kind, id_: UUID, line: bytes) -> None:
    """Put another line in the place of a late record's."""
    session.execute(
        update(LateRecordRow)
        .where(
            LateRecordRow.tenant_id == tenant_id,
            LateRecordRow.kind == kind.value,
            LateRecordRow.id == id_,
        )
        .values(payload=line)
    )


def named_letters(
    session: Session, tenant_id: UUID | None, needle: str
) -> list[tuple[int, bytes, str]]:
    """Id, bytes and reason of the dead letters of a tenant, or of none, that have the needle."""
    of = DeadLetterRow.tenant_id
    statement = select(DeadLetterRow.id, DeadLetterRow.payload, DeadLetterRow.reason).where(
        of.is_(None) if tenant_id is None else of == tenant_id,
        text(f"({_IN_BYTES.format(name='payload')} OR {_HOLDS_NEEDLE.format(name='reason')})"),
    )
    found = session.execute(statement.order_by(DeadLetterRow.id), {"needle": needle})
    return [(id_, bytes(payload), reason) for id_, payload, reason in found]


def change_letter(session: Session, letter_id: int, payload: bytes, reason: str) -> None:
    """Put other bytes and another reason in the place of a dead letter's."""
    statement = update(DeadLetterRow).where(DeadLetterRow.id == letter_id)
    session.execute(statement.values(payload=payload, reason=reason))


def forget_verified(session: Session, tenant_id: UUID) -> int:
    """Strike out what is exported of weeks that are still hot: it is exported again."""
    mine = (ArchiveRow.tenant_id == tenant_id, ArchiveRow.state == VERIFIED)
    return int(session.execute(delete(ArchiveRow).where(*mine)).rowcount)  # type: ignore[attr-defined]


def known_objects(session: Session, tenant_id: UUID) -> set[str]:
    """The keys of all objects that the register has of a tenant."""
    mine = select(ArchiveRow.object_key).where(ArchiveRow.tenant_id == tenant_id)
    return set(session.execute(mine).scalars())
