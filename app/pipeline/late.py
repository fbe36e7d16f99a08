"""Archiving late records: those of a day without a partition become a further segment of that day.

They are counted by rollups in the transaction that registers the segment and deletes them, so each
is counted, and found, once. What the archive has already is deleted alone.
"""

import time
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from ..domain.archive import Segment, TenantDay
from ..domain.codec import Head
from ..errors import ArchiveDamaged, ArchiveUnavailable
from ..store.archives import list_cold, list_hot_partitions
from ..store.cold import ColdStore
from ..store.fold import count_records
from ..store.late import (
    archived_ids,
    copy_late,
    forget_late,
    list_late_days,
    read_late,
    register_late,
)
from ..store.objects import Objects
from ..store.partitions import partition_name
from ..store.session import Database
from ..telemetry import get_logger
from .sweeping import sweep

log = get_logger(__name__)

COLD_S_MAX = 60.0  # one query of the archive


def archive_late(
    database: Database, objects: Objects, deadline: float
) -> tuple[int, dict[str, str]]:
    """Archive the late records of days that are not hot.

    Args:
        deadline: by the monotonic clock; after it no further day is begun.

    Returns:
        How many, and the days that have to wait, each with the reason.
    """
    cold = ColdStore(objects, timeout_s=COLD_S_MAX)
    with database.unrestricted_unsafe() as session:
        hot = {partition.name for partition in list_hot_partitions(session)}
        days = list_late_days(session)
    archived, waiting = 0, {}
    for of in days:
        if partition_name(of.kind, of.start) in hot:
            continue
        if time.monotonic() > deadline:
            waiting[f"late records, {of.prefix}"] = "the time of this run is up"
            continue
        try:
            archived += _archive_day(database, objects, cold, of)
        except (ArchiveUnavailable, ArchiveDamaged) as error:  # the others' days need not wait
            log.exception("late records wait", day=of.prefix, error=repr(error))
            waiting[f"late records, {of.prefix}"] = str(error)
    return archived, waiting


def _archive_day(database: Database, objects: Objects, cold: ColdStore, of: TenantDay) -> int:
    with database.unrestricted_unsafe() as session:
        heads = read_late(session, of)
        segments = list_cold(session, of.tenant_id, of.kind, of.start, of.end)
    sweep(database, objects, of)
    known = archived_ids(cold, segments, heads)
    if known:
        with database.unrestricted_unsafe() as session:
            forget_late(session, of, sorted(known))
    new = [head for head in heads if head.id not in known]
    return _add_segment(database, objects, of, new) if new else 0


def _add_segment(database: Database, objects: Objects, of: TenantDay, heads: list[Head]) -> int:
    # As in archiving: of the many processes that know how to archive, one loads Arrow.
    from ..store.segment_file import selected, verify, writing

    segment_id = uuid7()
    path = objects.scratch / f"{segment_id}.parquet"
    with writing(path, of, len(heads)) as writer:
        with database.unrestricted_unsafe() as session:
            taken = copy_late(session, of.kind, heads, selected(of.kind), writer)
        content = writer.close()
    if len(taken) < len(heads):
        log.error("late records stay, Postgres refuses them", records=len(heads) - len(taken))
    if not taken:
        path.unlink()
        return 0
    segment = Segment(id=segment_id, of=of, content=content)
    objects.put(segment.key, path)
    with objects.fetched(segment.key) as found:
        verify(found, of, content)
    with database.unrestricted_unsafe() as session:
        count_records(session, of.tenant_id, of.kind, taken)
        register_late(session, segment, datetime.now(UTC))
        forget_late(session, of, [head.id for head in taken])
    return len(taken)
