"""ActionLogRepository: everything that is asked of the action logs of one tenant."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ..domain.archive import Segment
from ..domain.filters import ActionFilter, Page
from ..domain.identity import created_at_of, is_record_id
from ..domain.logs import ActionLog, ActionLogSummary
from ..domain.records import FAILED_STATUSES, ActionStatus, Kind
from ..domain.tail import Position
from .archives import list_cold, newest_cold
from .content import content_matches
from .listing import ACTIONS, ListedRow
from .models import ActionLogRow
from .paging import newest_first, oldest_first, within
from .partitions import hot_since
from .rollup_guess import guess_share
from .rollup_map import Window, find_windows
from .scan import Scan, Wanted
from .search import search_by_content
from .tail import Stretch, Tail

_SUMMARY = (
    ActionLogRow.id,
    ActionLogRow.tenant_id,
    ActionLogRow.action_type,
    ActionLogRow.provider_name,
    ActionLogRow.status,
    ActionLogRow.error_message,
    ActionLogRow.execution_time_ms,
    ActionLogRow.created_at,
)
_DETAIL = (
    *_SUMMARY,
    ActionLogRow.request_payload,
    ActionLogRow.response_data,
    ActionLogRow.operation_id,
    ActionLogRow.metadata_.label("metadata"),
    ActionLogRow.updated_at,
)
SLOW_MS = 1000
# As the index action_logs_trouble_idx has it; said in words, so that the planner need not prove it.
TROUBLE = f"(l.status <> '{ActionStatus.SUCCESS}' OR l.execution_time_ms >= {SLOW_MS})"
_LISTS = ("action_type", "status", "provider_name")


class ActionLogRepository:
    """Reads the action logs of one tenant, inside a transaction scoped to that tenant.

    Records come in through capture and the workers alone; nothing here writes.
    """

    kind: ClassVar = Kind.ACTION

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def search(self, filters: ActionFilter, page: Page) -> list[ListedRow]:
        """The page of the records that match, newest first, as the API lists them."""
        values = {name: list(getattr(filters, name)) for name in _LISTS if getattr(filters, name)}
        conditions = [f"l.{name} = ANY(%({name})s)" for name in values]
        if filters.min_execution_time_ms is not None:
            conditions.append("l.execution_time_ms >= %(min_execution_time_ms)s")
        if filters.operation_id is not None:
            conditions.append("l.operation_id = %(operation_id)s")
        wanted = Wanted(
            kind=Kind.ACTION,
            tenant_id=self._tenant_id,
            shown=ACTIONS.columns,
            conditions=conditions,
            values={
                **values,
                "min_execution_time_ms": filters.min_execution_time_ms,
                "operation_id": filters.operation_id,
            },
            since=filters.since,
            until=filters.until,
            page=page,
        )
        if self._is_trouble(filters):
            conditions.append(TROUBLE)
        scan = Scan(self._session, wanted, datetime.now(UTC))
        if not conditions:
            rows = scan.in_order()
        elif filters.operation_id is not None:
            rows = scan.by_index()
        elif TROUBLE in conditions:
            rows = scan.by_week()
        else:
            cell = (filters.action_type, filters.provider_name, filters.status)
            least = filters.min_execution_time_ms
            share = guess_share(self._session, self._tenant_id, Kind.ACTION, cell, scan.top, least)
            rows = scan.in_windows(partial(self._windows, filters, wanted), share)
        return ACTIONS.rows(rows)

    @staticmethod
    def detail(values: Mapping[str, Any]) -> ActionLog:
        """A record in full, of the values of its columns, wherever they are read from."""
        return ActionLog(**{**values, "metadata": values["metadata"] or {}})

    def archived_until(self, filters: ActionFilter) -> datetime | None:
        """When the newest archived record was made that may lie in the window of the filters."""
        window = (filters.since, filters.until)
        return newest_cold(self._session, self._tenant_id, self.kind, *window)

    def archived(
        self, since: datetime | None, until: datetime | None, *, restored: bool = True
    ) -> list[Segment]:
        """The segments that may hold archived records of a window.

        Asked for after the rows, or in one snapshot with them, so that what is archived meanwhile
        is in one or the other.
        """
        window = (since, until)
        return list_cold(self._session, self._tenant_id, self.kind, *window, restored=restored)

    def search_in_full(self, filters: ActionFilter, page: Page) -> list[dict[str, Any]]:
        """The values of the records of a page in full, newest first."""
        statement = self._matching(_DETAIL, filters)
        if filters.by_content:
            statement = statement.where(content_matches(ActionLogRow, filters))
        found = self._session.execute(newest_first(statement, ActionLogRow, page)).mappings()
        return [dict(row) for row in found]

    def search_by_content(
        self, filters: ActionFilter, page: Page, *, seconds: float
    ) -> tuple[list[ActionLogSummary], UUID | None]:
        """The page of the records that match, newest first, as far as `seconds` suffice.

        Returns:
            The records, and the id of the last one looked at if there was no time for the rest.
        """
        statement = self._matching(_SUMMARY, filters)
        found = search_by_content(
            self._session, ActionLogRow, statement, filters, page, seconds=seconds
        )
        return [ActionLogSummary(**row) for row in found.rows], found.reached

    def tail(
        self, filters: ActionFilter, position: Position | None, limit: int
    ) -> tuple[list[ActionLogSummary], Position, bool]:
        """The next records that match, in commit order; from the oldest hot batch on without a
        position.

        Returns:
            The records, the position behind them, and whether that is the end for now.

        Raises:
            RowsGone: what follows the position has left the hot store.
        """
        statement = self._matching(_SUMMARY, filters)
        if filters.by_content:
            statement = statement.where(content_matches(ActionLogRow, filters))
        tail = Tail(self._session, self._tenant_id, ActionLogRow)
        stretch = tail.read(statement, filters, position or tail.beginning(filters.since), limit)
        rows = [ActionLogSummary(**row) for row in stretch.rows]
        return rows, stretch.position, stretch.at_end

    def tail_in_full(self, filters: ActionFilter, position: Position, limit: int) -> Stretch:
        """The next records that match, in commit order, as the values of their columns.

        Raises:
            RowsGone: what follows the position has left the hot store.
        """
        tail = Tail(self._session, self._tenant_id, ActionLogRow)
        return tail.read(self._matching(_DETAIL, filters), filters, position, limit)

    def get(self, action_id: UUID) -> ActionLog | None:
        """One record with its payloads, or None; opens only the partition of its time."""
        if not is_record_id(action_id):
            return None
        statement = self._select(_DETAIL).where(
            ActionLogRow.created_at == created_at_of(action_id), ActionLogRow.id == action_id
        )
        row = self._session.execute(statement).mappings().first()
        return None if row is None else self.detail(dict(row))

    def recent_failures(self, since: datetime, limit: int) -> list[ListedRow]:
        """The newest failures and timeouts since a moment, at most `limit`."""
        failed = tuple(status.value for status in FAILED_STATUSES)
        return self.search(ActionFilter(status=failed, since=since), Page(limit))

    def of_operation(
        self, operation_id: str, limit: int, *, after: UUID | None = None, inclusive: bool = False
    ) -> list[ActionLog]:
        """The records of one operation, oldest first, past the id `after`, or from it on."""
        statement = self._select(_DETAIL).where(ActionLogRow.operation_id == operation_id)
        statement = oldest_first(statement, ActionLogRow, limit, after, inclusive=inclusive)
        return [self.detail(dict(row)) for row in self._session.execute(statement).mappings()]

    def _is_trouble(self, filters: ActionFilter) -> bool:
        """Whether all that is asked for is in the index of what failed or was slow."""
        least = filters.min_execution_time_ms
        unsuccessful = filters.status and ActionStatus.SUCCESS not in filters.status
        return bool(unsuccessful) or (least is not None and least >= SLOW_MS)

    def _windows(self, filters: ActionFilter, wanted: Wanted) -> Iterator[Window]:
        return find_windows(
            self._session,
            self._tenant_id,
            Kind.ACTION,
            (filters.action_type, filters.provider_name, filters.status),
            since=hot_since(self._session, self.kind, wanted.since),
            until=wanted.end,
            min_execution_time_ms=filters.min_execution_time_ms,
            enough=wanted.enough,
        )

    def _select(self, columns: Sequence[Any]) -> Select[Any]:
        return select(*columns).where(ActionLogRow.tenant_id == self._tenant_id)

    def _matching(self, columns: Sequence[Any], filters: ActionFilter) -> Select[Any]:
        statement = within(self._select(columns), ActionLogRow, filters.since, filters.until)
        for column, values in (
            (ActionLogRow.action_type, filters.action_type),
            (ActionLogRow.status, filters.status),
            (ActionLogRow.provider_name, filters.provider_name),
        ):
            if values:
                statement = statement.where(column.in_(values))
        if filters.min_execution_time_ms is not None:
            statement = statement.where(
                ActionLogRow.execution_time_ms >= filters.min_execution_time_ms
            )
        if filters.operation_id is not None:
            statement = statement.where(ActionLogRow.operation_id == filters.operation_id)
        return statement
