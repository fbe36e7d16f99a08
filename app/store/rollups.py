"""Reading rollups: what the records of a window add up to, exactly, whatever is folded of them.

A window is filled by the coarsest units there are; to these come the summaries not folded yet, and
rows where the window has a part of a unit that is not kept any finer. All of it must be read in one
snapshot.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, literal, select
from sqlalchemy.orm import Session

from ..domain.grains import Grain, cover, cut_units, from_ms, to_ms
from ..domain.records import ActionStatus, Kind
from ..domain.summary import SLOWEST_ROWS_MAX
from ..domain.tally import CellNames, Tally, TallyBuilder, joined
from .archived import cold_log
from .cold import ColdStore
from .models import ActionLogRow, AuditLogRow
from .paging import LogRow, within
from .rollup_units import CELLS, HISTOGRAMS, SLOWEST
from .rollup_view import TOTALS, RollupView

ACTION_CELL = (ActionLogRow.action_type, ActionLogRow.provider_name, ActionLogRow.status)
AUDIT_CELL = (AuditLogRow.action, AuditLogRow.resource_type)

Stretches = Sequence[tuple[int, int]]


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
        self._view = RollupView(session, tenant_id, kind)

    @property
    def names(self) -> CellNames:
        """Of the cells that a tally has."""
        return self._view.names

    def tally(
        self,
        start: int,
        end: int,
        *,
        coarsest: Grain = Grain.MONTH,
        histograms: bool = False,
        totals: bool = False,
        slowest: bool = False,
    ) -> Tally:
        """The cells of all records made in a window (ms), with starts within their unit.

        Args:
            coarsest: the longest unit that the answer may have.
            histograms, slowest: whether these are wanted too.
            totals: whether histograms are wanted that need not tell one cell from the other.
        """
        parts = [CELLS, *[HISTOGRAMS] * histograms, *[TOTALS] * totals, *[SLOWEST] * slowest]
        self._view.load_months(parts)
        cut = cut_units(start, end, coarsest)
        detailed = {unit for unit in cut if self._view.is_detailed(*unit)}
        found = cover(start, end, detailed, coarsest=coarsest)
        edges = TallyBuilder(self.names, histograms=histograms or totals, slowest=slowest)
        for low, high in found.edges:
            self._add_rows(edges, low, high, coarsest)
            if slowest:
                self._add_slowest(edges, low, high)
        if self._cold is not None and found.edges:
            self._add_cold(edges, self._cold, found.edges, coarsest)
        whole = self._view.tally(found.spans, parts)
        waiting = self._view.waiting().whole.where(found.holds)
        return joined([whole, waiting, edges.build()])

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
