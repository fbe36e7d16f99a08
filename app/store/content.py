"""Conditions on what a record says: text sought in it (q), and scalars at JSON paths.

None of them reaches an index, since their operators are not leakproof and so wait for row-level
security; whoever uses them bounds how many rows they look at.
"""

import json
from typing import Any

from sqlalchemy import ARRAY, Text, and_, cast, func, literal, or_, select
from sqlalchemy.sql import ColumnElement

from ..domain.filters import Filters
from ..domain.identity import read_uuid
from ..domain.paths import PathFilter
from .models import ActionLogRow, AuditLogRow
from .paging import LogRow

_TEXTS: dict[LogRow, tuple[Any, ...]] = {
    ActionLogRow: (ActionLogRow.error_message, ActionLogRow.operation_id),
    AuditLogRow: (
        *(AuditLogRow.resource_id, AuditLogRow.user_id, AuditLogRow.ip_address),
        AuditLogRow.operation_id,
    ),
}
_PAYLOADS: dict[LogRow, tuple[Any, ...]] = {
    ActionLogRow: (ActionLogRow.request_payload, ActionLogRow.response_data),
    AuditLogRow: (AuditLogRow.changes,),
}
_ROOTS: dict[LogRow, dict[str, Any]] = {
    ActionLogRow: {
        "payload": ActionLogRow.request_payload,
        "response": ActionLogRow.response_data,
        "metadata": ActionLogRow.metadata_,
    },
    AuditLogRow: {"changes": AuditLogRow.changes, "metadata": AuditLogRow.metadata_},
}
_SCALARS = ("string", "number", "boolean")


def content_matches(row: LogRow, filters: Filters) -> ColumnElement[bool]:
    """The condition of q and of all paths; it must be by_content."""
    conditions = [_at_path(row, wanted) for wanted in filters.paths]
    if filters.q is not None:
        conditions.append(_says(row, filters.q))
    # Null is not a match: what comes of a text that is not there must not be unknown.
    return func.coalesce(and_(*conditions), False)


def _says(row: LogRow, wanted: str) -> ColumnElement[bool]:
    conditions = [text.icontains(wanted, autoescape=True) for text in _TEXTS[row]]
    conditions += [_has_value(payload, wanted) for payload in _PAYLOADS[row]]
    record_id = read_uuid(wanted)
    if record_id is not None:
        conditions.append(row.id == record_id)
    return or_(*conditions)


def _has_value(payload: Any, wanted: str) -> ColumnElement[bool]:
    """Whether a string or number in the JSON, at any depth, holds the text; keys do not count.

    The text of the whole is looked at first, which is three times as fast and rules out most.
    """
    quoted = json.dumps(wanted, ensure_ascii=False)[1:-1]
    found = func.jsonb_path_query(payload, "strict $.**").table_valued("value").render_derived()
    exact = select(literal(1)).where(
        func.jsonb_typeof(found.c.value).in_(("string", "number")),
        _text_at(found.c.value, ()).icontains(wanted, autoescape=True),
    )
    return and_(cast(payload, Text).icontains(quoted, autoescape=True), exact.exists())


def _at_path(row: LogRow, wanted: PathFilter) -> ColumnElement[bool]:
    root = _ROOTS[row][wanted.root]
    place = root.op("#>")(cast(list(wanted.keys), ARRAY(Text)))
    text = _text_at(root, wanted.keys)
    return and_(text == wanted.value, func.jsonb_typeof(place).in_(_SCALARS))


def _text_at(value: Any, keys: tuple[str, ...]) -> ColumnElement[str]:
    text: ColumnElement[str] = value.op("#>>", return_type=Text())(cast(list(keys), ARRAY(Text)))
    return text
