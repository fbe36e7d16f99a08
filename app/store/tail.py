"""The tail: the rows of one log in commit order, by the batches they came in.

No batch of which rows are gone is passed over in silence. Batches may be removed in the order of
seq, all but the last of a tenant's log: a reader whose batch is still there has lost none after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, func, or_, select, true, tuple_
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from ..domain.filters import Filters
from ..domain.identity import created_at_of
from ..domain.records import Kind
from ..domain.tail import AFTER_ALL, BEFORE_ALL, START, Position
from .models import ActionLogRow, AuditLogRow, LogBatchRow
from .paging import LogRow

# One page passes so many batches, and looks at so many rows (and one batch) for those that match;
# at fewer if it has to look into them, since each may be of 128 KiB and take a millisecond.
BATCHES_MAX = 1_000
ROWS_MAX = 10_000
CONTENT_ROWS_MAX = 1_000

_BATCH: tuple[Any, ...] = (
    LogBatchRow.id,
    LogBatchRow.seq,
    LogBatchRow.row_count,
    LogBatchRow.min_created_at,
    LogBatchRow.max_created_at,
)
_KINDS: dict[LogRow, Kind] = {ActionLogRow: Kind.ACTION, AuditLogRow: Kind.AUDIT}


class RowsGone(LookupError):
    """What follows a position has left the hot store, in whole or in part; `resume` is past it."""

    def __init__(self, resume: Position) -> None:
        super().__init__()
        self.resume = resume


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows in commit order, where their reader stands then, and whether that is the end for now."""

    rows: list[dict[str, Any]]
    position: Position
    at_end: bool


class Tail:
    """Reads the tail of one tenant's log, inside a transaction scoped to that tenant."""

    def __init__(self, session: Session, tenant_id: UUID, row: LogRow) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._row = row

    def beginning(self, since: datetime | None) -> Position:
        """Before the oldest batch of which rows are there, with a record made at or after `since`.

        If there is none, the present end.
        """
        return self._first_hot(since=since)

    def read(
        self, statement: Select[Any], filters: Filters, position: Position, limit: int
    ) -> Stretch:
        """The next rows past a position, at most `limit`; perhaps none, and the position moves on.

        Args:
            statement: selects id and other columns of the tenant's rows that match the filters.
            filters: batches outside their window are passed without a look.

        Raises:
            RowsGone: there were more rows right behind the position than there are now.
        """
        batches = self._batches(position, filters, limit)
        whole = len(batches) == batches[0].ahead < BATCHES_MAX if batches else True
        looked_at = [batch for batch in batches if batch.in_window]
        rows = self._rows(statement, looked_at, position, limit)
        # After they were read, so that rows which go meanwhile are missed here, too.
        if not self._stands(position):
            raise RowsGone(self._past(batches))
        gap = self._first_gap(looked_at, position)
        if gap is not None:
            if gap is batches[0]:
                raise RowsGone(self._past(batches))
            batches, whole = batches[: batches.index(gap)], False
            sound = {batch.id for batch in batches}
            rows = [row for row in rows if row["batch_id"] in sound]
        end = Position(batches[-1].id, AFTER_ALL) if batches else position
        if len(rows) == limit:
            end = Position(rows[-1]["batch_id"], rows[-1]["id"])
        for row in rows:
            del row["batch_id"]
        return Stretch(rows, end, whole and len(rows) < limit)

    def _batches(self, position: Position, filters: Filters, limit: int) -> Sequence[Any]:
        """The batches of one page: those after a position and the one it is inside of, in order,
        each with whether it may have rows of the window, and how many batches there are ahead.
        """
        in_window = _in_window(filters)
        ahead = self._select_batches().add_columns(in_window.label("in_window"))
        ahead = self._from(ahead, position).order_by(LogBatchRow.seq).limit(BATCHES_MAX)
        batch = ahead.subquery()
        # The rest of the batch that the position is in comes on top, however much of it is left.
        counts = and_(batch.c.in_window, batch.c.id != (position.batch_id or BEFORE_ALL))
        rows = case((counts, batch.c.row_count), else_=0)
        before = func.sum(rows).over(order_by=batch.c.seq) - rows
        counted = select(batch, before.label("before"), func.count().over().label("ahead"))
        page = counted.subquery()
        rows_max = CONTENT_ROWS_MAX if filters.by_content else ROWS_MAX
        if filters == type(filters)():
            rows_max = limit  # every row looked at is a row shown
        chosen = select(page).where(page.c.before < rows_max).order_by(page.c.seq)
        return self._session.execute(chosen).all()

    def _from(self, statement: Select[Any], position: Position) -> Select[Any]:
        """Only batches from a position on."""
        if position.batch_id is None:
            return statement
        of_position = select(LogBatchRow.seq).where(
            LogBatchRow.tenant_id == self._tenant_id, LogBatchRow.id == position.batch_id
        )
        seq = self._session.execute(of_position).scalar()
        if seq is None:
            raise RowsGone(self._first_hot())
        return statement.where(LogBatchRow.seq >= seq + (position.last_id == AFTER_ALL))

    def _rows(
        self, statement: Select[Any], batches: Sequence[Any], position: Position, limit: int
    ) -> list[dict[str, Any]]:
        if not batches:
            return []
        row = self._row
        statement = self._of_batches(statement.add_columns(row.batch_id), batches)
        if position.last_id not in (BEFORE_ALL, AFTER_ALL):
            past = (created_at_of(position.last_id), position.last_id)
            statement = statement.where(
                or_(row.batch_id != position.batch_id, tuple_(row.created_at, row.id) > past)
            )
        place = func.array_position(array([batch.id for batch in batches]), row.batch_id)
        ordered = statement.order_by(place, row.created_at, row.id).limit(limit)
        return [dict(found) for found in self._session.execute(ordered).mappings()]

    def _stands(self, position: Position) -> bool:
        """Whether the record that a position is behind is there; if not, others went with it."""
        if position.last_id in (BEFORE_ALL, AFTER_ALL):
            return True
        row, last_id = self._row, position.last_id
        found = select(row.id).where(
            row.tenant_id == self._tenant_id,
            row.created_at == created_at_of(last_id),
            row.id == last_id,
        )
        return self._session.execute(found).first() is not None

    def _first_gap(self, batches: Sequence[Any], position: Position) -> Any | None:
        """The first batch that has fewer rows than it was committed with.

        The one the position is in does not count: its reader was told, or entered it whole.
        """
        entered = [batch for batch in batches if batch.id != position.batch_id]
        counts = self._counts(entered)
        gaps = (batch for batch in entered if counts.get(batch.id, 0) < batch.row_count)
        return next(gaps, None)

    def _past(self, batches: Sequence[Any]) -> Position:
        """Where rows are again, from a gap at the first of these batches on."""
        counts = self._counts(batches)
        for batch in batches:
            if counts.get(batch.id):
                return Position(batch.id, BEFORE_ALL)
        return self._first_hot(after_seq=batches[-1].seq)

    def _first_hot(self, *, after_seq: int = -1, since: datetime | None = None) -> Position:
        # The end is told first: what is committed while the rest is asked for lies behind it.
        newest = self._select_batches().order_by(LogBatchRow.seq.desc()).limit(1)
        last = self._session.execute(newest).first()
        oldest = select(func.min(self._row.created_at)).where(
            self._row.tenant_id == self._tenant_id
        )
        edge = self._session.execute(oldest).scalar()
        if edge is not None:
            hot = self._select_batches().where(
                LogBatchRow.seq > after_seq, LogBatchRow.max_created_at >= max(edge, since or edge)
            )
            first = self._session.execute(hot.order_by(LogBatchRow.seq).limit(1)).first()
            if first is not None:
                return Position(first.id, BEFORE_ALL)
        return START if last is None else Position(last.id, AFTER_ALL)

    def _counts(self, batches: Sequence[Any]) -> dict[UUID, int]:
        if not batches:
            return {}
        row = self._row
        columns: tuple[Any, ...] = (row.batch_id, func.count().label("rows"))
        counted = self._of_batches(
            select(*columns).where(row.tenant_id == self._tenant_id), batches
        )
        found = self._session.execute(counted.group_by(row.batch_id))
        return {batch.batch_id: batch.rows for batch in found}

    def _of_batches(self, statement: Select[Any], batches: Sequence[Any]) -> Select[Any]:
        """Only rows of these batches; their times let the planner leave out partitions."""
        return statement.where(
            self._row.batch_id.in_([batch.id for batch in batches]),
            self._row.created_at >= min(batch.min_created_at for batch in batches),
            self._row.created_at <= max(batch.max_created_at for batch in batches),
        )

    def _select_batches(self) -> Select[Any]:
        return select(*_BATCH).where(
            LogBatchRow.tenant_id == self._tenant_id,
            LogBatchRow.kind == _KINDS[self._row].value,
        )


def _in_window(filters: Filters) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if filters.since is not None:
        conditions.append(LogBatchRow.max_created_at >= filters.since)
    if filters.until is not None:
        conditions.append(LogBatchRow.min_created_at < filters.until)
    return and_(true(), *conditions)
