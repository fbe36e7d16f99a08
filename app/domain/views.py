"""Views: lists with their filters, by a name."""

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from .erasure import ERASED, Subject

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


def erase_view(view: View, subject: Subject) -> View | None:
    """A view without the person, a mark in the place of each value that names them; None if it
    names them nowhere.
    """
    pairs = parse_qsl(view.query, keep_blank_values=True)
    new = [(_erased(name, subject), _erased(value, subject)) for name, value in pairs]
    query = urlencode(new) if new != pairs else view.query
    if subject.is_in(query):  # it is no query that could be read
        query = ""
    changed = replace(view, name=_erased(view.name, subject), query=query)
    return None if changed == view else changed


def _erased(value: str, subject: Subject) -> str:
    return ERASED if subject.is_in(value) else value
