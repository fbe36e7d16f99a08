"""Purging on record: which tenants' records are past their retention, and how they go.

Each function here is a step of a transaction that also recounts what rollups say.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg2.errors
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ..domain.archive import Segment
from ..domain.grains import to_ms
from ..domain.identity import MILLISECOND
from ..domain.records import Kind
from ..domain.tenancy import DAYS_SETTINGS
from .archive_models import ArchiveRow
from .archives import COLD, content_values
from .cold import ColdStore
from .models import ActionLogRow, AuditLogRow
from .paging import LogRow
from .recount import UserCell, claim, discount_users, is_folded, recount
from .retention_models import PurgedSegmentRow

ROWS: dict[Kind, LogRow] = {Kind.ACTION: ActionLogRow, Kind.AUDIT: AuditLogRow}
FOR_RETENTION, FOR_ERASURE = "purged", "erased"  # why a segment was taken out of the register
_RETENTIONS = text(
    "SELECT id, (settings ->> :name)::integer FROM tenants WHERE settings ->> :name IS NOT NULL"
    " ORDER BY id"
)
_PURGE = text(
    "SELECT day, who, act, resource, records FROM purge_rows(:kind, :tenant_id, :low, :high)"
)
_LEFT = text("SELECT object_key FROM purged_segments WHERE deleted_at IS NULL ORDER BY 1")


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days one of a tenant's logs is kept in all, hot and archived together."""

    tenant_id: UUID
    kind: Kind
    days: int

    def edge(self, now: datetime) -> datetime:
        """The moment before which its records go: whole days of UTC are kept."""
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return day - timedelta(days=self.days)


class NotFolded(Exception):
    """Rollups do not count these records yet; they can be purged later."""


class NotEnded(Exception):
    """The tenant's retention is longer by now, or by the database's clock."""


def list_retentions(session: Session) -> list[Retention]:
    """Every tenant's log that is not kept for ever."""
    return [
        Retention(tenant_id, kind, days)
        for kind, name in DAYS_SETTINGS.items()
        for tenant_id, days in session.execute(_RETENTIONS, {"name": name})
    ]


def next_stretch(
    session: Session, of: Retention, low: datetime | None, edge: datetime, rows: int
) -> tuple[datetime, datetime] | None:
    """A stretch of time from `low` on with about so many rows, at most; None if there are none."""
    row = ROWS[of.kind]
    found = select(row.created_at).where(row.tenant_id == of.tenant_id, row.created_at < edge)
    if low is not None:
        found = found.where(row.created_at >= low)
    ordered = found.order_by(row.created_at)
    first = session.execute(ordered.limit(1)).scalar_one_or_none()
    if first is None:
        return None
    past = session.execute(ordered.offset(rows).limit(1)).scalar_one_or_none()
    return first, edge if past is None else max(past, first + MILLISECOND)


def purge_stretch(
    session: Session, of: Retention, low: datetime, high: datetime, cold: ColdStore
) -> int:
    """Delete the hot records of a stretch of time that no hold keeps, and what they were counted.

    Returns:
        How many.

    Raises:
        NotFolded: some of them are not counted yet; nothing of this transaction may stay.
        NotEnded: their time is not over.
    """
    claim(session, of.tenant_id)
    asked = {"kind": of.kind.value, "tenant_id": of.tenant_id, "low": low, "high": high}
    gone: Counter[UserCell] = Counter()
    purged = 0
    for day, who, act, resource, records in _purge_rows(session, asked):
        purged += records
        if of.kind is Kind.AUDIT:
            gone[to_ms(day), who, act, resource] += records
    if purged:
        _count_off(session, of.tenant_id, of.kind, to_ms(low), to_ms(high), gone, cold)
    return purged


def _purge_rows(session: Session, asked: dict[str, Any]) -> list[Any]:
    try:
        return list(session.execute(_PURGE, asked))
    except DBAPIError as error:
        if isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
            raise NotEnded from error
        raise


def purge_segment(
    session: Session,
    segment: Segment,
    reason: str,
    successor: Segment | None,
    gone: Counter[UserCell],
    cold: ColdStore,
) -> None:
    """Take a segment out of the register, and what its records were counted.

    Args:
        successor: what takes its place, of which some records are left.
        gone: the audits by user that are not.
    """
    claim(session, segment.of.tenant_id)
    replace_segment(session, segment, reason, successor)
    of = segment.of
    _count_off(session, of.tenant_id, of.kind, to_ms(of.start), to_ms(of.end), gone, cold)


def replace_segment(
    session: Session, segment: Segment, reason: str, successor: Segment | None
) -> None:
    """Take a cold segment out of the register, and put another in its place, if there is one.

    Its object is deleted once this is committed.

    Raises:
        LookupError: it is not there any more.
    """
    of = segment.of
    mine = (
        ArchiveRow.tenant_id == of.tenant_id,
        ArchiveRow.kind == of.kind.value,
        ArchiveRow.day == of.day,
        ArchiveRow.id == segment.id,
        ArchiveRow.state == COLD,
    )
    old = session.execute(
        delete(ArchiveRow).where(*mine).returning(ArchiveRow.source, ArchiveRow.archived_at)
    ).first()
    if old is None:
        raise LookupError(f"{segment.key} is not in the register")
    session.execute(
        insert(PurgedSegmentRow).values(
            tenant_id=of.tenant_id,
            kind=of.kind.value,
            day=of.day,
            id=segment.id,
            object_key=segment.key,
            row_count=segment.content.row_count,
            content_sha256=segment.content.content_sha256,
            reason=reason,
            successor_id=successor.id if successor else None,
        )
    )
    if successor is not None:
        session.execute(
            insert(ArchiveRow).values(
                **content_values(successor),
                state=COLD,
                source=old.source,
                source_fingerprint=0,
                archived_at=old.archived_at,
            )
        )


def left_objects(session: Session) -> list[str]:
    """The keys of objects that are to be deleted, since the register has them no more."""
    return list(session.execute(_LEFT).scalars())


def note_deleted(session: Session, keys: Iterable[str]) -> None:
    """Note that objects are deleted."""
    session.execute(
        update(PurgedSegmentRow)
        .where(PurgedSegmentRow.object_key.in_(list(keys)))
        .values(deleted_at=func.clock_timestamp())
    )


def count_past(session: Session, of: Retention, edge: datetime) -> int:
    """How many hot records are past their retention."""
    row = ROWS[of.kind]
    past = select(func.count()).where(row.tenant_id == of.tenant_id, row.created_at < edge)
    return int(session.execute(past).scalar_one())


def _count_off(
    session: Session,
    tenant_id: UUID,
    kind: Kind,
    low: int,
    high: int,
    users: Counter[UserCell],
    cold: ColdStore,
) -> None:
    """Take removed records of a stretch of time (ms) from what rollups say."""
    if not is_folded(session, tenant_id, kind, low, high):
        raise NotFolded
    recount(session, tenant_id, kind, low, high, cold)
    if users:
        discount_users(session, tenant_id, users)
