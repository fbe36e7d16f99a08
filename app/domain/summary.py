"""The summary of a batch: what its records add up to, by minute and cell.

Statistics are made of summaries, so a summary is made of exactly the records that were inserted.
"""

from collections import defaultdict
from collections.abc import Iterable
from heapq import nlargest
from itertools import chain
from typing import Any

from .codec import NULL, Head, unescape
from .histogram import bucket_of
from .records import ActionStatus, Kind

DAY_CHARS = 10  # of a created_at: 2026-11-23
MINUTE_CHARS = 16  # of a created_at: 2026-11-23 08:38
SLOWEST_ROWS_MAX = 20  # what the API shows at most; a window's are among those of its parts

_SUCCESS = ActionStatus.SUCCESS.value


def summarize(kind: Kind, heads: Iterable[Head]) -> dict[str, Any]:
    """The summary of records of one kind, ready to be stored as JSON.

    Actions: `cells` has for each minute, action type, provider and status the count, the sum of
    execution_time_ms, its histogram {bucket: count}, and the first and last record's milliseconds
    within the minute; `slowest` has [execution_time_ms, id, index of its cell] of the slowest
    successes of each minute. Audits: `cells` has for each minute, action and resource type the
    count, first and last; `users` has for each day, user, action and resource type the count.

    Args:
        heads: in the order of their ids, as they are inserted.
    """
    return _count(heads) if kind is Kind.AUDIT else _measure(heads)


def _measure(heads: Iterable[Head]) -> dict[str, Any]:
    cells: dict[tuple[str, str, str, str], list[Any]] = {}
    successes: dict[str, list[tuple[int, str, tuple[str, str, str, str]]]] = defaultdict(list)
    for head in heads:
        created_at = head.created_at
        key = (created_at[:MINUTE_CHARS], head.type, head.group, head.status)
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = [0, 0, {}, created_at, created_at]
        milliseconds = int(head.execution_time_ms)
        cell[0] += 1
        cell[1] += milliseconds
        bucket = bucket_of(head.execution_time_ms)
        cell[2][bucket] = cell[2].get(bucket, 0) + 1
        cell[4] = created_at
        if head.status == _SUCCESS:
            successes[key[0]].append((milliseconds, head.id, key))
    ordered = sorted(cells)
    places = {key: place for place, key in enumerate(ordered)}
    slowest = chain.from_iterable(nlargest(SLOWEST_ROWS_MAX, some) for some in successes.values())
    return {
        "cells": [[*_plain(key), *_within_minute(cells[key])] for key in ordered],
        "slowest": [[ms, id_, places[key]] for ms, id_, key in slowest],
    }


def _count(heads: Iterable[Head]) -> dict[str, Any]:
    cells: dict[tuple[str, str, str], list[Any]] = {}
    users: dict[tuple[str, str, str, str], int] = {}
    for head in heads:
        created_at = head.created_at
        key = (created_at[:MINUTE_CHARS], head.type, head.group)
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = [0, created_at, created_at]
        cell[0] += 1
        cell[2] = created_at
        user = (created_at[:DAY_CHARS], head.user_id, head.type, head.group)
        users[user] = users.get(user, 0) + 1
    return {
        "cells": [[*_plain(key), *_within_minute(cell)] for key, cell in sorted(cells.items())],
        "users": [[*_plain(key), count] for key, count in sorted(users.items())],
    }


def _plain(names: tuple[str, ...]) -> list[str | None]:
    """Names as they are read back; a head has them as they stand in its line."""
    return [
        name if "\\" not in name else None if name == NULL else unescape(name) for name in names
    ]


def _within_minute(cell: list[Any]) -> list[Any]:
    *sums, first, last = cell
    return [*sums, _milliseconds(first), _milliseconds(last)]


def _milliseconds(created_at: str) -> int:
    return int(created_at[17:19]) * 1000 + int(created_at[20:23])
