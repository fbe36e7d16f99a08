"""Whether the statistics that the API gives are those of the rows, counted by another way."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# The rows themselves, grouped by Postgres for the maintenance role; nothing here reads a summary.
CELLS = """
    SELECT action_type, provider_name, status, count(*), sum(execution_time_ms)
    FROM action_logs WHERE tenant_id = CAST(:tenant AS uuid) GROUP BY 1, 2, 3
"""
FAILED = ("failure", "timeout")
ROUNDING = Decimal("0.0051")  # the average has two decimals


@dataclass(frozen=True, slots=True)
class Cell:
    """How many rows have one action type, provider and status, and what their times add up to."""

    action_type: str
    provider_name: str
    status: str
    rows: int
    total_ms: int


def disagreements(told: dict[str, Any], cells: Iterable[Cell]) -> list[str]:
    """What an answer of /logs/stats says otherwise than the rows do; percentiles aside."""
    cells = list(cells)
    counted: dict[str, Any] = {
        "total_actions": sum(cell.rows for cell in cells),
        "successful_actions": sum(cell.rows for cell in cells if cell.status == "success"),
        "failed_actions": sum(cell.rows for cell in cells if cell.status in FAILED),
        "actions_by_type": _by("action_type", cells),
        "actions_by_provider": _by("provider_name", cells),
        "actions_by_status": _by("status", cells),
    }
    wrong = [
        f"{name}: told {told.get(name)}, counted {value}"
        for name, value in counted.items()
        if told.get(name) != value
    ]
    average = Decimal(sum(cell.total_ms for cell in cells)) / (counted["total_actions"] or 1)
    said = told.get("average_execution_time_ms")
    if said is None or abs(Decimal(str(said)) - average) > ROUNDING:
        wrong.append(f"average_execution_time_ms: told {said}, counted {average:.3f}")
    return wrong


def _by(name: str, cells: list[Cell]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for cell in cells:
        key = getattr(cell, name)
        counts[key] = counts.get(key, 0) + cell.rows
    return counts
