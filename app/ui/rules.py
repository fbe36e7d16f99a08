"""Alert rules as forms: made, changed, tried on the past, deleted; and channels, who are told."""

from collections.abc import Mapping
from typing import Any

import flask
from werkzeug.datastructures import MultiDict

from ..channels import KINDS
from ..domain.access import Scope
from ..domain.alert_rules import CELL_NAMES, Comparison, Figure, Severity
from ..domain.records import Kind
from .alerts import says, write_figure
from .client import ApiProblem, ask, tell
from .pages import Page, form, form_again, lead_to, page, pages_named, render

blueprint = pages_named("rules_pages")

MINUTES = ("window_s", "for_s", "renotify_s")  # in the form; seconds in the API
FILTERS = tuple(dict.fromkeys(name for names in CELL_NAMES.values() for name in names))
DAYS_TRIED = 7
USUAL = {"kind": "action", "figure": "failures", "comparison": ">", "severity": "warning"}
USUAL_NUMBERS = {"threshold": "10", "window_s": "5", "min_count": "0", "for_s": "0"}


@blueprint.get("/alerts/rules/new")
@page(Scope.ALERTS_WRITE)
def show_new_rule() -> Page:
    """An empty rule."""
    usual = {**USUAL, **USUAL_NUMBERS, "renotify_s": "0", "enabled": "on"}
    return _show("", MultiDict(usual))


@blueprint.get("/alerts/rules/<rule_id>")
@page()
def show_rule(rule_id: str) -> Page:
    """A rule as it is."""
    return _show(rule_id, _fields_of(ask(f"/alerts/rules/{rule_id}").body))


@blueprint.post("/alerts/rules/new")
@form(Scope.ALERTS_WRITE)
def make_rule() -> Page:
    """Make a rule, or try it."""
    return _send("", "POST", "/alerts/rules", "rule-made")


@blueprint.post("/alerts/rules/<rule_id>")
@form(Scope.ALERTS_WRITE)
def change_rule(rule_id: str) -> Page:
    """Change a rule, or try the changes."""
    return _send(rule_id, "PATCH", f"/alerts/rules/{rule_id}", "rule-changed")


@blueprint.post("/alerts/rules/<rule_id>/delete")
@form(Scope.ALERTS_WRITE)
def delete_rule(rule_id: str) -> Page:
    """Delete a rule, which ends its alerts."""
    tell("DELETE", f"/alerts/rules/{rule_id}")
    return lead_to("/alerts", "rule-deleted")


@blueprint.get("/alerts/channels")
@page()
def show_channels() -> Page:
    """Whom alerts are told to."""
    return _show_channels()


@blueprint.post("/alerts/channels")
@form(Scope.ALERTS_WRITE)
def make_channel() -> Page:
    """Make a channel; the secret of a webhook is shown this once."""
    sent = {name: flask.request.form.get(name, "").strip() for name in ("name", "kind", "target")}
    try:
        made = tell("POST", "/alerts/channels", sent).body
    except ApiProblem as problem:
        return form_again(problem, _show_channels(sent=sent, problem=problem))
    if made["secret"]:
        return _show_channels(made=made)
    return lead_to("/alerts/channels", "channel-made")


@blueprint.post("/alerts/channels/<channel_id>/<any(test, delete):act>")
@form(Scope.ALERTS_WRITE)
def act_on_channel(channel_id: str, act: str) -> Page:
    """Send a test message, or delete a channel."""
    if act == "test":
        tell("POST", f"/alerts/channels/{channel_id}/test")
        return lead_to("/alerts/channels", "channel-tested")
    tell("DELETE", f"/alerts/channels/{channel_id}")
    return lead_to("/alerts/channels", "channel-deleted")


def _send(rule_id: str, method: str, path: str, done: str) -> Page:
    sent = flask.request.form
    try:
        if sent.get("act") == "try":
            tried = {**rule_of(sent), "days": DAYS_TRIED}
            del tried["enabled"]
            trial = tell("POST", "/alerts/try/rule", tried).body
            return _show(rule_id, sent, trial=trial, tried=says(rule_of(sent)))
        tell(method, path, rule_of(sent))
    except ApiProblem as problem:
        return form_again(problem, _show(rule_id, sent, problem=problem))
    return lead_to("/alerts", done)


def _show(rule_id: str, fields: MultiDict[str, str], **more: Any) -> flask.Response:
    figure = fields.get("figure", "")
    trial = more.get("trial")
    for firing in trial["firings"] if trial else ():
        firing["written"] = write_figure(figure, firing["worst"])
    return render(
        "rule.html",
        here="alerts",
        rule_id=rule_id,
        fields=fields,
        kinds=[kind.value for kind in Kind],
        figures=[one.value for one in Figure],
        comparisons=[one.value for one in Comparison],
        severities=[one.value for one in Severity],
        filters=FILTERS,
        channels=ask("/alerts/channels").body,
        chosen=fields.getlist("channels"),
        **more,
    )


def _show_channels(**more: Any) -> flask.Response:
    return render(
        "channels.html",
        here="alerts",
        channels=ask("/alerts/channels").body,
        deliveries=ask("/alerts/deliveries", [("limit", "20")]).body,
        kinds=KINDS,
        **more,
    )


def rule_of(sent: MultiDict[str, str]) -> dict[str, Any]:
    """The rule of a form as the API takes it; what is no number stays as it was written."""
    rule: dict[str, Any] = {
        name: sent.get(name, "").strip()
        for name in ("name", "kind", "figure", "comparison", "severity")
    }
    rule["threshold"] = _number(sent.get("threshold", ""), float)
    rule["min_count"] = _number(sent.get("min_count", "") or "0", int)
    for name in MINUTES:
        minutes = _number(sent.get(name, "") or "0", int)
        rule[name] = minutes * 60 if isinstance(minutes, int) else minutes
    values = {name: _parted(sent.get(name, "")) for name in FILTERS}
    rule["filters"] = {name: found for name, found in values.items() if found}
    rule["group_by"] = sent.get("group_by") or None
    rule["channels"] = sent.getlist("channels")
    rule["enabled"] = "enabled" in sent
    return rule


def _fields_of(rule: Mapping[str, Any]) -> MultiDict[str, str]:
    """A rule of the API as its form has it."""
    fields: MultiDict[str, str] = MultiDict()
    for name in ("name", "kind", "figure", "comparison", "severity", "min_count"):
        fields[name] = str(rule[name])
    fields["threshold"] = f"{rule['threshold']:g}"
    for name in MINUTES:
        fields[name] = str(rule[name] // 60)
    for name, values in rule["filters"].items():
        fields[name] = ", ".join(values)
    fields["group_by"] = rule["group_by"] or ""
    fields.setlist("channels", [str(one) for one in rule["channels"]])
    if rule["enabled"]:
        fields["enabled"] = "on"
    return fields


def _parted(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _number(text: str, kind: type[int] | type[float]) -> Any:
    try:
        return kind(text)
    except ValueError:
        return text
