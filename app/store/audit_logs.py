"""AuditLogRepository: everything that is asked of the audit logs of one tenant."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ..domain.archive import Segment
from ..domain.filters import AuditFilter, Page
from ..domain.identity import created_at_of, is_record_id
from ..domain.logs import AuditLog, AuditLogSummary
from ..domain.records import Kind
from ..domain.tail import Position
from .archives import list_cold, newest_cold
from .content import content_matches
from .listing import AUDITS, ListedRow
from .models import AuditLogRow
from .paging import newest_first, oldest_first, within
from .partitions import hot_since
from .rollup_guess import guess_share
from .rollup_map import Window, find_windows
from .scan import Scan, Wanted
from .search import search_by_content
from .tail import Stretch, Tail

_SUMMARY = (
    AuditLogRow.id,
    AuditLogRow.tenant_id,
    AuditLogRow.action,
    AuditLogRow.resource_type,
    AuditLogRow.resource_id,
    AuditLogRow.user_id,
    AuditLogRow.changes,
    AuditLogRow.ip_address,
    AuditLogRow.created_at,
)
_DETAIL = (
    *_SUMMARY,
    AuditLogRow.user_agent,
    AuditLogRow.operation_id,
    AuditLogRow.metadata_.label("metadata"),
    AuditLogRow.updated_at,
)
_CELL = {"action", "resource_type"}  # what rollups count together
_EXACT = ("action", "resource_type", "resource_id", "user_id", "ip_address", "operation_id")


class AuditLogRepository:
    """Reads the audit logs of one tenant, inside a transaction scoped to that tenant.

    Records come in through capture and the workers alone; nothing here writes.
    """

    kind: ClassVar = Kind.AUDIT

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def search(self, filters: AuditFilter, page: Page) -> list[ListedRow]:
        """The page of the records that match, newest first, as the API lists them."""
        values = {name: getattr(filters, name) for name in _EXACT if getattr(filters, name)}
        wanted = Wanted(
            kind=Kind.AUDIT,
            tenant_id=self._tenant_id,
            shown=AUDITS.columns,
            conditions=[f"l.{name} = %({name})s" for name in values],
            values=values,
            since=filters.since,
            until=filters.until,
            page=page,
        )
        scan = Scan(self._session, wanted, datetime.now(UTC))
        if not values:
            rows = scan.in_order()
        elif filters.operation_id is not None:
            rows = scan.by_index()
        elif values.keys() <= _CELL:
            cell = _cell(filters)
            share = guess_share(self._session, self._tenant_id, Kind.AUDIT, cell, scan.top)
            rows = scan.in_windows(partial(self._windows, filters, wanted), share)
        else:
            rows = scan.by_week()
        return AUDITS.rows(rows)

    @staticmethod
    def detail(values: Mapping[str, Any]) -> AuditLog:
        """A record in full, of the values of its columns, wherever they are read from."""
        objects = {name: values[name] or {} for name in ("changes", "metadata")}
        return AuditLog(**{**values, **objects})

    def archived_until(self, filters: AuditFilter) -> datetime | None:
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

    def search_in_full(self, filters: AuditFilter, page: Page) -> list[dict[str, Any]]:
        """The values of the records of a page in full, newest first."""
        statement = self._matching(filters, _DETAIL)
        if filters.by_content:
            statement = statement.where(content_matches(AuditLogRow, filters))
        found = self._session.execute(newest_first(statement, AuditLogRow, page)).mappings()
        return [dict(row) for row in found]

    def search_by_content(
        self, filters: AuditFilter, page: Page, *, seconds: float
    ) -> tuple[list[AuditLogSummary], UUID | None]:
        """The page of the records that match, newest first, as far as `seconds` suffice.

        Returns:
            The records, and the id of the last one looked at if there was no time for the rest.
        """
        found = search_by_content(
            self._session, AuditLogRow, self._matching(filters), filters, page, seconds=seconds
        )
        return [_summary(row) for row in found.rows], found.reached

    def tail(
        self, filters: AuditFilter, position: Position | None, limit: int
    ) -> tuple[list[AuditLogSummary], Position, bool]:
        """The next records that match, in commit order; from the oldest hot batch on without a
        position.

        Returns:
            The records, the position behind them, and whether that is the end for now.

        Raises:
            RowsGone: what follows the position has left the hot store.
        """
        statement = self._matching(filters)
        if filters.by_content:
            statement = statement.where(content_matches(AuditLogRow, filters))
        tail = Tail(self._session, self._tenant_id, AuditLogRow)
        stretch = tail.read(statement, filters, position or tail.beginning(filters.since), limit)
        return [_summary(row) for row in stretch.rows], stretch.position, stretch.at_end

    def tail_in_full(self, filters: AuditFilter, position: Position, limit: int) -> Stretch:
        """The next records that match, in commit order, as the values of their columns.

        Raises:
            RowsGone: what follows the position has left the hot store.
        """
        tail = Tail(self._session, self._tenant_id, AuditLogRow)
        return tail.read(self._matching(filters, _DETAIL), filters, position, limit)

    def get(self, audit_id: UUID) -> AuditLog | None:
        """One record in full, or None; opens only the partition of its time."""
        if not is_record_id(audit_id):
            return None
        statement = self._select(_DETAIL).where(
            AuditLogRow.created_at == created_at_of(audit_id), AuditLogRow.id == audit_id
        )
        row = self._session.execute(statement).mappings().first()
        return None if row is None else self.detail(dict(row))

    def of_operation(
        self, operation_id: str, limit: int, *, after: UUID | None = None, inclusive: bool = False
    ) -> list[AuditLog]:
        """The records of one operation, oldest first, past the id `after`, or from it on."""
        statement = self._select(_DETAIL).where(AuditLogRow.operation_id == operation_id)
        statement = oldest_first(statement, AuditLogRow, limit, after, inclusive=inclusive)
        return [self.detail(dict(row)) for row in self._session.execute(statement).mappings()]

    def _windows(self, filters: AuditFilter, wanted: Wanted) -> Iterator[Window]:
        return find_windows(
            self._session,
            self._tenant_id,
            Kind.AUDIT,
            _cell(filters),
            since=hot_since(self._session, self.kind, wanted.since),
            until=wanted.end,
            enough=wanted.enough,
        )

    def _matching(self, filters: AuditFilter, columns: Sequence[Any] = _SUMMARY) -> Select[Any]:
        statement = within(self._select(columns), AuditLogRow, filters.since, filters.until)
        for name in _EXACT:
            value = getattr(filters, name)
            if value is not None:
                statement = statement.where(getattr(AuditLogRow, name) == value)
        return statement

    def _select(self, columns: Sequence[Any]) -> Select[Any]:
        return select(*columns).where(AuditLogRow.tenant_id == self._tenant_id)


def _cell(filters: AuditFilter) -> tuple[tuple[str, ...], ...]:
    """Of each name of a cell the values that match; none for any."""
    names = (filters.action, filters.resource_type)
    return tuple((name,) if name else () for name in names)


def _summary(row: Any) -> AuditLogSummary:
    return AuditLogSummary(**{**row, "changes": row["changes"] or {}})
