"""What the logs take, as Postgres and the archive's register tell, without reading a record."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from ..domain.grains import Grain
from ..domain.packing import unpack
from ..domain.records import Kind
from ..domain.tally import counts_by_start
from .columns import TABLES
from .rollup_units import TABLES as ROLLUPS

Key = tuple[UUID, Kind, date]  # a tenant's log of one month, by its first day

GROWTH_DAYS = 7  # a week has all days of the week
_SIZES = text(
    """
    SELECT coalesce(sum(pg_table_size(i.inhrelid)), 0),
           coalesce(sum(pg_indexes_size(i.inhrelid)), 0)
    FROM pg_inherits i WHERE i.inhparent = to_regclass(:log)
    """
)
_WAITING = text(
    """
    SELECT b.tenant_id, b.kind, date_trunc('month', b.max_created_at, 'UTC')::date, sum(b.row_count)
    FROM log_batches b LEFT JOIN rollup_cursors c ON c.tenant_id = b.tenant_id
    WHERE b.seq > coalesce(c.folded_seq, 0) GROUP BY 1, 2, 3
    """
)
_COLD = text(
    """
    SELECT tenant_id, kind, date_trunc('month', day)::date, sum(row_count), sum(bytes),
           coalesce(sum(row_count) FILTER (WHERE restored_until IS NOT NULL), 0)
    FROM archives WHERE state = 'cold' GROUP BY 1, 2, 3
    """
)
_GROWTH = text(
    """
    SELECT kind, sum(row_count) / greatest(1, least(:days, extract(epoch FROM
        now() - (SELECT min(committed_at) FROM log_batches)) / 86400))
    FROM log_batches WHERE committed_at > now() - make_interval(days => :days) GROUP BY kind
    """
)


@dataclass(frozen=True, slots=True)
class Cold:
    """What the archive has of a tenant's log of one month."""

    rows: int = 0
    bytes: int = 0
    restored_rows: int = 0


def database_bytes(session: Session) -> int:
    """What the whole database takes."""
    found = session.execute(text("SELECT pg_database_size(current_database())"))
    return int(found.scalar_one())


def hot_bytes(session: Session, kind: Kind) -> tuple[int, int]:
    """What a log's partitions take: their heaps, and their indexes."""
    heap, index = session.execute(_SIZES, {"log": TABLES[kind]}).one()
    return int(heap), int(index)


def rows_by_month(session: Session) -> dict[Key, int]:
    """How many records there are, hot and cold, as rollups and what waits for them tell."""
    found: defaultdict[Key, int] = defaultdict(int)
    for kind in Kind:
        for tenant_id, start, cells in session.execute(_months(kind)):
            counts = counts_by_start(unpack([0], cells=[bytes(cells)]))
            found[tenant_id, kind, start] += sum(counts.values())
    for tenant_id, kind, month, rows in session.execute(_WAITING):
        found[tenant_id, Kind(kind), month] += int(rows)
    return found


def cold_by_month(session: Session) -> dict[Key, Cold]:
    """What the archive has."""
    return {
        (tenant_id, Kind(kind), month): Cold(int(rows), int(size), int(restored))
        for tenant_id, kind, month, rows, size, restored in session.execute(_COLD)
    }


def rows_per_day(session: Session) -> Mapping[Kind, float]:
    """How many records came on a day of the last week, on average; of its days that there were."""
    found = session.execute(_GROWTH, {"days": GROWTH_DAYS})
    return {Kind(kind): float(rows) for kind, rows in found}


def _months(kind: Kind) -> Any:
    return text(
        "SELECT tenant_id, (start AT TIME ZONE 'UTC')::date, cells"  # noqa: S608
        f" FROM {ROLLUPS[kind]} WHERE grain = '{Grain.MONTH.value}'"
    )
