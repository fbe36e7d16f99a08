"""Alerts: what fires and fired, each with its life; somebody looks after it, or wants it quiet."""

from typing import Any

import flask

from ..domain.access import Scope
from ..domain.alert_rules import Figure
from .client import ask, tell
from .pages import Page, form, lead_to, page, pages_named, render
from .wording import write_count, write_ms, write_percent

blueprint = pages_named("alerts_pages")

OPEN = (("state", "firing"), ("state", "pending"))
OVER_SHOWN = 30
SILENCES = (("30", "30 min"), ("120", "2 h"), ("1440", "1 day"), ("10080", "1 week"))


@blueprint.get("/alerts")
@page()
def show_alerts() -> Page:
    """What is open, the rules, and what was."""
    rules = ask("/alerts/rules").body
    figures = {rule["id"]: rule["figure"] for rule in rules}
    over = [("state", "resolved"), ("limit", str(OVER_SHOWN))]
    return render(
        "alerts.html",
        here="alerts",
        open=written(ask("/alerts", OPEN).body, figures),
        over=written(ask("/alerts", over).body, figures),
        rules=[{**rule, "says": says(rule)} for rule in rules],
    )


@blueprint.get("/alerts/<alert_id>")
@page()
def show_alert(alert_id: str) -> Page:
    """One alert: each step of its life, and the records that caused it."""
    alert = ask(f"/alerts/{alert_id}").body
    rules = {rule["id"]: rule for rule in ask("/alerts/rules").body}
    rule = rules.get(alert["rule_id"], {"kind": "action", "figure": ""})
    written([alert], {alert["rule_id"]: rule["figure"]})
    for event in alert["events"]:
        event["written"] = write_figure(rule["figure"], event["value"])
    return render(
        "alert.html",
        here="alerts",
        alert=alert,
        rule_there=alert["rule_id"] in rules,
        log=f"{rule['kind']}s",
        silences=SILENCES,
    )


@blueprint.post("/alerts/<alert_id>/acknowledge")
@form(Scope.ALERTS_WRITE)
def acknowledge(alert_id: str) -> Page:
    """Somebody looks after it."""
    tell("POST", f"/alerts/{alert_id}/acknowledge")
    return lead_to(f"/alerts/{alert_id}", "acknowledged")


@blueprint.post("/alerts/<alert_id>/silence")
@form(Scope.ALERTS_WRITE)
def silence(alert_id: str) -> Page:
    """Nobody is told of it for a while."""
    minutes = flask.request.form.get("minutes", "")
    told = {"minutes": int(minutes) if minutes.isdecimal() else minutes}
    tell("POST", f"/alerts/{alert_id}/silence", told)
    return lead_to(f"/alerts/{alert_id}", "silenced")


def written(alerts: list[dict[str, Any]], figures: dict[str, str]) -> list[dict[str, Any]]:
    """Alerts with their value and threshold as people write them, by the figures of rules."""
    for alert in alerts:
        figure = figures.get(alert["rule_id"], "")
        alert["written"] = write_figure(figure, alert["value"])
        alert["bound"] = write_figure(figure, alert["threshold"])
    return alerts


def says(rule: dict[str, Any]) -> str:
    """A rule in a line: error rate of actions > 5 % in 60 min."""
    bound = write_figure(rule["figure"], rule["threshold"])
    named = "; ".join(f"{name} {', '.join(values)}" for name, values in rule["filters"].items())
    each = f" for each {rule['group_by']}" if rule["group_by"] else ""
    where = f" ({named})" if named else ""
    said = f"{rule['figure']} of {rule['kind']}s{where} {rule['comparison']} {bound}"
    return f"{said} in {rule['window_s'] // 60} min{each}".replace("_", " ")


def write_figure(figure: str, value: float | None) -> str:
    """A value of a figure in its unit."""
    if value is not None and figure == Figure.ERROR_RATE:
        return write_percent(value)
    return write_ms(value) if figure == Figure.AVERAGE_MS else write_count(value)
