"""Places of the dashboard: analytics, and those that say by which command things are done."""

import flask

from ..domain.access import Scope
from .client import ask
from .pages import Page, page, pages_named, render
from .period import LENGTHS, read_period

blueprint = pages_named("places")

SLOWEST_SHOWN = 20
ACTIVITY_SHOWN = 50


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
        types=ask("/logs/analytics/actions-by-type", window).body,
        providers=ask("/logs/analytics/latency-by-provider", window).body,
        slowest=ask("/logs/analytics/slowest", [*window, ("limit", str(SLOWEST_SHOWN))]).body,
        activity=ask(
            "/logs/analytics/user-activity", [*window, ("limit", str(ACTIVITY_SHOWN))]
        ).body,
    )


@blueprint.get("/alerts")
@page()
def show_alerts() -> Page:
    """Where rules and alerts are going to be."""
    return render("alerts.html", here="alerts")


@blueprint.get("/exports")
@page()
def show_exports() -> Page:
    """How to take records out of here."""
    return render("exports.html", here="exports")


@blueprint.get("/storage")
@page()
def show_storage() -> Page:
    """Where records are kept, and for how long."""
    return render("storage.html", here="storage")


@blueprint.get("/keys")
@page(Scope.ADMIN)
def show_keys() -> Page:
    """How keys are made, rotated and revoked."""
    return render("keys.html", here="keys")
