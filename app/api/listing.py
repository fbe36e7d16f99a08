"""The three ways to read a log: a list newest first, a search by content, a tail."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

import flask

from ..domain.archive import Segment
from ..domain.filters import ActionFilter, AuditFilter, Filters, Page
from ..domain.identity import MILLISECOND, created_at_of, format_time, is_record_id
from ..domain.paths import PathFilter
from ..domain.records import Kind
from ..domain.tail import Position, decode_position, encode_position
from ..errors import CursorTooOld
from ..store.cold_log import ColdLog, merged
from ..store.listing import ListedRow
from ..store.tail import RowsGone
from .paging import HasId, Paging, next_link
from .rendering import respond_list
from .service import current_service, current_tenant, reading
from .withholding import all_shown, refuse_search

REACHED = "X-Search-Reached"
ARCHIVED = "archived"
ARCHIVED_UNTIL = "X-Archived-Until"
COMMIT = "commit"  # the order of a tail
AT_END = "X-Tail-End"
LIST_HEADERS = {
    ARCHIVED_UNTIL: {
        "description": "created_at of the newest archived record that may lie within since and"
        " until, if there is one: this list is without them, include=archived has them too.",
        "schema": {"type": "string", "format": "date-time"},
    },
    REACHED: {
        "description": "Of a search whose time was up: created_at of the last record it looked at."
        " The Link header goes on from there.",
        "schema": {"type": "string", "format": "date-time"},
    },
    AT_END: {
        "description": "With order=commit: true if this is all that was committed by now.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
}

Row = TypeVar("Row", bound=HasId)
Asked = TypeVar("Asked", ActionFilter, AuditFilter)
Asked_contra = TypeVar("Asked_contra", contravariant=True)
Answer = flask.Response | tuple[Sequence[Row], int, dict[str, str]]


class Log(Protocol[Asked_contra, Row]):
    """One of the two logs of a tenant; both repositories are."""

    kind: ClassVar[Kind]

    def get(self, record_id: UUID, /) -> Any:
        """One record in full, or None."""
        ...

    def detail(self, values: Mapping[str, Any]) -> Any:
        """A record in full, of the values of its columns."""
        ...

    def archived_until(self, filters: Asked_contra) -> datetime | None:
        """When the newest archived record was made that may lie in the window of the filters."""
        ...

    def archived(
        self, since: datetime | None, until: datetime | None, *, restored: bool = True
    ) -> list[Segment]:
        """The segments that may hold archived records of a window."""
        ...

    def search(self, filters: Asked_contra, page: Page) -> list[ListedRow]:
        """The page of the records that match, newest first."""
        ...

    def search_by_content(
        self, filters: Asked_contra, page: Page, *, seconds: float
    ) -> tuple[list[Row], UUID | None]:
        """The records, and the last one looked at if there was no time for the rest."""
        ...

    def tail(
        self, filters: Asked_contra, position: Position | None, limit: int
    ) -> tuple[list[Row], Position, bool]:
        """The next records, the position behind them, and whether that is the end for now."""
        ...


def answer(
    log_type: Callable[[Any, UUID], Log[Asked, Row]],
    query: dict[str, Any],
    filters: Asked,
    name: str,
    asked: Asked | None = None,
) -> Answer[Row]:
    """What this key is shown of a log, with status and headers, in the way that the query asks for.

    Args:
        log_type: makes the log, of a session and a tenant.
        query: the parsed parameters.
        filters: made of them.
        name: of the list; cursors are bound to it and to the tenant.
        asked: what they are bound to besides, if not to the filters.

    Raises:
        CursorTooOld: a tail goes on, but not from there.
        Forbidden: the query looks into payloads, which the key may not see.
    """
    refuse_search(filters)
    if query.get("include") == ARCHIVED:
        return _with_archive(log_type, query, filters, name, asked or filters)
    with reading(snapshot=_needs_snapshot(query, filters)) as (session, tenant_id):
        log, scope = log_type(session, tenant_id), f"{name} {tenant_id}"
        if query.get("order") == COMMIT:
            return _tail(log, query, filters, f"{scope} commit")
        paging = Paging(query, asked or filters, scope)
        left_out = archive_headers(log, filters)
        if filters.by_content:
            return _search(log, query["limit"], filters, paging, left_out)
        page, headers = paging.respond(log.search(filters, paging.page))
        return respond_list(page, headers | left_out)


def find(
    log_type: Callable[[Any, UUID], Log[Asked, Any]], query: dict[str, Any], wanted: UUID
) -> Any:
    """One record in full, from the archive too if the query asks for that; or None."""
    if not is_record_id(wanted):
        return None
    at = created_at_of(wanted)
    with reading() as (session, tenant_id):
        log = log_type(session, tenant_id)
        found, segments = log.get(wanted), []
        if found is None and query.get("include") == ARCHIVED:
            segments = log.archived(at, at + MILLISECOND)
    if not segments:
        return found
    values = ColdLog(current_service().cold, tenant_id, log.kind, segments).get(wanted)
    return None if values is None else log.detail(values)


def archive_headers(log: Log[Asked, Row], filters: Asked) -> dict[str, str]:
    """What a list that leaves archived records out says of them."""
    until = log.archived_until(filters)
    return {} if until is None else {ARCHIVED_UNTIL: format_time(until)}


def _needs_snapshot(query: dict[str, Any], filters: Filters) -> bool:
    """Whether what is asked for is a plain list: it is read from rows and rollups, which have to
    agree. A tail has to see what goes while it reads.
    """
    return query.get("order") != COMMIT and not filters.by_content


def paths_of(query: dict[str, Any]) -> tuple[PathFilter, ...]:
    """All PATH filters of a query."""
    return tuple(path for name in sorted(query) if name.endswith("_paths") for path in query[name])


def _with_archive(
    log_type: Callable[[Any, UUID], Log[Asked, Row]],
    query: dict[str, Any],
    filters: Asked,
    name: str,
    asked: Asked,
) -> Answer[Row]:
    """A list of what is hot and what is archived. The archive is read when the transaction is over:
    a slow one must not keep the database from others.
    """
    tenant_id = current_tenant()
    paging = Paging(query, asked, f"{name} {tenant_id}")
    page = paging.page
    everything = replace(page, limit=page.skip + page.limit, skip=0)
    with reading(snapshot=True) as (session, _):
        log = log_type(session, tenant_id)
        hot = log.search(filters, everything)
        since = created_at_of(hot[-1].id) if len(hot) == everything.limit else filters.since
        segments = log.archived(since, filters.until, restored=False)  # it is a snapshot
    cold = ColdLog(current_service().cold, tenant_id, log.kind, segments)
    rows = merged(hot, cold.search(filters, everything), page)
    shown, headers = paging.respond(rows)
    return respond_list(shown, headers)


def _search(
    log: Log[Asked, Row], limit: int, filters: Asked, paging: Paging, headers: dict[str, str]
) -> Answer[Row]:
    # Whether there is one more record may take as long to know as all of the page: it is not asked.
    page = replace(paging.page, limit=limit)
    seconds = current_service().settings.search_budget_s
    rows, reached = log.search_by_content(filters, page, seconds=seconds)
    last = rows[-1].id if len(rows) == limit else reached
    found, links = paging.respond(rows, last)
    headers |= links
    if reached is not None:
        headers[REACHED] = format_time(created_at_of(reached))
    return all_shown(found), 200, headers


def tail_of(
    log: Log[Asked, Row], filters: Asked, scope: str, after: str | None, limit: int
) -> tuple[Sequence[Row], str, bool]:
    """The next records of a tail, the cursor behind them, and whether that is the end for now.

    Raises:
        CursorTooOld: it goes on, but not from there.
    """
    position = None if after is None else decode_position(after, filters, scope)
    try:
        rows, behind, at_end = log.tail(filters, position, limit)
    except RowsGone as error:
        raise CursorTooOld(encode_position(error.resume, filters, scope)) from error
    return rows, encode_position(behind, filters, scope), at_end


def _tail(log: Log[Asked, Row], query: dict[str, Any], filters: Asked, scope: str) -> Answer[Row]:
    rows, cursor, at_end = tail_of(log, filters, scope, query.get("after"), query["limit"])
    return all_shown(rows), 200, {"Link": next_link(cursor), AT_END: str(at_end).lower()}
