"""The three ways to read a log: a list newest first, a search by content, a tail."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from uuid import UUID

import flask

from ..domain.filters import ActionFilter, AuditFilter, Filters, Page
from ..domain.identity import created_at_of, format_time
from ..domain.paths import PathFilter
from ..domain.tail import Position, decode_position, encode_position
from ..errors import CursorTooOld
from ..store.listing import ListedRow
from ..store.tail import RowsGone
from .paging import HasId, Paging, next_link
from .rendering import respond_list
from .service import current_service
from .withholding import all_shown, refuse_search

REACHED = "X-Search-Reached"
COMMIT = "commit"  # the order of a tail
AT_END = "X-Tail-End"
LIST_HEADERS = {
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


def answer(log: Log[Asked, Row], query: dict[str, Any], filters: Asked, scope: str) -> Answer[Row]:
    """What this key is shown of a log, with status and headers, in the way that the query asks for.

    Args:
        query: the parsed parameters.
        filters: made of them.
        scope: names the list and the tenant; cursors are bound to it.

    Raises:
        CursorTooOld: a tail goes on, but not from there.
        Forbidden: the query looks into payloads, which the key may not see.
    """
    refuse_search(filters)
    if query.get("order") == COMMIT:
        return _tail(log, query, filters, f"{scope} commit")
    paging = Paging(query, filters, scope)
    if filters.by_content:
        return _search(log, query["limit"], filters, paging)
    page, headers = paging.respond(log.search(filters, paging.page))
    return respond_list(page, headers)


def needs_snapshot(query: dict[str, Any], filters: Filters) -> bool:
    """Whether what is asked for is a plain list: it is read from rows and rollups, which have to
    agree. A tail has to see what goes while it reads.
    """
    return query.get("order") != COMMIT and not filters.by_content


def paths_of(query: dict[str, Any]) -> tuple[PathFilter, ...]:
    """All PATH filters of a query."""
    return tuple(path for name in sorted(query) if name.endswith("_paths") for path in query[name])


def _search(log: Log[Asked, Row], limit: int, filters: Asked, paging: Paging) -> Answer[Row]:
    # Whether there is one more record may take as long to know as all of the page: it is not asked.
    page = replace(paging.page, limit=limit)
    seconds = current_service().settings.search_budget_s
    rows, reached = log.search_by_content(filters, page, seconds=seconds)
    last = rows[-1].id if len(rows) == limit else reached
    found, headers = paging.respond(rows, last)
    if reached is not None:
        headers[REACHED] = format_time(created_at_of(reached))
    return all_shown(found), 200, headers


def _tail(log: Log[Asked, Row], query: dict[str, Any], filters: Asked, scope: str) -> Answer[Row]:
    after = query.get("after")
    position = None if after is None else decode_position(after, filters, scope)
    try:
        rows, behind, at_end = log.tail(filters, position, query["limit"])
    except RowsGone as error:
        raise CursorTooOld(encode_position(error.resume, filters, scope)) from error
    link = next_link(encode_position(behind, filters, scope))
    return all_shown(rows), 200, {"Link": link, AT_END: str(at_end).lower()}
