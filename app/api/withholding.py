"""What a key without logs:read:payloads is shown of a log: all but what is free-form.

Each withheld value is replaced by a mark that names the scope, so that it is never taken for what
the record says, nor for nothing.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar, cast

from ..auth import has_scope
from ..domain.access import Scope
from ..domain.filters import Filters
from ..errors import Forbidden
from ..store.listing import ListedRow

FREE_FORM = frozenset({"request_payload", "response_data", "changes", "metadata"})
MARK = {"withheld": Scope.LOGS_READ_PAYLOADS.value}

Log = TypeVar("Log")


def shown(log: Log) -> Log:
    """A log as the key of this request may see it."""
    return log if has_scope(Scope.LOGS_READ_PAYLOADS) else _withheld(log)


def all_shown(logs: Sequence[Log]) -> Sequence[Log]:
    """Logs as the key of this request may see them."""
    return logs if has_scope(Scope.LOGS_READ_PAYLOADS) else [_withheld(log) for log in logs]


def refuse_search(filters: Filters) -> None:
    """Refuse to look into what would be withheld: a search tells a payload guess by guess.

    Raises:
        Forbidden: names the scope.
    """
    if filters.by_content and not has_scope(Scope.LOGS_READ_PAYLOADS):
        raise Forbidden(
            f"This API key lacks the scope {Scope.LOGS_READ_PAYLOADS}, which q and filters by path"
            " need, since they look into payloads"
        )


def _withheld(log: Log) -> Log:
    if isinstance(log, ListedRow):
        return cast("Log", ListedRow({**log, **dict.fromkeys(FREE_FORM & log.keys(), MARK)}))
    kind: Any = type(log)
    return cast("Log", replace(cast("Any", log), **dict.fromkeys(_free_form(kind), MARK)))


@cache
def _free_form(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name in FREE_FORM)
