"""Views: lists with their filters, by a name."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

VIEW_NAME_CHARS_MAX = 100
QUERY_CHARS_MAX = 4_000
VIEWS_MAX = 100  # of one key


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of a tenant's logs.

    Args:
        key_id: whose it is.
        made_by: who that is, for people.
        log: actions or audits.
        query: of the list's URL.
        shared: whether all keys of the tenant see it.
    """

    id: UUID
    key_id: UUID
    made_by: str
    name: str
    log: str
    query: str
    shared: bool
    created_at: datetime
