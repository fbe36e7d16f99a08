"""Restoring: archived records come back to Postgres for a set time, and go again when it is over.

They stay in the archive meanwhile. Each day is one transaction; what is restored already is kept
longer if that is asked for, so doing it again does no harm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

from ..config import Settings
from ..domain.archive import Segment, TenantDay
from ..domain.records import Kind
from ..errors import ArchiveDamaged, Conflict
from ..store.archives import PartitionBusy, list_cold, registered_keys, sole_runner
from ..store.objects import Objects
from ..store.places import open_archive
from ..store.restored import (
    RestoredDay,
    drop_released,
    insert_segment,
    list_released,
    list_restored,
    mark_restored,
    release_day,
    restore_partition,
)
from ..store.session import Database
from ..telemetry import RESTORED, get_logger

log = get_logger(__name__)

OPEN_S_MAX = 300.0  # until a segment is here
BUSY = "Somebody works on the archive (a run of it, a restore); try again when that is done"

Progress = Callable[[int], None]  # told how many more records are done


@dataclass(slots=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        rows: the records that came back.
        kept: those that were back already, and stay as long as is asked for.
        days: the tenant's days with either.
        hot: days that cannot be restored, since their week is still in Postgres.
    """

    rows: int = 0
    kept: int = 0
    days: int = 0
    hot: int = 0


def find_archived(
    database: Database, tenant_id: UUID, since: datetime, until: datetime
) -> list[Segment]:
    """The segments that a restore of a time would bring back, with all of each day."""
    with database.unrestricted_unsafe() as session:
        return [one for kind in Kind for one in list_cold(session, tenant_id, kind, since, until)]


def restore(
    database: Database,
    objects: Objects,
    tenant_id: UUID,
    since: datetime,
    until: datetime,
    *,
    keep_until: datetime,
    progress: Progress = lambda _: None,
) -> RestoreReport:
    """Bring back the days that have archived records of a time, until `keep_until`.

    Raises:
        Conflict: somebody else works on the archive.
        ArchiveDamaged: an object is not what was written; what came before it is restored.
        StorageFault: the object store did not give one; likewise.
        OSError: the disk did not take one; likewise.
    """
    report = RestoreReport()
    with sole_runner(database) as alone:
        if not alone:
            raise Conflict(BUSY)
        found = sorted(
            find_archived(database, tenant_id, since, until),
            key=lambda one: (one.of.kind, one.of.day, one.id),
        )
        for of, segments in groupby(found, key=lambda one: one.of):
            some = list(segments)
            _restore_day(database, objects, of, some, keep_until, report)
            progress(sum(one.content.row_count for one in some))
    RESTORED.inc(report.rows)
    log.info("restored", tenant=str(tenant_id), rows=report.rows, days=report.days)
    return report


def _restore_day(
    database: Database,
    objects: Objects,
    of: TenantDay,
    segments: list[Segment],
    keep_until: datetime,
    report: RestoreReport,
) -> None:
    # As in archiving: of the many processes that know how to restore, one loads Arrow.
    from ..store.segment_file import columns_of, read_text, verify

    with database.unrestricted_unsafe() as session:
        partition = restore_partition(session, of)
    if partition is None:
        report.hot += 1
        return
    new = [one for one in segments if not one.is_restored]
    with objects.opened(new, within_s=OPEN_S_MAX) as paths:
        for segment, path in zip(new, paths, strict=True):
            verify(path, of, segment.content)
        with database.unrestricted_unsafe() as session:
            for segment, path in zip(new, paths, strict=True):
                texts = (part for part, _ in read_text(path, of.kind))
                rows = insert_segment(session, partition, segment, columns_of(of.kind), texts)
                if rows != segment.content.row_count:
                    raise ArchiveDamaged(f"{segment.key}: {rows} records came back")
                report.rows += rows
            mark_restored(session, of, [one.id for one in segments], keep_until)
    report.kept += sum(one.content.row_count for one in segments if one.is_restored)
    report.days += 1


def release(
    database: Database,
    objects: Objects,
    *,
    tenant_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    due: datetime | None = None,
) -> int:
    """Let restored days go, of one tenant and time if these are given; returns how many records.

    Args:
        due: only those whose time is over by then.

    Raises:
        Conflict: somebody else works on the archive.
        StorageFault: the object store does not say whether it has the day's objects.
    """
    with sole_runner(database) as alone:
        if not alone:
            raise Conflict(BUSY)
        return let_go(database, objects, tenant_id, since, until, due)


def let_go(
    database: Database,
    objects: Objects,
    tenant_id: UUID | None,
    since: datetime | None = None,
    until: datetime | None = None,
    due: datetime | None = None,
) -> int:
    """As `release`, for the archive's sole runner: who purges or rewrites archived records of a day
    lets its copies go first.
    """
    with database.unrestricted_unsafe() as session:
        days = list_restored(session, tenant_id=tenant_id, since=since, until=until)
    gone = sum(
        _release_day(database, objects, day) for day in days if due is None or day.until <= due
    )
    _drop_released(database)
    return gone


def _release_day(database: Database, objects: Objects, day: RestoredDay) -> int:
    with database.unrestricted_unsafe() as session:
        missing = registered_keys(session, day.of) - set(objects.list(day.of.prefix))
    if missing:  # then these rows may be all there is
        log.error("not released, the archive has lost objects", day=day.of.prefix, keys=missing)
        return 0
    with database.unrestricted_unsafe() as session:
        return release_day(session, day.of)


def _drop_released(database: Database) -> None:
    with database.unrestricted_unsafe() as session:
        partitions = list_released(session)
    for partition in partitions:
        try:
            with database.unrestricted_unsafe() as session:
                drop_released(session, partition)
        except PartitionBusy:  # it is empty; the next time
            log.info("an empty partition is in use", partition=partition)


def release_due(database: Database, settings: Settings) -> None:
    """Let go what is restored no longer; while somebody works on the archive, the next time."""
    try:
        gone = release(database, open_archive(settings), due=datetime.now(UTC))
    except Conflict:
        log.info("nothing released, somebody works on the archive")
        return
    if gone:
        log.info("released", rows=gone)
