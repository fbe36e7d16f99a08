"""Rows as the API lists them: JSON already, as objects in between would cost more than the query.

What they hold is what the schemas of the lists say; a test compares the two.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson

from ..domain.codec import JSON_COLUMNS

AS_TEXT = JSON_COLUMNS | {"id", "tenant_id"}  # the driver would make objects of them
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
        self.names = names
        self._json = JSON_COLUMNS.intersection(names)
        self.columns = ", ".join(map(_shown, names))

    def rows(self, found: Iterable[Sequence[Any]]) -> list[ListedRow]:
        """What the values of the columns make."""
        listed = [ListedRow(zip(self.names, values, strict=True)) for values in found]
        for row in listed if self._json else ():
            for name in self._json:
                row[name] = orjson.Fragment(row[name] or b"{}")
        return listed


def _shown(name: str) -> str:
    """A column as it is read, over the log's alias l."""
    if name == "created_at":
        return TIME
    return f"l.{name}::text" if name in AS_TEXT else f"l.{name}"


ACTIONS = Listing(
    *("id", "tenant_id", "action_type", "provider_name", "status", "error_message"),
    *("execution_time_ms", "created_at"),
)
AUDITS = Listing(
    *("id", "tenant_id", "action", "resource_type", "resource_id", "user_id", "changes"),
    *("ip_address", "created_at"),
)
