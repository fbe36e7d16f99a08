"""What the two logs' repositories share: newest first, by the key that also finds and pages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, tuple_

from ..domain.filters import Page
from ..domain.identity import created_at_of
from .models import ActionLogRow, AuditLogRow

LogRow = type[ActionLogRow] | type[AuditLogRow]


def within(
    statement: Select[Any], row: LogRow, since: datetime | None, until: datetime | None
) -> Select[Any]:
    """Only records made at or after `since` and before `until`."""
    if since is not None:
        statement = statement.where(row.created_at >= since)
    if until is not None:
        statement = statement.where(row.created_at < until)
    return statement


def newest_first(statement: Select[Any], row: LogRow, page: Page) -> Select[Any]:
    """The page of a list ordered by (created_at, id), both descending."""
    if page.after is not None:
        last = created_at_of(page.after)
        # The first condition is implied; it alone lets the planner leave out partitions.
        statement = statement.where(
            row.created_at <= last, tuple_(row.created_at, row.id) < (last, page.after)
        )
    ordered = statement.order_by(row.created_at.desc(), row.id.desc())
    return ordered.offset(page.skip or None).limit(page.limit)


def oldest_first(
    statement: Select[Any], row: LogRow, limit: int, after: UUID | None, *, inclusive: bool
) -> Select[Any]:
    """At most `limit` rows ordered by (created_at, id), past the id `after`, or from it on."""
    if after is not None:
        key, last = tuple_(row.created_at, row.id), (created_at_of(after), after)
        statement = statement.where(
            row.created_at >= last[0], key >= last if inclusive else key > last
        )
    return statement.order_by(row.created_at, row.id).limit(limit)
