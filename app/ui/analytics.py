"""Analytics: the queries of a period side by side, where figures go, and what was not as usual."""

import flask

from ..domain.measures import Measure
from .charts import trend
from .client import ask
from .pages import Page, page, pages_named, render
from .period import LENGTHS, read_period

blueprint = pages_named("analytics_pages")

SLOWEST_SHOWN = 20
ACTIVITY_SHOWN = 50
ANOMALIES_SHOWN = 5  # their room is kept while they are looked up
MEASURES = tuple(measure.value for measure in Measure)
# The list that shows the records of a measure's hour, and by which filters.
LINKS = {
    Measure.VOLUME.value: "/actions?",
    Measure.FAILURES.value: "/actions?status=failure&status=timeout&",
    Measure.ERROR_RATE.value: "/actions?status=failure&status=timeout&",
    Measure.AVERAGE_MS.value: "/actions?",
    Measure.AUDITS.value: "/audits?",
}


@blueprint.get("/analytics")
@page()
def show_analytics() -> Page:
    """The analytics queries of a period, side by side."""
    period = read_period(flask.request.args)
    window = period.window
    return render(
        "analytics.html",
        here="analytics",
        period=period,
        periods=LENGTHS,
        measures=MEASURES,
        types=ask("/logs/analytics/actions-by-type", window).body,
        providers=ask("/logs/analytics/latency-by-provider", window).body,
        slowest=ask("/logs/analytics/slowest", [*window, ("limit", str(SLOWEST_SHOWN))]).body,
        activity=ask(
            "/logs/analytics/user-activity", [*window, ("limit", str(ACTIVITY_SHOWN))]
        ).body,
    )


@blueprint.get("/analytics/expected")
@page()
def show_expected() -> Page:
    """A measure by the day, what is to be expected of it, and its hours that were not as usual."""
    measure = flask.request.args.get("measure", MEASURES[0])
    asked = [("measure", measure)]
    return render(
        "analytics_expected.html",
        measure=measure,
        trend=trend(ask("/logs/analytics/trends", asked).body),
        anomalies=ask("/logs/analytics/anomalies", asked).body["anomalies"][:ANOMALIES_SHOWN],
        tied=LINKS[measure],
    )
