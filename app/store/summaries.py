"""Summaries that wait to be folded, in commit order, whole whatever version wrote them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from ..domain.codec import COLUMNS, HEAD_CELLS, Head, escape, line_time
from ..domain.grains import from_ms
from ..domain.records import Kind
from ..domain.summary import summarize
from .archived import cold_log
from .cold import ColdStore
from .models import ActionLogRow, AuditLogRow, LogBatchRow, RollupCursorRow
from .paging import LogRow, within

PAGE_ROWS = 5000
DAY_MS = 86_400_000
PAGE_BATCHES = 500  # at a time in memory, some 8 KB each

# One statement finds where folding stands and what waits behind it. The place is a subquery of its
# own: under row-level security a bare coalesce is nothing that an index may be searched for.
_WAITING = text(
    """
    SELECT id, kind, seq, row_count, min_created_at, max_created_at, summary::text AS summary
    FROM log_batches
    WHERE tenant_id = :tenant_id
      AND seq > (SELECT coalesce(
          :after, (SELECT folded_seq FROM rollup_cursors WHERE tenant_id = :tenant_id), 0))
      AND (:kind IS NULL OR kind = :kind)
    ORDER BY seq LIMIT :limit
    """
)
# What a reader knows comes without its summary, and so costs next to nothing.
_LISTED = """
    SELECT id, kind, log_batches.seq, row_count, min_created_at, max_created_at,
           log_batches.xmin::text AS version,
           CASE WHEN known.seq IS NULL THEN summary::text END AS summary,
           known.seq IS NOT NULL AS is_known
    FROM log_batches
    LEFT JOIN unnest(%(seqs)s::bigint[], %(versions)s::text[]) AS known (seq, version)
        ON known.seq = log_batches.seq AND known.version = log_batches.xmin::text
    WHERE tenant_id = %(tenant_id)s::uuid AND kind = %(kind)s
      AND log_batches.seq > (SELECT coalesce(
          %(after)s, (SELECT folded_seq FROM rollup_cursors WHERE tenant_id = %(tenant_id)s::uuid),
          0))
    ORDER BY log_batches.seq LIMIT %(limit)s
"""
_WRITTEN_NOW = {Kind.ACTION: "slowest", Kind.AUDIT: "users"}


@dataclass(frozen=True, slots=True)
class WaitingSummary:
    """The summary of one batch, and its place in the tenant's commit order."""

    seq: int
    kind: Kind
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListedSummary:
    """The summary of one batch, or None if the reader knows it.

    Attributes:
        version: the transaction that wrote the batch last.
    """

    seq: int
    version: str
    summary: dict[str, Any] | None


def waiting_summaries(
    session: Session, tenant_id: UUID, kind: Kind | None = None
) -> Iterator[WaitingSummary]:
    """What is not folded yet of one tenant, of one kind or both, in commit order."""
    after = None
    while True:
        page = list(session.execute(_WAITING, _asked(tenant_id, kind, after)))
        for row in page:
            yield WaitingSummary(row.seq, Kind(row.kind), _whole(session, tenant_id, row))
        if len(page) < PAGE_BATCHES:
            return
        after = page[-1].seq


def list_waiting(
    session: Session, tenant_id: UUID, kind: Kind, known: Mapping[int, str]
) -> Iterator[ListedSummary]:
    """What is not folded yet of one tenant and kind, in commit order.

    Args:
        known: the versions of batches whose summary is not wanted again, by seq.
    """
    asked: dict[str, Any] = {
        "tenant_id": str(tenant_id),
        "kind": kind.value,
        "seqs": list(known.keys()),
        "versions": list(known.values()),
        "after": None,
        "limit": PAGE_BATCHES,
    }
    while True:
        page = session.connection().exec_driver_sql(_LISTED, asked).all()
        for row in page:
            summary = None if row.is_known else _whole(session, tenant_id, row)
            yield ListedSummary(row.seq, row.version, summary)
        if len(page) < PAGE_BATCHES:
            return
        asked["after"] = page[-1].seq


def _asked(tenant_id: UUID, kind: Kind | None, after: int | None) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "kind": None if kind is None else kind.value,
        "after": after,
        "limit": PAGE_BATCHES,
    }


def _whole(session: Session, tenant_id: UUID, batch: Any) -> dict[str, Any]:
    """The batch's summary; one written before summaries had all of it is made anew from rows."""
    kind = Kind(batch.kind)
    summary: dict[str, Any] = orjson.loads(batch.summary) if batch.summary else {"cells": []}
    if _WRITTEN_NOW[kind] in summary:
        return summary
    row, statement = _select_heads(tenant_id, kind)
    times = row.created_at.between(batch.min_created_at, batch.max_created_at)
    of_batch = statement.where(times, row.batch_id == batch.id)
    heads = _heads(session, tenant_id, kind, of_batch)
    if len(heads) == batch.row_count:
        return summarize(kind, heads)
    # Rows are gone, and with them who was slowest. A cell may be anywhere in its minute.
    cells = [[*cell, 0, 59_999] for cell in summary["cells"]]
    return {"cells": cells, _WRITTEN_NOW[kind]: []}


def folded_heads(session: Session, tenant_id: UUID, kind: Kind, low: int, high: int) -> list[Head]:
    """The records of a stretch of time (ms) that are folded, as the worker saw them."""
    row, statement = _select_heads(tenant_id, kind)
    folded = select(LogBatchRow.seq).where(
        LogBatchRow.tenant_id == tenant_id,
        LogBatchRow.id == row.batch_id,
        LogBatchRow.seq
        <= select(RollupCursorRow.folded_seq)
        .where(RollupCursorRow.tenant_id == tenant_id)
        .scalar_subquery(),
    )
    within_time = within(statement, row, from_ms(low), from_ms(high))
    return _heads(session, tenant_id, kind, within_time.where(folded.exists()))


def read_heads(
    session: Session,
    tenant_id: UUID,
    kind: Kind,
    low: int,
    high: int,
    cold: ColdStore | None = None,
) -> Iterator[Head]:
    """The records of a stretch of time (ms) as the worker saw them, few at a time in memory.

    Args:
        cold: the archive; without it, only what is hot is read.
    """
    if cold is not None:
        for values in cold_log(session, cold, tenant_id, kind, low, high).heads(low, high):
            yield _head(tenant_id, kind, *values)
    row, statement = _select_heads(tenant_id, kind)
    bounded = within(statement, row, from_ms(low), from_ms(high))
    for values in session.execute(bounded.execution_options(yield_per=PAGE_ROWS)):
        yield _head(tenant_id, kind, *values)


def counted_heads(
    session: Session, tenant_id: UUID, kind: Kind, low: int, high: int, cold: ColdStore
) -> Iterator[Iterator[Head]]:
    """The records of a stretch of time (ms) that rollups count: archived ones, then hot ones.

    Of a long stretch there are few, or its units would be detailed.
    """
    archived = cold_log(session, cold, tenant_id, kind, low, high)
    yield (_head(tenant_id, kind, *values) for values in archived.heads(low, high, DAY_MS))
    row, statement = _select_heads(tenant_id, kind)
    cursor = select(RollupCursorRow.folded_seq).where(RollupCursorRow.tenant_id == tenant_id)
    waits = select(LogBatchRow.seq).where(
        LogBatchRow.tenant_id == tenant_id,
        LogBatchRow.id == row.batch_id,
        LogBatchRow.seq > cursor.scalar_subquery(),
    )
    hot = within(statement, row, from_ms(low), from_ms(high)).where(~waits.exists())
    found = session.execute(hot.execution_options(yield_per=PAGE_ROWS))
    yield (_head(tenant_id, kind, *values) for values in found)


def _select_heads(tenant_id: UUID, kind: Kind) -> tuple[LogRow, Select[Any]]:
    row: LogRow = ActionLogRow if kind is Kind.ACTION else AuditLogRow
    cells = [getattr(row, name) for name in COLUMNS[kind][HEAD_CELLS]]
    statement = select(row.created_at, row.id, *cells).where(row.tenant_id == tenant_id)
    return row, statement.order_by(row.created_at, row.id)


def _heads(session: Session, tenant_id: UUID, kind: Kind, statement: Select[Any]) -> list[Head]:
    return [_head(tenant_id, kind, *values) for values in session.execute(statement)]


def _head(tenant_id: UUID, kind: Kind, created_at: datetime, id_: UUID, *cells: Any) -> Head:
    texts = [escape(None if cell is None else str(cell)) for cell in cells]
    return Head._make((kind, str(tenant_id), line_time(created_at), str(id_), *texts, ""))
