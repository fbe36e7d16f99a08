"""Folding: the steps of the one transaction that adds a tenant's waiting summaries to its rollups.

The tenant's cursor moves in the same transaction, and its row is the lock: so each summary is added
exactly once, whoever dies and however many fold.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from psycopg2.extras import execute_values
from sqlalchemy import insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from ..domain.codec import Head
from ..domain.grains import GRAINS, Grain, Span, floor, following, from_ms, within_any
from ..domain.packing import pack
from ..domain.records import Kind
from ..domain.summary import summarize
from ..domain.tally import (
    Tally,
    TallyBuilder,
    combined,
    counts_by_start,
    joined,
    start_of,
)
from .models import RollupCellRow, RollupCursorRow
from .rollup_units import UNIT_COLUMNS, load_names, read_tally
from .summaries import WaitingSummary, folded_heads, waiting_summaries

# Bounds of one transaction, which keep its memory at some tens of MB.
BATCHES_MAX = 400
CELLS_MAX = 100_000
PAGE_ROWS = 1000  # of one INSERT

# A unit of fewer records has no finer units: reading these records costs some ms, while the units
# of sparse records would be as much as the records.
DETAIL_ROWS = 1000

IDLE_S_MAX = 60  # within a transaction; a folder that froze must not hold its tenant for ever

USER_GRAINS = (Grain.DAY, Grain.MONTH)

# A unit of a month is rewritten whole, so a little traffic is left to wait: readers add it up.
_PENDING = text(
    """
    SELECT t.id FROM tenants t LEFT JOIN rollup_cursors c ON c.tenant_id = t.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS batches, min(committed_at) AS oldest FROM (
            SELECT committed_at FROM log_batches b
            WHERE b.tenant_id = t.id AND b.seq > coalesce(c.folded_seq, 0)
            ORDER BY b.seq LIMIT :batches
        ) AS first
    ) AS waiting
    WHERE waiting.batches >= :batches OR waiting.oldest < now() - make_interval(secs => :age_s)
    ORDER BY waiting.oldest
    """
)
_ADD_UNITS = {
    Kind.ACTION: """
        INSERT INTO action_rollups
            (tenant_id, grain, start, detailed, numbers, cells, histograms, slowest) VALUES %s
        ON CONFLICT (tenant_id, grain, start) DO UPDATE SET detailed = EXCLUDED.detailed,
            numbers = EXCLUDED.numbers, cells = EXCLUDED.cells,
            histograms = EXCLUDED.histograms, slowest = EXCLUDED.slowest
    """,
    Kind.AUDIT: """
        INSERT INTO audit_rollups (tenant_id, grain, start, detailed, numbers, cells) VALUES %s
        ON CONFLICT (tenant_id, grain, start) DO UPDATE SET detailed = EXCLUDED.detailed,
            numbers = EXCLUDED.numbers, cells = EXCLUDED.cells
    """,
}
ADD_USERS = """
    INSERT INTO user_rollups (tenant_id, grain, start, user_id, action, resource_type, audits)
    VALUES %s ON CONFLICT (tenant_id, grain, start, user_id, action, resource_type)
    DO UPDATE SET audits = user_rollups.audits + EXCLUDED.audits
"""


def pending_tenants(session: Session, *, batches: int, age_s: float) -> list[UUID]:
    """The tenants of whom so many batches wait, or one for so long; the longest wait first."""
    return list(session.execute(_PENDING, {"batches": batches, "age_s": age_s}).scalars())


def fold(session: Session, tenant_id: UUID) -> int:
    """Add the tenant's next waiting summaries to its rollups, within the bounds of a transaction.

    Returns:
        How many summaries; 0 also if another transaction folds this tenant.
    """
    if not _claim(session, tenant_id):
        return 0
    folding = _Folding(session, tenant_id)
    batches, last = 0, 0
    for batch in islice(waiting_summaries(session, tenant_id), BATCHES_MAX):
        folding.take(batch)
        batches, last = batches + 1, batch.seq
        if folding.is_full():
            break
    if not batches:
        return 0
    folding.write()
    session.execute(
        update(RollupCursorRow)
        .where(RollupCursorRow.tenant_id == tenant_id)
        .values(folded_seq=last)
    )
    return batches


def count_records(session: Session, tenant_id: UUID, kind: Kind, heads: Sequence[Head]) -> None:
    """Add records that are in no batch to the tenant's rollups.

    Args:
        heads: in the order of their ids.
    """
    session.execute(upsert(RollupCursorRow).values(tenant_id=tenant_id).on_conflict_do_nothing())
    mine = select(RollupCursorRow.folded_seq).where(RollupCursorRow.tenant_id == tenant_id)
    session.execute(mine.with_for_update())
    folding = _Folding(session, tenant_id)
    folding.take(WaitingSummary(0, kind, summarize(kind, heads)))
    folding.write()


def _claim(session: Session, tenant_id: UUID) -> bool:
    """Lock the tenant's cursor to the end of the transaction; False if somebody has it."""
    session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S_MAX}s'"))
    new = upsert(RollupCursorRow).values(tenant_id=tenant_id).on_conflict_do_nothing()
    session.execute(new)
    mine = select(RollupCursorRow.folded_seq).where(RollupCursorRow.tenant_id == tenant_id)
    return session.execute(mine.with_for_update(skip_locked=True)).first() is not None


class _Folding:
    """Summaries on their way into the rollups of one tenant."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._names = {kind: load_names(session, tenant_id, kind) for kind in Kind}
        self._builders = {kind: TallyBuilder(self._names[kind]) for kind in Kind}
        self._users: Counter[tuple[Any, ...]] = Counter()

    def take(self, batch: WaitingSummary) -> None:
        """Collect one summary."""
        self._builders[batch.kind].add(batch.kind, batch.summary)
        if batch.kind is Kind.AUDIT:
            for day, user_id, action, resource_type, audits in batch.summary["users"]:
                self._users[day, user_id or "", action, resource_type] += audits

    def is_full(self) -> bool:
        """Whether this is enough for one transaction."""
        return len(self._users) + sum(map(len, self._builders.values())) >= CELLS_MAX

    def write(self) -> None:
        """Add what was collected to the rollups of every grain."""
        for kind, builder in self._builders.items():
            minutes = builder.build()
            self._add_names(kind)
            for grain in reversed(GRAINS):
                if len(minutes.cells):
                    minutes = self._add(kind, grain, minutes)
        if self._users:
            self._add_users()

    def _add_names(self, kind: Kind) -> None:
        """Put new cells on record before the units that name them."""
        rows = [
            {"tenant_id": self._tenant_id, "kind": kind.value, "number": number, "names": names}
            for number, names in self._names[kind].added.items()
        ]
        if rows:
            self._session.execute(insert(RollupCellRow), rows)

    def _add(self, kind: Kind, grain: Grain, minutes: Tally) -> Tally:
        """Rewrite the units that a tally by minute touches, with what they had and what it adds.

        Returns:
            What is to be added to the next finer grain, by minute: that of the detailed units.
        """
        added = minutes.at(grain)
        spans = [
            Span(grain, start, following(grain, start)) for start in sorted(counts_by_start(added))
        ]
        there = read_tally(self._session, self._tenant_id, kind, spans, UNIT_COLUMNS[kind])
        whole = combined([there.tally, added])
        had, has = counts_by_start(there.tally), counts_by_start(whole)
        detailed = {start for start, is_detailed in there.detailed.items() if is_detailed}
        missing = []  # what new detail lacks: the records folded before
        if grain is not Grain.MINUTE:
            for start in sorted(has.keys() - detailed):
                if has[start] >= DETAIL_ROWS:
                    before = self._summarize_rows(kind, grain, start, had.get(start, 0))
                    if before is not None:
                        detailed.add(start)
                        missing.append(before)
        write_units(self._session, self._tenant_id, kind, grain, whole, detailed)
        inside = [span for span in spans if span.start in detailed]
        return joined([minutes.where(partial(within_any, spans=inside)), *missing])

    def _summarize_rows(self, kind: Kind, grain: Grain, start: int, count: int) -> Tally | None:
        """The records of a unit that were folded before, by minute; None if not all are there."""
        builder = TallyBuilder(self._names[kind])
        if count:
            end = following(grain, start)
            heads = folded_heads(self._session, self._tenant_id, kind, start, end)
            if len(heads) != count:
                return None
            builder.add(kind, summarize(kind, heads))
        return builder.build()

    def _add_users(self) -> None:
        for grain in USER_GRAINS:
            counts: Counter[tuple[Any, ...]] = Counter()
            for (day, *names), audits in self._users.items():
                counts[floor(grain, start_of(day)), *names] += audits
            rows = [
                (str(self._tenant_id), grain.value, from_ms(start), *names, audits)
                for (start, *names), audits in counts.items()
            ]
            _insert(self._session, ADD_USERS, rows)


def write_units(
    session: Session, tenant_id: UUID, kind: Kind, grain: Grain, tally: Tally, detailed: set[int]
) -> None:
    """Put units of one grain in the place of those that are there; whoever writes a unit writes
    the coarser ones around it in the same transaction.

    Args:
        detailed: the starts of those that have finer units.
    """
    rows = [
        (
            *(str(tenant_id), grain.value, from_ms(unit.start), unit.start in detailed),
            *(unit.numbers, unit.cells),
            *((unit.histograms, unit.slowest) if kind is Kind.ACTION else ()),
        )
        for unit in pack(tally)
    ]
    _insert(session, _ADD_UNITS[kind], rows)


def _insert(session: Session, statement: str, rows: list[tuple[Any, ...]]) -> None:
    cursor = session.connection().connection.cursor()
    execute_values(cursor, statement, rows, page_size=PAGE_ROWS)
