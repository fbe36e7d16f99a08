"""The register of the archive: which partitions may go, what was made of them, what is cold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg2.errors
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ..domain.archive import Content, Segment, TenantDay
from ..domain.records import Kind
from .archive_models import ArchiveRow
from .columns import TABLES
from .partitions import WEEK, week_named
from .session import Database

VERIFIED, COLD = "verified", "cold"
SHARE_WAIT = "2s"  # for writers to a week that old, and for a vacuum, which then gives way
RUNNER_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('archive', 0))"
_PARTITIONS = text(
    """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(:log)
        AND c.relname NOT IN (SELECT name FROM archived_partitions)
    ORDER BY c.relname
    """
)
# The same count as drop_archived() makes.
_TENANT_DAYS = """
    SELECT tenant_id, (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS rows,
           sum(uuid_hash_extended(id, xmin::text::bigint)) AS fingerprint
    FROM {log} WHERE created_at >= :start AND created_at < :end GROUP BY 1, 2 ORDER BY 2, 1
"""
_UNFOLDED = text(
    """
    SELECT EXISTS (
        SELECT FROM tenants t LEFT JOIN rollup_cursors c ON c.tenant_id = t.id
        JOIN log_batches b ON b.tenant_id = t.id AND b.seq > coalesce(c.folded_seq, 0)
        WHERE b.kind = :kind AND b.min_created_at < :end AND b.max_created_at >= :start
    )
    """
)
# In the order of seq, never the last of a tenant's log: so a tail can tell whether it lost any.
_PURGE_BATCHES = text(
    """
    WITH bounds AS (
        SELECT b.tenant_id, c.folded_seq, max(b.seq) AS last,
               min(b.seq) FILTER (WHERE b.max_created_at >= :edge) AS hot
        FROM log_batches b JOIN rollup_cursors c ON c.tenant_id = b.tenant_id
        WHERE b.kind = :kind GROUP BY b.tenant_id, c.folded_seq
    ), gone AS (
        SELECT b.tenant_id, b.id FROM bounds JOIN log_batches b ON b.tenant_id = bounds.tenant_id
        WHERE b.kind = :kind AND b.seq <= bounds.folded_seq AND b.seq < bounds.last
          AND (bounds.hot IS NULL OR b.seq < bounds.hot)
        ORDER BY b.tenant_id, b.seq LIMIT :limit
    )
    DELETE FROM log_batches b USING gone WHERE b.tenant_id = gone.tenant_id AND b.id = gone.id
    """
)


@dataclass(frozen=True, slots=True)
class HotPartition:
    """A partition, and the week it is of."""

    name: str
    kind: Kind
    start: datetime

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.start + WEEK


@dataclass(frozen=True, slots=True)
class HotDay:
    """A tenant's day within a partition: its rows, and a number that any change of one changes."""

    of: TenantDay
    rows: int
    fingerprint: Decimal


class PartitionBusy(Exception):
    """Somebody works with the partition; it can be dropped later."""


@contextmanager
def sole_runner(database: Database) -> Iterator[bool]:
    """Whether nobody else works on the archive; if so, nobody does until the end."""
    with database.engine.connect() as connection:
        # Of the session, and outside of a transaction, so that a long run holds no vacuum back.
        session = connection.execution_options(isolation_level="AUTOCOMMIT")
        taken = bool(session.execute(text(RUNNER_LOCK)).scalar_one())
        try:
            yield taken
        finally:
            if taken:
                session.execute(text("SELECT pg_advisory_unlock(hashtextextended('archive', 0))"))


def list_hot_partitions(session: Session) -> list[HotPartition]:
    """Every partition."""
    return [
        HotPartition(name, kind, week_named(name))
        for kind in Kind
        for name in session.execute(_PARTITIONS, {"log": TABLES[kind]}).scalars()
    ]


def list_archivable(session: Session, edge: datetime) -> list[HotPartition]:
    """The partitions that lie wholly before a moment, the oldest first."""
    old = [partition for partition in list_hot_partitions(session) if partition.end <= edge]
    return sorted(old, key=lambda partition: (partition.start, partition.kind))


def is_unfolded(session: Session, partition: HotPartition) -> bool:
    """Whether rollups do not count all its records yet; they are made of rows in part."""
    asked = {"kind": partition.kind.value, "start": partition.start, "end": partition.end}
    return bool(session.execute(_UNFOLDED, asked).scalar_one())


def list_hot_days(session: Session, partition: HotPartition) -> list[HotDay]:
    """The tenants' days of a partition."""
    statement = text(_TENANT_DAYS.format(log=TABLES[partition.kind]))
    found = session.execute(statement, {"start": partition.start, "end": partition.end})
    return [
        HotDay(TenantDay(tenant_id, partition.kind, day), rows, fingerprint)
        for tenant_id, day, rows, fingerprint in found
    ]


def copy_day(session: Session, of: TenantDay, columns: str, sink: Any) -> None:
    """Write a tenant's day to a sink, as CSV with every value in quotes, in order."""
    cursor: Any = session.connection().connection.cursor()
    chosen = cursor.mogrify(
        f"SELECT {columns} FROM {TABLES[of.kind]} WHERE tenant_id = %s"  # noqa: S608
        " AND created_at >= %s AND created_at < %s ORDER BY created_at, id",
        (str(of.tenant_id), of.start, of.end),
    ).decode()
    cursor.copy_expert(f"COPY ({chosen}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)", sink)


def verified_days(session: Session, partition: HotPartition) -> dict[TenantDay, HotDay]:
    """What is registered of a partition that is still there."""
    statement = select(
        ArchiveRow.tenant_id, ArchiveRow.day, ArchiveRow.row_count, ArchiveRow.source_fingerprint
    ).where(ArchiveRow.source == partition.name, ArchiveRow.state == VERIFIED)
    days = [
        HotDay(TenantDay(tenant_id, partition.kind, day), rows, fingerprint)
        for tenant_id, day, rows, fingerprint in session.execute(statement)
    ]
    return {day.of: day for day in days}


def registered_keys(session: Session, of: TenantDay) -> set[str]:
    """The keys of all registered objects of a tenant's day."""
    return {segment.key for segment in _select(session, _of(of))}


def register(session: Session, partition: HotPartition, day: HotDay, segment: Segment) -> None:
    """Note a verified segment, in place of an earlier one that the day has outgrown."""
    earlier = delete(ArchiveRow).where(
        *_of(day.of), ArchiveRow.source == partition.name, ArchiveRow.state == VERIFIED
    )
    session.execute(earlier)
    session.execute(
        insert(ArchiveRow).values(
            **content_values(segment),
            state=VERIFIED,
            source=partition.name,
            source_fingerprint=day.fingerprint,
        )
    )


def content_values(segment: Segment) -> dict[str, Any]:
    """What the register says of a segment, whatever it was made of."""
    return {
        **{name: getattr(segment.content, name) for name in Content.__slots__},
        "tenant_id": segment.of.tenant_id,
        "kind": segment.of.kind.value,
        "day": segment.of.day,
        "id": segment.id,
        "object_key": segment.key,
    }


def forget_day(session: Session, partition: HotPartition, of: TenantDay) -> None:
    """Strike out what is registered of a day that the partition does not have any more."""
    session.execute(
        delete(ArchiveRow).where(
            *_of(of), ArchiveRow.source == partition.name, ArchiveRow.state == VERIFIED
        )
    )


def drop_archived(session: Session, partition: HotPartition) -> list[TenantDay]:
    """Drop a partition, of which the register has all; from the commit on it is cold.

    Returns:
        The days that have changed since they were registered; then nothing was dropped.

    Raises:
        PartitionBusy: it is in use.
    """
    try:
        session.execute(text(f"SET LOCAL lock_timeout = '{SHARE_WAIT}'"))
        found = session.execute(
            text("SELECT tenant_id, day FROM drop_archived(:leaf)"), {"leaf": partition.name}
        )
        return [TenantDay(tenant_id, partition.kind, day) for tenant_id, day in found]
    except DBAPIError as error:
        if isinstance(error.orig, psycopg2.errors.LockNotAvailable):
            raise PartitionBusy from error
        raise


def purge_batches(session: Session, kind: Kind, limit: int) -> int:
    """Delete so many batches, at most, of which no row is hot any more; returns how many."""
    hot = [one.start for one in list_hot_partitions(session) if one.kind is kind]
    if not hot:
        return 0
    asked = {"kind": kind.value, "edge": min(hot), "limit": limit}
    return int(session.execute(_PURGE_BATCHES, asked).rowcount)  # type: ignore[attr-defined]


def list_cold(
    session: Session,
    tenant_id: UUID,
    kind: Kind,
    since: datetime | None,
    until: datetime | None,
    *,
    restored: bool = True,
) -> list[Segment]:
    """The cold segments that may hold records made at or after `since` and before `until`.

    Args:
        restored: whether also those whose records are in Postgres, too. Who has read rows in the
            same snapshot has these already; who has read them before may have missed some.
    """
    conditions = _cold(tenant_id, kind, since, until)
    if not restored:
        conditions.append(ArchiveRow.restored_until.is_(None))
    return _select(session, conditions)


def newest_cold(
    session: Session, tenant_id: UUID, kind: Kind, since: datetime | None, until: datetime | None
) -> datetime | None:
    """When the newest record was made that is cold alone and may lie in a window; None if none."""
    left_out = [*_cold(tenant_id, kind, since, until), ArchiveRow.restored_until.is_(None)]
    statement = select(ArchiveRow.max_created_at).where(*left_out)
    newest = statement.order_by(ArchiveRow.day.desc()).limit(1)
    return session.execute(newest).scalar_one_or_none()


def _of(of: TenantDay) -> list[Any]:
    return [
        ArchiveRow.tenant_id == of.tenant_id,
        ArchiveRow.kind == of.kind.value,
        ArchiveRow.day == of.day,
    ]


def _cold(tenant_id: UUID, kind: Kind, since: datetime | None, until: datetime | None) -> list[Any]:
    conditions = [
        ArchiveRow.tenant_id == tenant_id,
        ArchiveRow.kind == kind.value,
        ArchiveRow.state == COLD,
    ]
    if since is not None:  # the days are for the key
        conditions += [ArchiveRow.max_created_at >= since, ArchiveRow.day >= _day(since)]
    if until is not None:
        conditions += [ArchiveRow.min_created_at < until, ArchiveRow.day <= _day(until)]
    return conditions


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _select(session: Session, conditions: list[Any]) -> list[Segment]:
    """The segments of which conditions hold, the newest first."""
    statement = select(ArchiveRow).where(*conditions).order_by(ArchiveRow.max_created_at.desc())
    return [_segment(row) for row in session.execute(statement).scalars()]


def _segment(row: ArchiveRow) -> Segment:
    return Segment(
        id=row.id,
        of=TenantDay(row.tenant_id, Kind(row.kind), row.day),
        content=Content(**{name: getattr(row, name) for name in Content.__slots__}),
        is_restored=row.restored_until is not None,
    )
