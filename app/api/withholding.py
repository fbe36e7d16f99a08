"""What a key without logs:read:payloads is shown of a log: all but what is free-form.

Each withheld value is replaced by a mark that names the scope, so that it is never taken for what
the record says, nor for nothing.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar, cast

from ..auth import has_scope, lacking
from ..domain.access import Scope
from ..domain.filters import Filters
from ..domain.logs import ActionLog, AuditLog
from ..store.listing import ListedRow
from .service import current_service

FREE_FORM = frozenset({"request_payload", "response_data", "changes", "metadata"})
MARK = {"withheld": Scope.LOGS_READ_PAYLOADS.value}

Log = TypeVar("Log")
Detail = TypeVar("Detail", ActionLog, AuditLog)


def shown(log: Detail) -> Detail:
    """A log as the key of this request may see it; that a person reads it is on record."""
    kind = "action_log" if isinstance(log, ActionLog) else "audit_log"
    current_service().readings.note(kind, str(log.id))
    return log if has_scope(Scope.LOGS_READ_PAYLOADS) else _withheld(log)


def all_shown(logs: Sequence[Log], *, operation_id: str | None = None) -> Sequence[Log]:
    """Logs as the key of this request may see them; that a person reads payloads is on record.

    Args:
        operation_id: of the operation that these are all of.
    """
    if logs and _shows_free_form(logs[0]):
        read = ("operation", operation_id) if operation_id else ("audit_logs", "list")
        current_service().readings.note(*read)
    return logs if has_scope(Scope.LOGS_READ_PAYLOADS) else [_withheld(log) for log in logs]


def refuse_search(filters: Filters) -> None:
    """Refuse to look into what would be withheld: a search tells a payload guess by guess.

    Raises:
        Forbidden: names the scope.
    """
    if filters.by_content and not has_scope(Scope.LOGS_READ_PAYLOADS):
        raise lacking(
            Scope.LOGS_READ_PAYLOADS,
            f"This API key lacks the scope {Scope.LOGS_READ_PAYLOADS}, which q and filters by path"
            " need, since they look into payloads",
        )


def _withheld(log: Log) -> Log:
    if isinstance(log, ListedRow):
        return cast("Log", ListedRow({**log, **dict.fromkeys(FREE_FORM & log.keys(), MARK)}))
    kind: Any = type(log)
    return cast("Log", replace(cast("Any", log), **dict.fromkeys(_free_form(kind), MARK)))


def _shows_free_form(log: Any) -> bool:
    if isinstance(log, ListedRow):
        return not FREE_FORM.isdisjoint(log)
    kind: Any = type(log)
    return bool(_free_form(kind))


@cache
def _free_form(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name in FREE_FORM)
