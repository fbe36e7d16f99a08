"""Reading rollups: what the records of a window add up to, exactly, whatever is folded of them.

A window is filled by the coarsest units there are; to these come the summaries not folded yet, and
rows where the window has a part of a unit that is not kept any finer. All of it must be read in one
snapshot.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, literal, select, text
from sqlalchemy.orm import Session

from ..domain.grains import Grain, Span, Unit, cover, cut_units, from_ms, to_ms
from ..domain.packing import unpack
from ..domain.records import ActionStatus, Kind
from ..domain.summary import SLOWEST_ROWS_MAX
from ..domain.tally import CellNames, Tally, TallyBuilder, joined
from .archived import cold_log
from .cold import ColdStore
from .models import ActionLogRow, AuditLogRow, RollupCellRow
from .paging import LogRow, within
from .summaries import waiting_summaries

ACTION_CELL = (ActionLogRow.action_type, ActionLogRow.provider_name, ActionLogRow.status)
AUDIT_CELL = (AuditLogRow.action, AuditLogRow.resource_type)
TABLES = {Kind.ACTION: "action_rollups", Kind.AUDIT: "audit_rollups"}
# Span by span along the key; OFFSET 0 keeps the planner from joining in any other way.
_UNITS = """
    SELECT unit.* FROM unnest(CAST(:grains AS text[]), CAST(:starts AS timestamptz[]),
                               CAST(:ends AS timestamptz[])) AS span (grain, low, high),
    LATERAL (
        SELECT start, detailed, {columns} FROM {table}
        WHERE tenant_id = :tenant_id AND grain = span.grain
          AND start >= span.low AND start < span.high
          AND (CAST(:having AS integer[]) IS NULL OR numbers && CAST(:having AS integer[]))
        OFFSET 0
    ) AS unit
"""
_DETAILED = """
    SELECT r.grain, r.start
    FROM unnest(CAST(:grains AS text[]), CAST(:starts AS timestamptz[])) AS wanted (grain, start)
    JOIN {table} r ON r.tenant_id = :tenant_id AND r.grain = wanted.grain AND r.start = wanted.start
    WHERE r.detailed
"""


Stretches = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FoldedUnits:
    """Units as they are folded, and of each, by its start, whether it is detailed."""

    tally: Tally = field(default_factory=Tally)
    detailed: dict[int, bool] = field(default_factory=dict)


class RollupReader:
    """What the records of one tenant and kind add up to, in a session that is a snapshot.

    Args:
        cold: where archived records are read, of which rollups alone do not tell enough.
    """

    def __init__(
        self, session: Session, tenant_id: UUID, kind: Kind, cold: ColdStore | None = None
    ) -> None:
        self._cold = cold
        self._session = session
        self._tenant_id = tenant_id
        self._kind = kind
        self.names = load_names(session, tenant_id, kind)

    def tally(
        self,
        start: int,
        end: int,
        *,
        coarsest: Grain = Grain.MONTH,
        histograms: bool = False,
        slowest: bool = False,
    ) -> Tally:
        """The cells of all records made in a window (ms), with starts within their unit.

        Args:
            coarsest: the longest unit that the answer may have.
            histograms, slowest: whether these are wanted too.
        """
        cut = self._detailed(cut_units(start, end, coarsest))
        parts = cover(start, end, cut, coarsest=coarsest)
        edges = TallyBuilder(self.names, histograms=histograms, slowest=slowest)
        for low, high in parts.edges:
            self._add_rows(edges, low, high, coarsest)
            if slowest:
                self._add_slowest(edges, low, high)
        if self._cold is not None and parts.edges:
            self._add_cold(edges, self._cold, parts.edges, coarsest)
        whole = self.units(parts.spans, histograms=histograms, slowest=slowest)
        waiting = self.waiting(histograms=histograms, slowest=slowest).where(parts.holds)
        return joined([whole.tally, waiting, edges.build()])

    def units(
        self,
        spans: Sequence[Span],
        *,
        histograms: bool = False,
        slowest: bool = False,
        having: list[int] | None = None,
    ) -> FoldedUnits:
        """The units in these spans as they are folded.

        Args:
            having: leave out units that have none of the cells of these numbers.
        """
        names = ["cells", *["histograms"] * histograms, *["slowest"] * slowest]
        if not spans:
            return FoldedUnits()
        asked = {
            "tenant_id": self._tenant_id,
            "grains": [span.grain.value for span in spans],
            "starts": [from_ms(span.start) for span in spans],
            "ends": [from_ms(span.end) for span in spans],
            "having": having,
        }
        statement = _UNITS.format(table=TABLES[self._kind], columns=", ".join(names))
        columns = list(zip(*self._session.execute(text(statement), asked), strict=True))
        if not columns:
            return FoldedUnits()
        starts, detailed, *packed = columns
        times = [to_ms(start) for start in starts]
        return FoldedUnits(
            unpack(times, **dict(zip(names, packed, strict=True))),
            dict(zip(times, detailed, strict=True)),
        )

    def waiting(self, *, histograms: bool = False, slowest: bool = False) -> Tally:
        """What is not folded yet, by minute."""
        builder = TallyBuilder(self.names, histograms=histograms, slowest=slowest)
        for batch in waiting_summaries(self._session, self._tenant_id, self._kind):
            builder.add(self._kind, batch.summary)
        return builder.build()

    def _detailed(self, units: Iterable[Unit]) -> set[Unit]:
        """Those of the units that have finer ones."""
        wanted = list(units)
        asked = {
            "tenant_id": self._tenant_id,
            "grains": [grain.value for grain, _ in wanted],
            "starts": [from_ms(start) for _, start in wanted],
        }
        found = self._session.execute(text(_DETAILED.format(table=TABLES[self._kind])), asked)
        return {(Grain(grain), to_ms(start)) for grain, start in found}

    def _add_rows(self, builder: TallyBuilder, low: int, high: int, grain: Grain) -> None:
        """Add what the rows of a stretch of time add up to, by units of a grain."""
        groups = _groups(self._kind, self._tenant_id, low, high, grain)
        for unit, *names, milliseconds, count, first, last in self._session.execute(groups):
            times = (to_ms(unit), to_ms(first), to_ms(last))
            builder.add_group(tuple(names), count, milliseconds, *times)

    def _add_cold(
        self, builder: TallyBuilder, store: ColdStore, edges: Stretches, grain: Grain
    ) -> None:
        """Add what archived records of some stretches of time add up to."""
        reach = (edges[0][0], edges[-1][1])
        everything = cold_log(self._session, store, self._tenant_id, self._kind, *reach)
        for low, high in edges if everything.segments else ():
            cold = everything.within(low, high)
            for unit, *names, milliseconds, count, first, last in cold.groups(low, high, grain):
                builder.add_group(tuple(names), count, milliseconds, unit, first, last)
            for *names, milliseconds, id_ in (
                cold.slowest(low, high) if self._kind is Kind.ACTION else ()
            ):
                builder.add_slow(low, self.names.number_of(tuple(names)), milliseconds, id_)

    def _add_slowest(self, builder: TallyBuilder, low: int, high: int) -> None:
        found = self._session.execute(_slowest(self._tenant_id, low, high))
        for *names, milliseconds, id_ in found:
            builder.add_slow(low, self.names.number_of(tuple(names)), milliseconds, id_)


def load_names(session: Session, tenant_id: UUID, kind: Kind) -> CellNames:
    """The numbers of a tenant's cells."""
    statement = select(RollupCellRow.number, RollupCellRow.names).where(
        RollupCellRow.tenant_id == tenant_id, RollupCellRow.kind == kind.value
    )
    return CellNames((number, names) for number, names in session.execute(statement))


def _groups(kind: Kind, tenant_id: UUID, low: int, high: int, grain: Grain) -> Select[Any]:
    """Unit, cell names, duration, count, first and last of the rows of a stretch of time."""
    row: LogRow = ActionLogRow
    cell: tuple[Any, ...] = (*ACTION_CELL, ActionLogRow.execution_time_ms)
    duration: tuple[Any, ...] = ()
    if kind is Kind.AUDIT:
        row, cell, duration = AuditLogRow, AUDIT_CELL, (literal(0),)
    unit = func.date_trunc(grain.value, row.created_at, "UTC").label("unit")
    figures = (func.count(), func.min(row.created_at), func.max(row.created_at))
    statement = select(unit, *cell, *duration, *figures).where(row.tenant_id == tenant_id)
    return within(statement, row, from_ms(low), from_ms(high)).group_by("unit", *cell)


def _slowest(tenant_id: UUID, low: int, high: int) -> Select[Any]:
    """Cell names, duration and id of the slowest successes of a stretch of time."""
    row = ActionLogRow
    columns: tuple[Any, ...] = (*ACTION_CELL, row.execution_time_ms, row.id)
    statement = select(*columns).where(
        row.tenant_id == tenant_id, row.status == ActionStatus.SUCCESS.value
    )
    ordered = statement.order_by(row.execution_time_ms.desc(), row.id.desc())
    return within(ordered, row, from_ms(low), from_ms(high)).limit(SLOWEST_ROWS_MAX)
