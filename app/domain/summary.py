"""The summary of a batch: what its records add up to, by minute and cell.

Statistics are made of summaries, so a summary is made of exactly the records that were inserted.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import Any

from .codec import NULL, Head, unescape
from .histogram import bucket_of
from .records import ActionStatus, Kind

DAY_CHARS = 10  # of a created_at: 2026-11-23
MINUTE_CHARS = 16  # of a created_at: 2026-11-23 08:38
SLOWEST_ROWS_MAX = 20  # what the API shows at most; a window's are among those of its parts
CANDIDATES_MAX = 60  # so many are sorted at a time to find them; few are met that are slower

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
    slowest: list[tuple[int, str, tuple[str, str, str, str]]] = []
    candidates = slowest.copy()
    present, least_ms = "", 0
    for _, _, created_at, id_, action_type, provider_name, status, duration, _ in heads:
        minute = created_at[:MINUTE_CHARS]
        key = (minute, action_type, provider_name, status)
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = [0, 0, {}, created_at, created_at]
        milliseconds = int(duration)
        cell[0] += 1
        cell[1] += milliseconds
        bucket = bucket_of(duration)
        cell[2][bucket] = cell[2].get(bucket, 0) + 1
        cell[4] = created_at
        if minute != present:
            slowest += sorted(candidates, reverse=True)[:SLOWEST_ROWS_MAX]
            candidates, present, least_ms = [], minute, 0
        if milliseconds >= least_ms and status == _SUCCESS:
            candidates.append((milliseconds, id_, key))
            if len(candidates) == CANDIDATES_MAX:
                candidates = sorted(candidates, reverse=True)[:SLOWEST_ROWS_MAX]
                least_ms = candidates[-1][0]
    slowest += sorted(candidates, reverse=True)[:SLOWEST_ROWS_MAX]
    ordered = sorted(cells)
    places = {key: place for place, key in enumerate(ordered)}
    return {
        "cells": _plain([[*key, *_within_minute(cells[key])] for key in ordered], 4),
        "slowest": [[ms, id_, places[key]] for ms, id_, key in slowest],
    }


def _count(heads: Iterable[Head]) -> dict[str, Any]:
    cells: dict[tuple[str, str, str], list[Any]] = {}
    users_of: dict[tuple[str, str, str], dict[str, int]] = {}
    for _, _, created_at, _, action, resource_type, _, user_id, _ in heads:
        key = (created_at[:MINUTE_CHARS], action, resource_type)
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = [0, created_at, created_at]
            users_of[key] = {}
        cell[0] += 1
        cell[2] = created_at
        users = users_of[key]
        users[user_id] = users.get(user_id, 0) + 1
    return {
        "cells": _plain([[*key, *_within_minute(cells[key])] for key in sorted(cells)], 3),
        "users": _by_day(users_of),
    }


def _by_day(users_of: dict[tuple[str, str, str], dict[str, int]]) -> list[list[Any]]:
    counts: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for (minute, action, resource_type), users in users_of.items():
        for user_id, count in users.items():
            counts[minute[:DAY_CHARS], user_id, action, resource_type] += count
    return _plain([[*key, count] for key, count in sorted(counts.items())], 4)


def _plain(rows: list[list[Any]], width: int) -> list[list[Any]]:
    """Rows with their first names as they are read back; heads have them as a line does."""
    if "\\" in "".join(chain.from_iterable(row[:width] for row in rows)):
        for row in rows:
            row[:width] = [None if name == NULL else unescape(name) for name in row[:width]]
    return rows


def _within_minute(cell: list[Any]) -> list[Any]:
    *sums, first, last = cell
    return [*sums, _milliseconds(first), _milliseconds(last)]


def _milliseconds(created_at: str) -> int:
    return int(created_at[17:19]) * 1000 + int(created_at[20:23])
