"""Rows as the API lists them: JSON already, as objects in between would cost more than the query.

What they hold is what the schemas of the lists say; a test compares the two.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson

from ..domain.codec import JSON_COLUMNS

# As format_time() writes it.
TIME = """to_char(l.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


class ListedRow(dict[str, Any]):
    """A row of a list by the names of the contract: ids and times are text, JSON is as stored."""

    @property
    def id(self) -> UUID:
        """The record's id."""
        return UUID(self["id"])


class Listing:
    """How the rows of a log are listed.

    Args:
        names: the fields, in the contract's order.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self._json = JSON_COLUMNS.intersection(names)
        self._read = [name for name in names if name != "tenant_id"]
        self.columns = ", ".join(map(_shown, self._read))

    def rows(self, tenant_id: UUID, found: Iterable[Sequence[Any]]) -> list[ListedRow]:
        """What the columns of a tenant's rows make."""
        blank = dict.fromkeys(self._names)
        blank["tenant_id"] = str(tenant_id)  # the same in all, so not read with each
        listed = []
        for values in found:
            row = ListedRow(blank)
            row.update(zip(self._read, values, strict=True))
            for name in self._json:
                row[name] = orjson.Fragment(row[name] or b"{}")
            listed.append(row)
        return listed


def _shown(name: str) -> str:
    """A column as it is read, over the log's alias l."""
    if name == "created_at":
        return TIME
    return f"l.{name}::text" if name == "id" or name in JSON_COLUMNS else f"l.{name}"


ACTIONS = Listing(
    *("id", "tenant_id", "action_type", "provider_name", "status", "error_message"),
    *("execution_time_ms", "created_at"),
)
AUDITS = Listing(
    *("id", "tenant_id", "action", "resource_type", "resource_id", "user_id", "changes"),
    *("ip_address", "created_at"),
)
