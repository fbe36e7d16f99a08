"""Trends and anomalies: where a tenant's figures are going, and which hours were not as usual."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import marshmallow as ma

from ..auth import requires
from ..domain.access import Scope
from ..domain.grains import Grain, floor, from_ms, to_ms
from ..domain.measures import NOISE, Measure, explained, measured
from ..domain.records import Kind
from ..domain.series import HISTORY_HOURS, find_unusual, trend_of
from ..store.rollups import RollupReader
from .alert_schemas import choice
from .fields import Timestamp, whole_number
from .parsing import Blueprint
from .service import reading

READING = "figures are read as logs are"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000

blueprint = Blueprint("forecasts", __name__, description="What is to be expected.")


class TrendQuery(ma.Schema):
    """Of what, from how many days, for how many days."""

    measure = choice(Measure, load_default=Measure.VOLUME.value)
    days = whole_number(7, 365, load_default=28)
    ahead = whole_number(1, 90, load_default=7)


class DayForecastSchema(ma.Schema):
    """A day to come, and the band in which 95 of 100 such days would lie."""

    start = Timestamp(required=True)
    expected = ma.fields.Float(required=True)
    low = ma.fields.Float(required=True)
    high = ma.fields.Float(required=True)


class DaySchema(ma.Schema):
    """A day that is over."""

    start = Timestamp(required=True)
    value = ma.fields.Float(required=True)


class TrendSchema(ma.Schema):
    """Where a figure is going."""

    measure = choice(Measure, required=True)
    slope_per_day = ma.fields.Float(required=True)
    days = ma.fields.List(ma.fields.Nested(DaySchema), required=True)
    forecast = ma.fields.List(ma.fields.Nested(DayForecastSchema), required=True)


class AnomalyQuery(ma.Schema):
    """Of what, and how far back."""

    measure = choice(Measure, load_default=Measure.FAILURES.value)
    hours = whole_number(1, 24 * 31, load_default=24 * 7)


class AnomalySchema(ma.Schema):
    """An hour that was not as usual, or beyond all weeks before."""

    start = Timestamp(required=True)
    value = ma.fields.Float(required=True)
    expected = ma.fields.Float(required=True)
    score = ma.fields.Float(
        required=True, metadata={"description": "Spreads above, or below, what was expected."}
    )
    says = ma.fields.String(required=True)


class AnomaliesSchema(ma.Schema):
    """What was not as usual."""

    measure = choice(Measure, required=True)
    hours = ma.fields.Integer(required=True)
    anomalies = ma.fields.List(ma.fields.Nested(AnomalySchema), required=True)


@blueprint.route("/logs/analytics/trends")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(TrendQuery, location="query")
@blueprint.response(200, TrendSchema)
def get_trend(query: dict[str, Any]) -> dict[str, Any]:
    """Get where a figure is going by the day, and what the next days are to be expected to be."""
    measure = Measure(query["measure"])
    end = floor(Grain.DAY, to_ms(datetime.now(UTC)))
    start = end - query["days"] * DAY_MS
    with reading(snapshot=True) as (session, tenant_id):
        reader = RollupReader(session, tenant_id, _kind(measure))
        tally = reader.tally(start, end, coarsest=Grain.DAY)
        values = measured(measure, tally, reader.names, Grain.DAY, start, end)
    known = [
        (from_ms(start + place * DAY_MS), value)
        for place, value in enumerate(values.tolist())
        if value == value  # noqa: PLR0124 - NaN: a day without records has no rate
    ]
    trend = trend_of([value for _, value in known], query["ahead"])
    return {
        "measure": measure.value,
        "slope_per_day": trend.slope,
        "days": [{"start": at, "value": round(value, 4)} for at, value in known],
        "forecast": [
            {"start": from_ms(end) + timedelta(days=day), "expected": expected}
            | {"low": low, "high": high}
            for day, (expected, low, high) in enumerate(trend.forecast)
        ],
    }


@blueprint.route("/logs/analytics/anomalies")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(AnomalyQuery, location="query")
@blueprint.response(200, AnomaliesSchema)
def list_anomalies(query: dict[str, Any]) -> dict[str, Any]:
    """List the hours whose figure was not as usual for their hour of the week, newest first."""
    measure = Measure(query["measure"])
    end = floor(Grain.HOUR, to_ms(datetime.now(UTC)))
    first = end - query["hours"] * HOUR_MS
    start = first - HISTORY_HOURS * HOUR_MS
    with reading(snapshot=True) as (session, tenant_id):
        reader = RollupReader(session, tenant_id, _kind(measure))
        tally = reader.tally(start, end, coarsest=Grain.HOUR)
        values = measured(measure, tally, reader.names, Grain.HOUR, start, end)
        _forget_before(values)
        found = find_unusual(values.tolist(), HISTORY_HOURS, NOISE[measure])
        shown = [explained(measure, one, tally, reader.names, start) for one in found]
    anomalies = [asdict(one) for one in reversed(shown)]
    return {"measure": measure.value, "hours": query["hours"], "anomalies": anomalies}


def _forget_before(values: Any) -> None:
    """Make unknown what lies before the first record: there was nothing to be usual."""
    known = (values > 0).nonzero()[0]
    values[: known[0] if len(known) else len(values)] = float("nan")


def _kind(measure: Measure) -> Kind:
    return Kind.AUDIT if measure is Measure.AUDITS else Kind.ACTION
