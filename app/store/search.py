"""Searching by content: newest first, stretch by stretch, until the page is full or time is up."""

import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select, text
from sqlalchemy.orm import Session

from ..domain.filters import Filters, Page
from ..domain.identity import created_at_of, is_record_id, read_uuid
from .content import content_matches
from .paging import LogRow, newest_first

# A stretch is looked at by one statement. The first is small, for records may be of any size; each
# that follows is as long as the one before suggests for STRETCH_S.
STRETCH_ROWS_FIRST = 200
STRETCH_ROWS_MIN = 20
STRETCH_ROWS_MAX = 20_000
STRETCH_S = 0.1
GROWTH_MAX = 8


@dataclass(frozen=True, slots=True)
class Found:
    """The rows that matched, and the id of the last row looked at if time was up before the end."""

    rows: list[dict[str, Any]]
    reached: UUID | None


def search_by_content(
    session: Session,
    row: LogRow,
    statement: Select[Any],
    filters: Filters,
    page: Page,
    *,
    seconds: float,
) -> Found:
    """The page of the rows of a statement that match by content, newest first.

    A record whose very id is sought is found at once, and is all that is found.

    Args:
        statement: selects columns, created_at and id among them, of all rows in question.
        filters: by_content.
        page: without skip.
        seconds: how long to look; one stretch, about STRETCH_S, may come on top.
    """
    matches = content_matches(row, filters)
    named = read_uuid(filters.q)
    if named is not None and is_record_id(named) and page.after is None:
        lookup = statement.where(row.created_at == created_at_of(named), row.id == named, matches)
        only = session.execute(lookup).mappings().first()
        if only is not None:
            return Found([dict(only)], None)
    return _scan(session, row, statement.add_columns(matches.label("matches")), page, seconds)


def _scan(
    session: Session, row: LogRow, statement: Select[Any], page: Page, seconds: float
) -> Found:
    deadline = time.monotonic() + seconds
    # The planner expects a scan of the whole log and would compile for it, at every stretch.
    session.execute(text("SET LOCAL jit = off"))
    found: list[dict[str, Any]] = []
    size, at = STRETCH_ROWS_FIRST, page
    while True:
        started = time.monotonic()
        wanted = page.limit - len(found)
        looked_at = _stretch(row, statement, replace(at, limit=size)).limit(wanted)
        rows = [dict(item) for item in session.execute(looked_at).mappings()]
        last = rows[-1] if rows else None
        found += [_without_marks(item) for item in rows if item["matches"]]
        if len(found) >= page.limit or last is None or last["place"] < size:
            return Found(found, None)
        if time.monotonic() >= deadline:
            return Found(found, last["id"])
        at = replace(at, after=last["id"])
        size = _next_size(size, time.monotonic() - started)


def _stretch(row: LogRow, statement: Select[Any], page: Page) -> Select[Any]:
    """The matching rows of the next page.limit rows, and the last of these whether or not."""
    place = func.row_number().over(order_by=(row.created_at.desc(), row.id.desc()))
    rows = newest_first(statement.add_columns(place.label("place")), row, page).subquery()
    shown = select(rows).where(or_(rows.c.matches, rows.c.place == page.limit))
    # Ordered as the rows come, so that nothing is sorted and a full page ends the scan.
    return shown.order_by(rows.c.created_at.desc(), rows.c.id.desc())


def _without_marks(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("matches", "place")}


def _next_size(size: int, seconds: float) -> int:
    growth = min(STRETCH_S / max(seconds, 0.001), GROWTH_MAX)
    return max(STRETCH_ROWS_MIN, min(round(size * growth), STRETCH_ROWS_MAX))
