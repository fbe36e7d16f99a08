"""The recent past as the evaluation of rules needs it: minutes, added up batch by batch.

A tenant's cursor moves in the transaction that adds its batches, so each counts once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from psycopg2.extras import execute_values
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..domain.alert_rules import CELL_NAMES, WINDOW_S_MAX
from ..domain.alert_windows import Minute, MinuteCell, Minutes, add_minute, minutes_of
from ..domain.grains import from_ms, to_ms
from ..domain.records import Kind
from .alert_models import AlertCursorRow, RecentMinuteRow

KEPT = timedelta(seconds=2 * WINDOW_S_MAX)  # what comes later than that is not evaluated
BATCHES_MAX = 2000  # of one tenant at a time; the rest in the next evaluation
PAGE_ROWS = 1000

# A rate may rise by old records leaving its window, so a tenant is watched for a while after.
_TO_WATCH = text(
    """
    SELECT t.id FROM tenants t LEFT JOIN alert_cursors c ON c.tenant_id = t.id
    WHERE c.tenant_id IS NULL OR c.active_until > :now
       OR EXISTS (SELECT FROM log_batches b WHERE b.tenant_id = t.id AND b.seq > c.seq)
       OR EXISTS (SELECT FROM alerts a WHERE a.tenant_id = t.id AND a.state <> 'resolved')
       OR EXISTS (
            SELECT FROM alert_rules r
            WHERE r.tenant_id = t.id AND r.enabled AND r.comparison LIKE '<%'
       )
    ORDER BY t.id
    """
)
_CURSORS = text(
    """
    SELECT tenant_id, seq, evaluated_at FROM alert_cursors
    WHERE tenant_id = ANY(CAST(:tenant_ids AS uuid[])) ORDER BY tenant_id FOR UPDATE
    """
)
_BATCHES = text(
    """
    SELECT b.* FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:seqs AS bigint[])) AS at (id, seq)
    CROSS JOIN LATERAL (
        SELECT tenant_id, kind, seq, summary::text AS summary FROM log_batches
        WHERE tenant_id = at.id AND log_batches.seq > at.seq
        ORDER BY log_batches.seq LIMIT :batches
    ) AS b
    """
)
_MOVE = """
    UPDATE alert_cursors AS c SET seq = moved.seq, evaluated_at = moved.now,
        active_until = greatest(c.active_until, moved.active_until)
    FROM (VALUES %s) AS moved (tenant_id, seq, now, active_until)
    WHERE c.tenant_id = moved.tenant_id
"""
_SAVE = """
    INSERT INTO recent_minutes (tenant_id, kind, start, cells) VALUES %s
    ON CONFLICT (tenant_id, kind, start) DO UPDATE SET cells = EXCLUDED.cells
"""
_FORGET = text(
    "DELETE FROM recent_minutes WHERE tenant_id = ANY(CAST(:tenant_ids AS uuid[]))"
    " AND start < :before"
)


@dataclass(slots=True)
class Recent:
    """What is known of one tenant, and which minutes came or grew since the last evaluation."""

    seq: int
    evaluated_at: datetime | None
    minutes: dict[Kind, Minutes] = field(default_factory=lambda: {kind: {} for kind in Kind})
    fresh: dict[Kind, Minutes] = field(default_factory=lambda: {kind: {} for kind in Kind})

    @property
    def oldest_fresh(self) -> int | None:
        """The start (ms) of the oldest minute that came or grew."""
        starts = [start for minutes in self.fresh.values() for start in minutes]
        return min(starts, default=None)


def tenants_to_watch(session: Session, now: datetime) -> list[UUID]:
    """The tenants whose rules may say something else than at their last evaluation."""
    return list(session.execute(_TO_WATCH, {"now": now}).scalars())


def never_watched(session: Session, tenant_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the tenants whose rules were never evaluated nor asked for."""
    wanted = set(tenant_ids)
    known = select(AlertCursorRow.tenant_id).where(AlertCursorRow.tenant_id.in_(wanted))
    return wanted - set(session.execute(known).scalars())


def take_recent(
    session: Session, tenant_ids: Iterable[UUID], since: datetime, now: datetime
) -> dict[UUID, Recent]:
    """What tenants' batches add up to by minute, from `since` on or from a window before what came
    late; locks their cursors to the end of the transaction.
    """
    locked = session.execute(_CURSORS, {"tenant_ids": list(map(str, tenant_ids))})
    found = {row.tenant_id: Recent(row.seq, row.evaluated_at) for row in locked}
    asked = {
        "tenant_ids": list(map(str, found)),
        "seqs": [recent.seq for recent in found.values()],
        "batches": BATCHES_MAX,
    }
    oldest = to_ms(now - KEPT)
    for batch in session.execute(_BATCHES, asked):
        recent = found[batch.tenant_id]
        recent.seq = max(recent.seq, batch.seq)
        if batch.summary:
            kind = Kind(batch.kind)
            for start, minute in minutes_of(kind, orjson.loads(batch.summary)).items():
                if start > oldest:  # old logs that are brought in are no news
                    add_minute(recent.fresh[kind], start, minute)
    _load(session, found, since)
    return found


def keep_recent(
    session: Session, recents: Mapping[UUID, Recent], now: datetime, watch: timedelta
) -> None:
    """Keep what came, and note that these tenants were evaluated.

    Args:
        watch: how long figures may change without new records.
    """
    rows = [
        (str(tenant_id), kind.value, from_ms(start), _packed(recent.minutes[kind][start]))
        for tenant_id, recent in recents.items()
        for kind, minutes in recent.fresh.items()
        for start in minutes
    ]
    grown = {row[0] for row in rows}
    moved = [
        (str(tenant_id), recent.seq, now, now + watch if str(tenant_id) in grown else None)
        for tenant_id, recent in recents.items()
    ]
    cursor = session.connection().connection.cursor()
    if rows:
        execute_values(cursor, _SAVE, rows, page_size=PAGE_ROWS)
        session.execute(_FORGET, {"tenant_ids": sorted(grown), "before": now - KEPT})
    if moved:
        template = "(%s::uuid, %s::bigint, %s::timestamptz, %s::timestamptz)"
        execute_values(cursor, _MOVE, moved, template=template, page_size=PAGE_ROWS)


def _load(session: Session, found: dict[UUID, Recent], since: datetime) -> None:
    """Add what is kept to what came."""
    window = timedelta(seconds=WINDOW_S_MAX)
    groups: dict[datetime, list[UUID]] = defaultdict(list)
    for tenant_id, recent in found.items():
        oldest = recent.oldest_fresh
        late = oldest is not None and from_ms(oldest) < since
        groups[since - window - KEPT if late else since].append(tenant_id)
    row = RecentMinuteRow
    for begin, tenant_ids in groups.items():
        statement = select(row.tenant_id, row.kind, row.start, row.cells)
        wanted = statement.where(row.tenant_id.in_(tenant_ids), row.start >= begin)
        for tenant_id, kind_name, begins_at, cells in session.execute(wanted):
            kind = Kind(kind_name)
            add_minute(found[tenant_id].minutes[kind], to_ms(begins_at), _unpacked(kind, cells))
    for recent in found.values():
        for kind, fresh in recent.fresh.items():
            for start, minute in fresh.items():
                add_minute(recent.minutes[kind], start, minute)


def _packed(minute: Minute) -> bytes:
    rows = [
        [*names, cell.count, cell.total_ms, cell.first, cell.last] for names, cell in minute.items()
    ]
    return orjson.dumps(rows)


def _unpacked(kind: Kind, cells: Any) -> Minute:
    width = len(CELL_NAMES[kind])
    return {tuple(row[:width]): MinuteCell(*row[width:]) for row in orjson.loads(bytes(cells))}
