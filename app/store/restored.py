"""Archived records back in Postgres for a time: copies, in partitions that are theirs alone.

A segment's rows and the time until when it is restored come and go in one transaction, so that a
snapshot finds its records either in Postgres or in the archive, not in both.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2.errors
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ..domain.archive import Segment, TenantDay
from ..domain.records import Kind
from .archive_models import ArchiveRow
from .archives import COLD, PartitionBusy
from .columns import TABLES, TYPES

_TIMES = ("created_at", "updated_at")  # whole microseconds in a segment's text
_EMPTIED = text(
    """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    JOIN archived_partitions p ON p.name = c.relname
    WHERE i.inhparent = to_regclass(:log) AND NOT EXISTS (
        SELECT FROM archives a WHERE a.kind = :kind AND a.restored_until IS NOT NULL
            AND :log || to_char(a.day::timestamp, '_IYYY"w"IW') = c.relname
    )
    """
)


@dataclass(frozen=True, slots=True)
class RestoredDay:
    """A tenant's day that is restored, how many of its records, and until when."""

    of: TenantDay
    rows: int
    until: datetime


def restore_partition(session: Session, of: TenantDay) -> str | None:
    """The partition for restored records of a day, made if need be; None if its week is hot."""
    asked = {"parent": TABLES[of.kind], "moment": of.start}
    statement = text("SELECT restore_partition(:parent, :moment)")
    found: str | None = session.execute(statement, asked).scalar_one()
    return found


def insert_segment(
    session: Session,
    partition: str,
    segment: Segment,
    columns: Sequence[str],
    texts: Iterable[bytes],
) -> int:
    """Insert a segment's records; returns how many.

    Args:
        columns: of the canonical text.
        texts: the canonical text, in parts that end with a record.
    """
    cursor: Any = session.connection().connection.cursor()
    types = ", ".join(f"{name} {_type(name)}" for name in columns)
    cursor.execute(f"CREATE TEMP TABLE restoring ({types}) ON COMMIT DROP")
    for part in texts:
        cursor.copy_expert("COPY restoring FROM STDIN (FORMAT csv)", io.BytesIO(part))
    names, values = ", ".join(columns), ", ".join(map(_value, columns))
    cursor.execute(
        f"INSERT INTO {partition} (tenant_id, {names}) SELECT %s, {values} FROM restoring",  # noqa: S608
        (str(segment.of.tenant_id),),
    )
    rows = int(cursor.rowcount)
    cursor.execute("DROP TABLE restoring")
    return rows


def mark_restored(session: Session, of: TenantDay, ids: Sequence[UUID], until: datetime) -> None:
    """Note until when segments of a day are restored; those that were already, as long at least."""
    later = func.greatest(ArchiveRow.restored_until, until)
    chosen = ArchiveRow.id.in_(ids) | ArchiveRow.restored_until.is_not(None)
    statement = update(ArchiveRow).where(*_of(of), chosen).values(restored_until=later)
    session.execute(statement, execution_options={"synchronize_session": False})


def list_restored(
    session: Session,
    *,
    tenant_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[RestoredDay]:
    """The days that are restored, oldest first.

    Args:
        tenant_id: whose; all tenants' without it.
        since, until: only days that may have records of this time.
    """
    ends = func.max(ArchiveRow.restored_until)
    rows = func.sum(ArchiveRow.row_count)
    key = (ArchiveRow.tenant_id, ArchiveRow.kind, ArchiveRow.day)
    statement = select(*key, rows, ends).where(ArchiveRow.restored_until.is_not(None))
    if tenant_id is not None:
        statement = statement.where(ArchiveRow.tenant_id == tenant_id)
    if since is not None:
        statement = statement.where(ArchiveRow.max_created_at >= since)
    if until is not None:
        statement = statement.where(ArchiveRow.min_created_at < until)
    found = session.execute(statement.group_by(*key).order_by(ArchiveRow.day, *key))
    return [
        RestoredDay(TenantDay(tenant, Kind(kind), day), int(count), end)
        for tenant, kind, day, count, end in found
        if end is not None
    ]


def release_day(session: Session, of: TenantDay) -> int:
    """Delete the restored records of a day, which the archive has; returns how many."""
    asked = {"tenant_id": of.tenant_id, "kind": of.kind.value, "day": of.day}
    statement = text("SELECT release_restored(:tenant_id, :kind, :day)")
    return int(session.execute(statement, asked).scalar_one())


def list_released(session: Session) -> list[str]:
    """The partitions made for restored records of which none is there any more."""
    return [
        name
        for kind in Kind
        for name in session.execute(_EMPTIED, {"log": TABLES[kind], "kind": kind.value}).scalars()
    ]


def drop_released(session: Session, partition: str) -> None:
    """Drop such a partition.

    Raises:
        PartitionBusy: it is in use.
    """
    try:
        session.execute(text("SET LOCAL lock_timeout = '2s'"))
        session.execute(text("SELECT drop_released(:leaf)"), {"leaf": partition})
    except DBAPIError as error:
        if isinstance(error.orig, psycopg2.errors.LockNotAvailable):
            raise PartitionBusy from error
        raise


def _of(of: TenantDay) -> list[Any]:
    return [
        ArchiveRow.tenant_id == of.tenant_id,
        ArchiveRow.kind == of.kind.value,
        ArchiveRow.day == of.day,
        ArchiveRow.state == COLD,
    ]


def _type(name: str) -> str:
    return "bigint" if name in _TIMES else TYPES.get(name, "text")


def _value(name: str) -> str:
    if name in _TIMES:
        return f"timestamptz 'epoch' + {name} * interval '1 microsecond'"
    return name
