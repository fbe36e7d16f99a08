"""The summary of a batch: what its records add up to, by minute and cell.

Statistics are made of summaries, so a summary is made of exactly the records that were inserted.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from .codec import Head
from .records import Kind

# Buckets grow by 5 %, so that any value of one is within 2.5 % of its middle.
BUCKET_GROWTH = 1.05
_LOG_GROWTH = math.log(BUCKET_GROWTH)
MINUTE_CHARS = 16  # of a created_at: 2026-11-23 08:38


@lru_cache(maxsize=65_536)
def bucket_of(execution_time_ms: str) -> str:
    """The histogram bucket of a duration: 0 for 0 ms, then one for every 5 %."""
    milliseconds = int(execution_time_ms)
    return str(1 + round(math.log(milliseconds) / _LOG_GROWTH)) if milliseconds else "0"


def summarize(kind: Kind, heads: Iterable[Head]) -> dict[str, Any]:
    """The summary of records of one kind, ready to be stored as JSON.

    Actions: for each minute, action type, provider and status the count, the sum of
    execution_time_ms and its histogram {bucket: count}. Audits: for each minute, action and
    resource type the count.
    """
    if kind is Kind.AUDIT:
        return {"cells": _count(heads)}
    cells: dict[tuple[str, str, str, str], list[Any]] = {}
    for head in heads:
        key = (head.created_at[:MINUTE_CHARS], head.type, head.group, head.status)
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = [0, 0, {}]
        cell[0] += 1
        cell[1] += int(head.execution_time_ms)
        bucket = bucket_of(head.execution_time_ms)
        cell[2][bucket] = cell[2].get(bucket, 0) + 1
    return {"cells": [[*key, *cell] for key, cell in sorted(cells.items())]}


def _count(heads: Iterable[Head]) -> list[list[Any]]:
    counts: dict[tuple[str, str, str], int] = {}
    for head in heads:
        key = (head.created_at[:MINUTE_CHARS], head.type, head.group)
        counts[key] = counts.get(key, 0) + 1
    return [[*key, count] for key, count in sorted(counts.items())]
