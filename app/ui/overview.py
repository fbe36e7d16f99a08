"""The overview: what happened in a period, and where it went wrong."""

from collections import defaultdict
from typing import Any

import flask

from ..domain.records import FAILED_STATUSES
from .charts import bars, latency, marks, spark, totals
from .client import ask
from .pages import Page, page, pages_named, render
from .period import LENGTHS, Period, read_period
from .wording import moment_of

blueprint = pages_named("overview")

PROVIDERS_SHOWN = 8
TYPES_SHOWN = 8
FAILURES_SHOWN = 8
FAILED = [("status", status.value) for status in FAILED_STATUSES]
SPLIT_FIELDS = {"provider": "provider_name", "type": "action_type"}
SPLIT_SHOWN = 5
ALERTS_SHOWN = 100


@blueprint.get("/")
@page()
def show_overview() -> Page:
    """Totals and charts at once; what takes longer follows in parts."""
    period = read_period(flask.request.args)
    now = ask("/logs/stats", period.window).body
    before = ask("/logs/stats", period.before).body
    bucket, number = period.step
    volume = ask("/logs/analytics/timeseries", [*period.window, ("bucket", bucket)]).body
    slow = volume
    if period.latency_bucket != bucket:
        asked = [*period.window, ("bucket", period.latency_bucket)]
        slow = ask("/logs/analytics/timeseries", asked).body
    alerts = _alerts(period)
    return render(
        "overview.html",
        here="overview",
        period=period,
        periods=LENGTHS,
        firing=[one for one in alerts if one["state"] == "firing"],
        now=now,
        before=before,
        rates=_rates(now, before, period),
        volume={**bars(volume, number, period), "marks": marks(alerts, period)},
        latency=latency(slow),
        failed=FAILED,
        types=_ranked(now["actions_by_type"], TYPES_SHOWN),
        empty=now["total_actions"] == 0 and _nothing_ever(),
    )


@blueprint.get("/overview/providers")
@page()
def show_providers() -> Page:
    """How each provider does: calls, errors, percentiles of its successes, and its course."""
    period = read_period(flask.request.args)
    totals = ask("/logs/stats", period.window).body["actions_by_provider"]
    successes = {
        one["provider_name"]: one
        for one in ask("/logs/analytics/latency-by-provider", period.window).body
    }
    shown = []
    for name, count in _ranked(totals, PROVIDERS_SHOWN):
        asked = [*period.window, ("provider_name", name), ("bucket", period.latency_bucket)]
        series = ask("/logs/analytics/timeseries", asked).body
        errors = sum(point["errors"] for point in series)
        shown.append(
            {
                "name": name,
                "count": count,
                "errors": errors,
                "rate": errors / count if count else 0.0,
                "percentiles": successes.get(name, {}).get("percentiles_ms", {}),
                "spark": spark(series),
            }
        )
    more = max(0, len(totals) - PROVIDERS_SHOWN)
    return render("overview_providers.html", period=period, providers=shown, more=more)


@blueprint.get("/overview/failures")
@page()
def show_failures() -> Page:
    """The newest failures and timeouts of the period."""
    period = read_period(flask.request.args)
    asked = [*period.window, ("limit", str(FAILURES_SHOWN))]
    rows = ask("/logs/analytics/failures", asked).body
    return render("overview_failures.html", period=period, rows=rows)


@blueprint.get("/overview/split")
@page()
def show_split() -> Page:
    """The volume by provider or by type: the largest few, and the others together."""
    period = read_period(flask.request.args)
    by = flask.request.args.get("by", "provider")
    field = SPLIT_FIELDS.get(by, SPLIT_FIELDS["provider"])
    bucket, number = period.step
    asked = [*period.window, ("bucket", bucket)]
    totals = ask("/logs/stats", period.window).body
    counts = totals["actions_by_provider" if field == "provider_name" else "actions_by_type"]
    series = {
        name: ask("/logs/analytics/timeseries", [*asked, (field, name)]).body
        for name, _ in _ranked(counts, SPLIT_SHOWN)
    }
    return render(
        "overview_split.html", period=period, by=by, split=_split(series, number, period, field)
    )


def _split(
    series: dict[str, list[dict[str, Any]]], number: int, period: Period, field: str
) -> dict[str, Any]:
    made = {name: bars(points, number, period) for name, points in series.items()}
    first = next(iter(made.values()), {"starts": [], "step_s": period.step_seconds})
    return {
        "starts": first["starts"],
        "step_s": first["step_s"],
        "field": field,
        "series": [{"name": name, "counts": totals(chart)} for name, chart in made.items()],
    }


def _alerts(period: Period) -> list[dict[str, Any]]:
    """The newest alerts of a period, and those that fire still."""
    newest = ask("/alerts", [("limit", str(ALERTS_SHOWN))]).body
    since, until = period.since, period.end
    return [
        one
        for one in newest
        if one["fired_at"]
        and (one["state"] == "firing" or since <= moment_of(one["fired_at"]) <= until)
    ]


def _ranked(counts: dict[str, int], number: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def _rates(now: dict[str, Any], before: dict[str, Any], period: Period) -> dict[str, Any]:
    """What is derived from the totals, and how it compares with the period before."""
    minutes = period.length.total_seconds() / 60
    found: dict[str, Any] = defaultdict(lambda: None)
    for name, statistics in (("now", now), ("before", before)):
        total = statistics["total_actions"]
        found[name] = {
            "total": total,
            "error": statistics["failed_actions"] / total if total else 0.0,
            "per_minute": total / minutes,
            **statistics["percentiles_ms"],
        }
    found["change"] = {
        key: found["now"][key] / found["before"][key] - 1
        for key in found["now"]
        if found["now"][key] is not None and found["before"][key]
    }
    return found


def _nothing_ever() -> bool:
    """Whether the tenant has no record at all, and needs to be told how to make one."""
    return not ask("/logs/actions", [("limit", "1")]).body
