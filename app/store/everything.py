"""All records that match, in full, newest first: page by page, each in a transaction of its own, so
that a long read holds nothing up; the archive's among them, if they are asked for.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from ..domain.filters import ActionFilter, AuditFilter, Filters, Page
from ..domain.identity import MILLISECOND, created_at_of
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
        rows = read_page(database, tenant_id, kind, filters, cold, page)
        if rows:
            yield rows
        if len(rows) < PAGE_ROWS:
            return
        page = replace(page, after=rows[-1]["id"])


def read_page(
    database: Scoped,
    tenant_id: UUID,
    kind: Kind,
    filters: Filters,
    cold: ColdStore | None,
    page: Page,
) -> list[dict[str, Any]]:
    """One page of them, newest first; it is the last if it is not full."""
    with database.tenant(tenant_id) as session:
        log = LOGS[kind](session, tenant_id)
        hot = log.search_in_full(filters, page)
        full = len(hot) == page.limit
        since = hot[-1]["created_at"] if full else filters.since
        # After the rows: what is archived in between is in both, rather than in neither.
        segments = log.archived(since, filters.until) if cold is not None else []
    found = {row["id"]: row for row in hot}
    if cold is not None and segments:
        archived = ColdLog(cold, tenant_id, kind, segments).search_in_full(filters, page)
        found = {**{row["id"]: row for row in archived}, **found}
    return sorted(found.values(), key=lambda row: row["id"], reverse=True)[: page.limit]


def read_one(
    database: Scoped, tenant_id: UUID, kind: Kind, record_id: UUID, cold: ColdStore
) -> dict[str, Any] | None:
    """One record in full, as the values of its columns, wherever it is; None if it is gone."""
    at = created_at_of(record_id)
    with database.tenant(tenant_id) as session:
        log = LOGS[kind](session, tenant_id)
        found = log.get(record_id)
        segments = log.archived(at, at + MILLISECOND) if found is None else []
    if found is not None:
        return {field.name: getattr(found, field.name) for field in fields(found)}
    return ColdLog(cold, tenant_id, kind, segments).get(record_id) if segments else None
