"""Series of the API as what charts draw: plain columns, times in seconds since the epoch."""

from typing import Any

from .period import Period
from .wording import moment_of

SPARK_WIDTH, SPARK_HEIGHT, SPARK_BARS_MAX = 120.0, 24.0, 40
# From the bottom of a bar to its top: failures lie on the axis, where they can be compared.
STACK = ("failure", "timeout", "retry", "pending", "success")
PERCENTILES = ("p50", "p95", "p99")

Points = list[dict[str, Any]]


def bars(points: Points, number: int, period: Period) -> dict[str, Any]:
    """Counts by status for each bar of `number` buckets; every bar of the period is there."""
    step_s = period.step_seconds
    counts: dict[int, dict[str, int]] = {}
    for point in points:
        start = int(moment_of(point["start"]).timestamp())
        bar = counts.setdefault(start - start % step_s if number > 1 else start, {})
        for status, count in point["by_status"].items():
            bar[status] = bar.get(status, 0) + count
    starts = sorted(counts)
    return {
        "starts": starts,
        "step_s": step_s,
        "counts": {s: [counts[start].get(s, 0) for start in starts] for s in STACK},
    }


def marks(alerts: Points, period: Period) -> list[dict[str, Any]]:
    """Where in a period alerts fired, the oldest first, to be drawn over its bars."""
    fired = [
        {
            "at": int(moment_of(one["fired_at"]).timestamp()),
            "name": one["rule_name"],
            "severity": one["severity"],
        }
        for one in reversed(alerts)
    ]
    start, end = period.since.timestamp(), period.end.timestamp()
    return [mark for mark in fired if start <= mark["at"] <= end]


def trend(answer: dict[str, Any]) -> dict[str, Any]:
    """Days that were, and those to come with their band; the two meet at the last day that was."""
    days, coming = answer["days"], answer["forecast"]
    last = days[-1]["value"] if days else None
    nothing: list[float | None] = [None] * max(len(days) - 1, 0)
    joint = [last] if days else []
    return {
        "starts": [int(moment_of(day["start"]).timestamp()) for day in [*days, *coming]],
        "value": [*(day["value"] for day in days), *(None for _ in coming)],
        **{
            name: [*nothing, *joint, *(day[name] for day in coming)]
            for name in ("expected", "low", "high")
        },
        "measure": answer["measure"],
    }


def totals(chart: dict[str, Any]) -> list[int]:
    """How high each bar is."""
    return [sum(column) for column in zip(*chart["counts"].values(), strict=True)]


def latency(points: Points) -> dict[str, Any]:
    """The percentiles of each bucket, null where nothing ran."""
    return {
        "starts": [int(moment_of(point["start"]).timestamp()) for point in points],
        **{name: [point["percentiles_ms"][name] for point in points] for name in PERCENTILES},
    }


def spark(points: Points) -> list[dict[str, float]]:
    """Small bars of a course: where each stands, its height, and how much of it are errors."""
    per_bar = -(-len(points) // SPARK_BARS_MAX) or 1
    groups = [points[at : at + per_bar] for at in range(0, len(points), per_bar)]
    totals = [(sum(p["count"] for p in g), sum(p["errors"] for p in g)) for g in groups]
    highest = max((total for total, _ in totals), default=0) or 1
    width = SPARK_WIDTH / max(len(totals), 1)
    return [
        {
            "x": round(at * width, 2),
            "width": round(max(width - 1, 0.5), 2),
            "height": round(total / highest * SPARK_HEIGHT, 2),
            "errors": round(errors / highest * SPARK_HEIGHT, 2),
        }
        for at, (total, errors) in enumerate(totals)
    ]
