"""One tenant's log as far as it is archived: the same questions as of the hot one, and answers in
the same form.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from ..domain.archive import Segment
from ..domain.codec import COLUMNS, HEAD_CELLS, JSON_COLUMNS
from ..domain.filters import ActionFilter, AuditFilter, Filters, Page
from ..domain.grains import Grain, from_ms
from ..domain.identity import EPOCH, MILLISECOND, created_at_of, format_time
from ..domain.records import ActionStatus, Kind
from ..domain.summary import SLOWEST_ROWS_MAX
from .cold import ColdStore
from .listing import ACTIONS, AUDITS, ListedRow

# Segments are opened newest first, each time more of them: most pages are full after the first.
SEGMENTS_FIRST = 2
SEGMENTS_MAX = 64

_LISTINGS = {Kind.ACTION: ACTIONS, Kind.AUDIT: AUDITS}
_DETAILS = {
    Kind.ACTION: (
        *("id", "action_type", "provider_name", "status", "error_message", "execution_time_ms"),
        *("created_at", "request_payload", "response_data", "operation_id", "metadata"),
        "updated_at",
    ),
    Kind.AUDIT: (
        *("id", "action", "resource_type", "resource_id", "user_id", "changes", "ip_address"),
        *("created_at", "user_agent", "operation_id", "metadata", "updated_at"),
    ),
}
_CELLS = {
    Kind.ACTION: "action_type, provider_name, status",
    Kind.AUDIT: "action, resource_type",
}
_BETWEEN = "WHERE created_at >= make_timestamptz($low) AND created_at < make_timestamptz($high)"
HEADS_MS = 3_600_000  # at a time in memory
_TIMES = ("created_at", "updated_at")


@dataclass(frozen=True, slots=True)
class ColdLog:
    """The archived records of one tenant and kind.

    Args:
        segments: those in question, as the register has them, the newest first.
    """

    store: ColdStore
    tenant_id: UUID
    kind: Kind
    segments: Sequence[Segment]

    def search(self, filters: Filters, page: Page) -> list[ListedRow]:
        """The page of the records that match, newest first; filters by content are not for it."""
        listing = _LISTINGS[self.kind]
        names = [name for name in listing.names if name != "tenant_id"]
        found = self._newest(names, filters, page)
        for row in found:
            row["tenant_id"] = str(self.tenant_id)
            row["created_at"] = format_time(_moment(row["created_at"]))
        return listing.rows([[row[name] for name in listing.names] for row in found[page.skip :]])

    def search_in_full(self, filters: Filters, page: Page) -> list[dict[str, Any]]:
        """The values of the records of a page in full; the page is without skip."""
        found = self._newest(_DETAILS[self.kind], filters, page)
        return [
            {"tenant_id": self.tenant_id, **{name: _value(name, row[name]) for name in row}}
            for row in found
        ]

    def _newest(self, names: Sequence[str], filters: Filters, page: Page) -> list[dict[str, Any]]:
        """The newest records that match past the page's cursor, as many as it needs with its skip;
        times are microseconds.
        """
        asked = _Conditions(filters, page.after)
        shown = ", ".join(map(_shown, names))
        enough = page.skip + page.limit
        statement = (
            f"SELECT {shown} FROM segments {asked.where}"  # noqa: S608
            f" ORDER BY created_at DESC, id DESC LIMIT {enough}"
        )
        found: list[dict[str, Any]] = []
        for some, rest_until in self._chunks(asked):
            rows = self.store.read(self.tenant_id, some, statement, asked.values)
            found += [dict(zip(names, row, strict=True)) for row in rows]
            found.sort(key=lambda row: row["id"], reverse=True)  # ids sort as their times do
            del found[enough:]
            if len(found) == enough and _moment(found[-1]["created_at"]) > rest_until:
                break
        return found

    def get(self, record_id: UUID) -> dict[str, Any] | None:
        """The values of one record in full, or None."""
        found = self._details("WHERE id = $id", {"id": str(record_id)}, self.segments, 1)
        return found[0] if found else None

    def of_operation(
        self, operation_id: str, limit: int, *, after: UUID | None = None, inclusive: bool = False
    ) -> list[dict[str, Any]]:
        """The values of the records of one operation, oldest first, past an id, or from it on."""
        condition, values = "WHERE operation_id = $operation_id", {"operation_id": operation_id}
        if after is not None:
            condition += f" AND id {'>=' if inclusive else '>'} $after"
            values["after"] = str(after)
        found: list[dict[str, Any]] = []
        for some in _chunked(list(reversed(self.segments))):
            found += self._details(condition, values, some, limit)
        return sorted(found, key=lambda row: row["id"])[:limit]

    def within(self, low: int, high: int) -> "ColdLog":
        """The part of it that may hold records of a stretch of time (ms)."""
        stretch = _Conditions(ActionFilter(since=from_ms(low), until=from_ms(high)), None)
        return replace(self, segments=[one for one in self.segments if stretch.may_be_in(one)])

    def groups(self, low: int, high: int, grain: Grain) -> list[tuple[Any, ...]]:
        """Of the records of a stretch of time (ms): the unit of a grain, cell names, duration, how
        many, and the times of the first and last.
        """
        cell = _CELLS[self.kind]
        duration = "execution_time_ms" if self.kind is Kind.ACTION else "0"
        return self._read(
            f"SELECT epoch_ms(date_trunc('{grain.value}', created_at)) AS unit, {cell},"  # noqa: S608
            f" {duration} AS duration, count(*), epoch_ms(min(created_at)),"
            f" epoch_ms(max(created_at)) FROM segments {_BETWEEN} GROUP BY unit, {cell}, duration",
            _between(low, high),
        )

    def slowest(self, low: int, high: int) -> list[tuple[Any, ...]]:
        """Cell names, duration and id of the slowest successes of a stretch of time (ms)."""
        found = self._read(
            f"SELECT {_CELLS[self.kind]}, execution_time_ms, id FROM segments {_BETWEEN}"  # noqa: S608
            f" AND status = '{ActionStatus.SUCCESS}'"
            f" ORDER BY execution_time_ms DESC, id DESC LIMIT {SLOWEST_ROWS_MAX}",
            _between(low, high),
        )
        return [(*row[:-1], UUID(row[-1])) for row in found]

    def users(self, low: int, high: int, grain: Grain) -> list[tuple[Any, ...]]:
        """The unit of a grain, user (empty: none), action, resource type, and how many."""
        return self._read(
            f"SELECT epoch_ms(date_trunc('{grain.value}', created_at)) AS unit,"  # noqa: S608
            " coalesce(user_id, '') AS who, action, resource_type, count(*) FROM segments"
            f" {_BETWEEN} GROUP BY unit, who, action, resource_type",
            _between(low, high),
        )

    def heads(self, low: int, high: int, at_once_ms: int = HEADS_MS) -> Iterator[tuple[Any, ...]]:
        """Time, id and the cells that a worker looks at, of the records of a stretch (ms).

        Args:
            at_once_ms: how long a part of it is read at a time.
        """
        names = ", ".join(COLUMNS[self.kind][HEAD_CELLS])
        statement = (
            f"SELECT epoch_us(created_at), id, {names} FROM segments {_BETWEEN}"  # noqa: S608
            " ORDER BY created_at, id"
        )
        for start in range(low, high, at_once_ms):
            end = min(start + at_once_ms, high)
            part = self.within(start, end).segments
            for at, id_, *cells in self._read(statement, _between(start, end), part):
                yield _moment(at), UUID(id_), *cells

    def _read(
        self, statement: str, values: dict[str, Any], some: Sequence[Segment] | None = None
    ) -> list[tuple[Any, ...]]:
        segments = self.segments if some is None else some
        return self.store.read(self.tenant_id, segments, statement, values) if segments else []

    def _details(
        self, condition: str, values: dict[str, Any], segments: Sequence[Segment], limit: int
    ) -> list[dict[str, Any]]:
        names = _DETAILS[self.kind]
        shown = ", ".join(map(_shown, names))
        statement = f"SELECT {shown} FROM segments {condition} ORDER BY id LIMIT {limit}"  # noqa: S608
        rows = self._read(statement, values, segments)
        return [
            {"tenant_id": self.tenant_id, **dict(zip(names, map(_value, names, row), strict=True))}
            for row in rows
        ]

    def _chunks(self, asked: "_Conditions") -> Iterator[tuple[list[Segment], datetime]]:
        """Segments that may hold what is asked for, some at once, and how new the rest may be."""
        wanted = [segment for segment in self.segments if asked.may_be_in(segment)]
        passed = 0
        for some in _chunked(wanted):
            passed += len(some)
            rest = wanted[passed:]
            yield some, rest[0].content.max_created_at if rest else EPOCH - MILLISECOND


class _Conditions:
    """Filters and a cursor as DuckDB takes them."""

    def __init__(self, filters: Filters, after: UUID | None) -> None:
        self.values: dict[str, Any] = {}
        self._parts: list[str] = []
        self._since, self._until = filters.since, filters.until
        for name in _FILTERS[type(filters)]:
            self._match(name, getattr(filters, name))
        if isinstance(filters, ActionFilter) and filters.min_execution_time_ms is not None:
            self._add("execution_time_ms >= $least", least=filters.min_execution_time_ms)
        if filters.since is not None:
            self._add("created_at >= make_timestamptz($since)", since=_microseconds(filters.since))
        if filters.until is not None:
            self._add("created_at < make_timestamptz($until)", until=_microseconds(filters.until))
        if after is not None:
            last = created_at_of(after)
            self._until = min(self._until or last + MILLISECOND, last + MILLISECOND)
            self._add("created_at <= make_timestamptz($last)", last=_microseconds(last))
            self._add("id < $after", after=str(after))

    @property
    def where(self) -> str:
        """The WHERE clause, if there is one."""
        return f"WHERE {' AND '.join(self._parts)}" if self._parts else ""

    def may_be_in(self, segment: Segment) -> bool:
        """Whether the times fit."""
        content = segment.content
        if self._since is not None and content.max_created_at < self._since:
            return False
        return self._until is None or content.min_created_at < self._until

    def _match(self, name: str, wanted: Any) -> None:
        options = wanted if isinstance(wanted, tuple) else (wanted,) if wanted is not None else ()
        if options:
            named = {f"{name}_{number}": value for number, value in enumerate(options)}
            self._add(f"{name} IN ({', '.join(f'${key}' for key in named)})", **named)

    def _add(self, condition: str, **values: Any) -> None:
        self._parts.append(condition)
        self.values |= values


_FILTERS: dict[type[Filters], tuple[str, ...]] = {
    ActionFilter: ("action_type", "status", "provider_name", "operation_id"),
    AuditFilter: (
        *("action", "resource_type", "resource_id", "user_id", "ip_address", "operation_id"),
    ),
}


def merged(hot: Sequence[ListedRow], cold: Sequence[ListedRow], page: Page) -> list[ListedRow]:
    """One page of what both have, newest first, each record once; both without the page's skip."""
    rows = {row["id"]: row for row in (*cold, *hot)}
    newest = sorted(rows.values(), key=lambda row: row["id"], reverse=True)
    return newest[page.skip : page.skip + page.limit]


def _between(low: int, high: int) -> dict[str, Any]:
    return {"low": low * 1000, "high": high * 1000}


def _chunked(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    left, size = iter(segments), SEGMENTS_FIRST
    while some := list(islice(left, size)):
        yield some
        size = min(size * 4, SEGMENTS_MAX)


def _shown(name: str) -> str:
    return f"epoch_us({name})" if name in _TIMES else name


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return _moment(value)
    if name == "id":
        return UUID(value)
    return json.loads(value) if name in JSON_COLUMNS else value


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
