"""Statistics recomputed in Python from the very records, to hold the API's against."""

import math
from collections import Counter
from fractions import Fraction
from typing import Any

from app.domain.records import ActionRecord

FIELDS = [
    *("total_actions", "successful_actions", "failed_actions", "average_execution_time_ms"),
    *("actions_by_type", "actions_by_provider", "actions_by_status", "percentiles_ms"),
]


def percentile(sorted_ms: list[int], share: float) -> int | None:
    """The smallest time that at least this share of the records stays within."""
    if not sorted_ms:
        return None
    return sorted_ms[max(math.ceil(Fraction(str(share)) * len(sorted_ms)), 1) - 1]


def recomputed(records: list[ActionRecord]) -> dict[str, Any]:
    """The statistics of the records but for the average."""
    by_status = Counter(record.status.value for record in records)
    times = sorted(record.execution_time_ms for record in records)
    return {
        "total_actions": len(records),
        "successful_actions": by_status["success"],
        "failed_actions": by_status["failure"] + by_status["timeout"],
        "actions_by_type": dict(Counter(record.action_type for record in records)),
        "actions_by_provider": dict(Counter(record.provider_name for record in records)),
        "actions_by_status": {name: count for name, count in by_status.items() if count},
        "percentiles_ms": {
            f"p{round(share * 100)}": percentile(times, share) for share in (0.5, 0.95, 0.99)
        },
    }


def check(shown: dict[str, Any], records: list[ActionRecord]) -> None:
    """Hold what the API shows against the recomputation."""
    assert list(shown) == FIELDS
    average = shown.pop("average_execution_time_ms")
    expected = recomputed(records)
    check_percentiles(shown.pop("percentiles_ms"), expected.pop("percentiles_ms"))
    assert shown == expected
    total = sum(record.execution_time_ms for record in records)
    exact = Fraction(total, len(records)) if records else Fraction(0)
    assert abs(Fraction(str(average)) - exact) <= Fraction(5, 1000) + Fraction(1, 10**6)
    assert round(average, 2) == average


def check_percentiles(shown: dict[str, Any], exact: dict[str, int | None]) -> None:
    """They are read from a histogram whose buckets are 5 % wide."""
    assert list(shown) == list(exact)
    for name, value in exact.items():
        assert shown[name] is value is None or abs(shown[name] - value) <= 0.026 * value
