"""Reading rollups: what the records of a window add up to, exactly, whatever is folded of them.

A window is filled by the coarsest units there are; to these come the summaries not folded yet, and
rows where an edge cuts the finest unit. All of it must be read in one snapshot.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, literal, select, text
from sqlalchemy.orm import Session

from ..domain.grains import Cover, Grain, Span, cover, floor, from_ms, to_ms
from ..domain.packing import unpack
from ..domain.records import ActionStatus, Kind
from ..domain.summary import SLOWEST_ROWS_MAX
from ..domain.tally import CellNames, Tally, TallyBuilder, combined
from .models import ActionLogRow, AuditLogRow, RollupCellRow
from .paging import LogRow, within
from .summaries import waiting_summaries

ACTION_CELL = (ActionLogRow.action_type, ActionLogRow.provider_name, ActionLogRow.status)
AUDIT_CELL = (AuditLogRow.action, AuditLogRow.resource_type)
TABLES = {Kind.ACTION: "action_rollups", Kind.AUDIT: "audit_rollups"}
# Span by span along the key; OFFSET 0 keeps the planner from joining in any other way.
_UNITS = """
    SELECT units.* FROM unnest(CAST(:grains AS text[]), CAST(:starts AS timestamptz[]),
                               CAST(:ends AS timestamptz[])) AS span (grain, low, high),
    LATERAL (
        SELECT start, {columns} FROM {table}
        WHERE tenant_id = :tenant_id AND grain = span.grain
          AND start >= span.low AND start < span.high
          AND (CAST(:having AS integer[]) IS NULL OR numbers && CAST(:having AS integer[]))
        OFFSET 0
    ) AS units
"""


class RollupReader:
    """What the records of one tenant and kind add up to, in a session that is a snapshot."""

    def __init__(self, session: Session, tenant_id: UUID, kind: Kind) -> None:
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
        """The cells of all records made in a window (ms), each with the start of its unit.

        Args:
            coarsest: the longest unit that the answer may have.
            histograms, slowest: whether these are wanted too.
        """
        parts = cover(start, end, coarsest=coarsest)
        return combined(
            [
                self.folded(parts.spans, histograms=histograms, slowest=slowest),
                self.waiting(histograms=histograms, slowest=slowest).where(parts.holds),
                self._edges(parts, histograms=histograms, slowest=slowest),
            ]
        )

    def folded(
        self,
        spans: Sequence[Span],
        *,
        histograms: bool = False,
        slowest: bool = False,
        having: list[int] | None = None,
    ) -> Tally:
        """The units in these spans as they are folded.

        Args:
            having: leave out units that have none of the cells of these numbers.
        """
        names = ["cells", *["histograms"] * histograms, *["slowest"] * slowest]
        if not spans:
            return Tally()
        statement = _UNITS.format(table=TABLES[self._kind], columns=", ".join(names))
        asked = {
            "tenant_id": self._tenant_id,
            "grains": [span.grain.value for span in spans],
            "starts": [from_ms(span.start) for span in spans],
            "ends": [from_ms(span.end) for span in spans],
            "having": having,
        }
        return unpack_columns(names, self._session.execute(text(statement), asked))

    def waiting(self, *, histograms: bool = False, slowest: bool = False) -> Tally:
        """What is not folded yet, by minute."""
        builder = TallyBuilder(self.names, histograms=histograms, slowest=slowest)
        for batch in waiting_summaries(self._session, self._tenant_id, self._kind):
            builder.add(self._kind, batch.summary)
        return builder.build()

    def _edges(self, parts: Cover, *, histograms: bool, slowest: bool) -> Tally:
        """What rows add up to where the window cuts a minute."""
        builder = TallyBuilder(self.names, histograms=histograms, slowest=slowest)
        for start, end in parts.edges:
            unit = floor(Grain.MINUTE, start)
            for *names, milliseconds, count, first, last in self._session.execute(
                _groups(self._kind, self._tenant_id, start, end)
            ):
                times = (to_ms(first), to_ms(last))
                builder.add_group(unit, tuple(names), count, milliseconds, *times)
            if slowest:
                for *names, milliseconds, id_ in self._session.execute(
                    _slowest(self._tenant_id, start, end)
                ):
                    number = self.names.number_of(tuple(names))
                    builder.add_slow(unit, number, milliseconds, id_)
        return builder.build()


def unpack_columns(names: Sequence[str], rows: Iterable[Any]) -> Tally:
    """The tally of rows of a start and the columns named."""
    columns = list(zip(*rows, strict=True))
    if not columns:
        return Tally()
    starts = [to_ms(start) for start in columns[0]]
    return combined([unpack(starts, **dict(zip(names, columns[1:], strict=True)))])


def load_names(session: Session, tenant_id: UUID, kind: Kind) -> CellNames:
    """The numbers of a tenant's cells."""
    statement = select(RollupCellRow.number, RollupCellRow.names).where(
        RollupCellRow.tenant_id == tenant_id, RollupCellRow.kind == kind.value
    )
    return CellNames((number, names) for number, names in session.execute(statement))


def _groups(kind: Kind, tenant_id: UUID, start: int, end: int) -> Select[Any]:
    """Cell names, duration, count, first and last of the rows of a stretch of time."""
    row: LogRow = ActionLogRow
    cell: tuple[Any, ...] = (*ACTION_CELL, ActionLogRow.execution_time_ms)
    duration: tuple[Any, ...] = ()
    if kind is Kind.AUDIT:
        row, cell, duration = AuditLogRow, AUDIT_CELL, (literal(0),)
    figures = (func.count(), func.min(row.created_at), func.max(row.created_at))
    statement = select(*cell, *duration, *figures).where(row.tenant_id == tenant_id)
    return within(statement, row, from_ms(start), from_ms(end)).group_by(*cell)


def _slowest(tenant_id: UUID, start: int, end: int) -> Select[Any]:
    """Cell names, duration and id of the slowest successes of a stretch of time."""
    row = ActionLogRow
    columns: tuple[Any, ...] = (*ACTION_CELL, row.execution_time_ms, row.id)
    statement = select(*columns).where(
        row.tenant_id == tenant_id, row.status == ActionStatus.SUCCESS.value
    )
    ordered = statement.order_by(row.execution_time_ms.desc(), row.id.desc())
    return within(ordered, row, from_ms(start), from_ms(end)).limit(SLOWEST_ROWS_MAX)
