"""What Postgres does for a request: the plans of its statements, as they are run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from app.store.session import Database
from tests.support.world import Inhabitant

LEAF = re.compile(r"(?:action|audit)_logs_\d+w\d\d")
EXPLAIN = "EXPLAIN (ANALYZE, FORMAT JSON) "


@dataclass(frozen=True)
class Plan:
    """One statement's plan, with what really happened."""

    statement: str
    planning_ms: float
    nodes: list[dict[str, Any]]

    @property
    def planned(self) -> set[str]:
        """The partitions that the plan has."""
        return {node["Relation Name"] for node in self._on_logs()}

    @property
    def touched(self) -> set[str]:
        """The partitions that were really looked into."""
        return {node["Relation Name"] for node in self._on_logs() if node["Actual Loops"]}

    @property
    def passed(self) -> dict[str, int]:
        """The partitions that were read from one end to the other, and how many rows that was."""
        return {
            node["Relation Name"]: _visited(node)
            for node in self._on_logs()
            if node["Node Type"] == "Seq Scan"
        }

    @property
    def visited(self) -> int:
        """How many rows of partitions were looked at."""
        return sum(map(_visited, self._on_logs()))

    def _on_logs(self) -> Iterator[dict[str, Any]]:
        return (node for node in self.nodes if LEAF.fullmatch(node.get("Relation Name", "")))


def plans_of(who: Inhabitant, path: str, database: Database) -> list[Plan]:
    """The plans of all statements on the logs that a request of this path makes.

    Args:
        database: the one that the app asks.
    """
    with _recorded(database) as statements:
        response = who.get(path)
    assert response.status_code == 200, response.get_data(as_text=True)[:2000]
    plans = []
    with database.tenant(who.tenant_id) as session:
        for statement, values in statements:
            found = session.connection().exec_driver_sql(EXPLAIN + statement, values).scalar_one()
            plans.append(Plan(statement, found[0]["Planning Time"], list(_nodes(found[0]["Plan"]))))
    return plans


@contextmanager
def _recorded(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements on the logs that are sent meanwhile, with their values."""
    sent: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        if re.search(r"FROM (action|audit)_logs", statement):
            sent.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def _visited(node: dict[str, Any]) -> int:
    each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return round(each * node["Actual Loops"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)
