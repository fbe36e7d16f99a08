"""All records that match, in full, newest first: page by page, each in a transaction of its own, so
that a long read holds nothing up; the archive's among them, if they are asked for.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from ..domain.filters import ActionFilter, AuditFilter, Filters, Page
from ..domain.records import Kind
from .action_logs import ActionLogRepository
from .audit_logs import AuditLogRepository
from .cold import ColdStore
from .cold_log import ColdLog

PAGE_ROWS = 1000  # at a time in memory; most are of 1 KB, none is larger than 256

LOGS: dict[Kind, Any] = {Kind.ACTION: ActionLogRepository, Kind.AUDIT: AuditLogRepository}
FILTERS: dict[Kind, type[Filters]] = {Kind.ACTION: ActionFilter, Kind.AUDIT: AuditFilter}


class Scoped(Protocol):
    """What opens a transaction of one tenant."""

    def tenant(self, tenant_id: UUID) -> AbstractContextManager[Session]:
        """The transaction."""
        ...


def read_everything(
    database: Scoped, tenant_id: UUID, kind: Kind, filters: Filters, cold: ColdStore | None
) -> Iterator[list[dict[str, Any]]]:
    """Every record that matches, as the values of its columns, some at a time.

    A record that is archived meanwhile is read from where it is, once.

    Args:
        cold: the archive, if its records are wanted too.
    """
    page = Page(PAGE_ROWS)
    while True:
        with database.tenant(tenant_id) as session:
            log = LOGS[kind](session, tenant_id)
            hot = log.search_in_full(filters, page)
            full = len(hot) == PAGE_ROWS
            since = hot[-1]["created_at"] if full else filters.since
            # After the rows: what is archived in between is in both, rather than in neither.
            segments = log.archived(since, filters.until) if cold is not None else []
        found = {row["id"]: row for row in hot}
        if cold is not None and segments:
            archived = ColdLog(cold, tenant_id, kind, segments).search_in_full(filters, page)
            found = {**{row["id"]: row for row in archived}, **found}
        rows = sorted(found.values(), key=lambda row: row["id"], reverse=True)[:PAGE_ROWS]
        if rows:
            yield rows
        if len(rows) < PAGE_ROWS:
            return
        page = replace(page, after=rows[-1]["id"])
