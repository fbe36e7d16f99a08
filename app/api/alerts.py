"""The alert endpoints: what fires, and by which rules."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ..auth import current_principal, requires
from ..capture import AuditService
from ..domain.access import Scope
from ..domain.alert_history import replay
from ..domain.alert_life import Alert, Event
from ..domain.alert_rules import RULES_MAX, Comparison, Figure, Rule, Severity, check_rule
from ..domain.grains import MINUTE_MS, Grain, to_ms
from ..domain.records import Kind
from ..errors import Conflict, FieldError, InvalidInput, NotFound
from ..store import alert_rules, alerts
from ..store.rollups import RollupReader
from .alert_schemas import (
    AlertDetailSchema,
    AlertSchema,
    AlertsQuery,
    NewRule,
    RuleChanges,
    RuleSchema,
    RuleTrial,
    Silence,
    TrialSchema,
)
from .declared import path_uuid_parameter
from .identifiers import path_uuid
from .paging import next_link
from .parsing import Blueprint
from .service import current_service, current_tenant, reading

READING = "alerts and their rules are read as logs are"
FIRINGS_SHOWN = 200
_TYPES: dict[str, Any] = {
    "kind": Kind,
    "figure": Figure,
    "comparison": Comparison,
    "severity": Severity,
}

OF_ALERT = [path_uuid_parameter("alert_id")]
OF_RULE = [path_uuid_parameter("rule_id")]

blueprint = Blueprint("alerts", __name__, description="What fires, by which rules, who is told.")


@contextmanager
def managing() -> Iterator[tuple[Any, UUID]]:
    """A transaction of the tenant that asks, which may change its rules, and that tenant."""
    tenant_id = current_tenant()
    with current_service().database.tenant(tenant_id) as session:
        yield session, tenant_id


def put_on_record(action: str, resource_type: str, resource_id: UUID, **changes: Any) -> None:
    """Put what the caller did on record."""
    AuditService().log_change(
        action=action,
        resource_type=resource_type,
        resource_id=str(resource_id),
        metadata={"outcome": "success"},  # what failed changed nothing, and is its status
        **changes,
    )


@blueprint.route("/alerts")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(AlertsQuery, location="query")
@blueprint.response(200, AlertSchema(many=True))
def list_alerts(query: dict[str, Any]) -> tuple[Sequence[Alert], int, dict[str, str]]:
    """List alerts, newest first. The Link header leads on."""
    with managing() as (session, tenant_id):
        found = alerts.list_alerts(
            session,
            tenant_id,
            states=query.get("state", ()),
            limit=query["limit"] + 1,
            after=query.get("after"),
        )
    if len(found) <= query["limit"]:
        return found, 200, {}
    shown = found[: query["limit"]]
    return shown, 200, {"Link": next_link(str(shown[-1].id))}


@blueprint.route("/alerts/<alert_id>", parameters=OF_ALERT)
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, AlertDetailSchema)
def get_alert(alert_id: str) -> dict[str, Any]:
    """Get an alert with all that happened to it, and the records that caused it."""
    with managing() as (session, tenant_id):
        alert = _alert(session, tenant_id, alert_id)
        events = alerts.list_events(session, tenant_id, alert.id)
    return {**{name: getattr(alert, name) for name in Alert.__slots__}, "events": events}


@blueprint.route("/alerts/<alert_id>/acknowledge", methods=["POST"], parameters=OF_ALERT)
@requires(Scope.ALERTS_WRITE, leaves="one audit log, and an event of the alert")
@blueprint.no_query()
@blueprint.response(200, AlertSchema)
def acknowledge_alert(alert_id: str) -> Alert:
    """Say that somebody looks after it: reminders end."""
    now, by = datetime.now(UTC), _caller()
    with managing() as (session, tenant_id):
        alert = _alert(session, tenant_id, alert_id)
        alerts.acknowledge(session, tenant_id, alert.id, by, now)
        alerts.note_event(session, tenant_id, alert, Event.ACKNOWLEDGED, now, by)
    put_on_record("acknowledge", "alert", alert.id)
    return replace(alert, acknowledged_at=now, acknowledged_by=by)


@blueprint.route("/alerts/<alert_id>/silence", methods=["POST"], parameters=OF_ALERT)
@requires(Scope.ALERTS_WRITE, leaves="one audit log, and an event of the alert")
@blueprint.no_query()
@blueprint.arguments(Silence)
@blueprint.response(200, AlertSchema)
def silence_alert(values: dict[str, Any], alert_id: str) -> Alert:
    """Tell nobody of it for a while."""
    now = datetime.now(UTC)
    until = now + timedelta(minutes=values["minutes"])
    with managing() as (session, tenant_id):
        alert = _alert(session, tenant_id, alert_id)
        alerts.silence(session, tenant_id, alert.id, until)
        alerts.note_event(session, tenant_id, alert, Event.SILENCED, now, _caller())
    put_on_record("silence", "alert", alert.id, after={"until": until.isoformat()})
    return replace(alert, silenced_until=until)


@blueprint.route("/alerts/rules")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, RuleSchema(many=True))
def list_rules() -> list[Rule]:
    """List the rules, the default ones too, oldest first."""
    with managing() as (session, tenant_id):
        return alert_rules.list_rules(session, tenant_id)


@blueprint.route("/alerts/rules", methods=["POST"])
@requires(Scope.ALERTS_WRITE, leaves="one audit log")
@blueprint.no_query()
@blueprint.arguments(NewRule)
@blueprint.response(201, RuleSchema)
@blueprint.alt_response(409, response="CONFLICT")
def create_rule(values: dict[str, Any]) -> Rule:
    """Make a rule; it is evaluated from now on."""
    rule = _checked(Rule(id=uuid7(), **_typed(values)))
    with managing() as (session, tenant_id):
        _check_names(session, tenant_id, rule)
        alert_rules.add_rule(session, tenant_id, rule)
    put_on_record("create", "alert_rule", rule.id, after=_plain(rule))
    return rule


@blueprint.route("/alerts/rules/<rule_id>", parameters=OF_RULE)
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, RuleSchema)
def get_rule(rule_id: str) -> Rule:
    """Get a rule."""
    with managing() as (session, tenant_id):
        return _rule(session, tenant_id, rule_id)


@blueprint.route("/alerts/rules/<rule_id>", methods=["PATCH"], parameters=OF_RULE)
@requires(Scope.ALERTS_WRITE, leaves="one audit log")
@blueprint.no_query()
@blueprint.arguments(RuleChanges)
@blueprint.response(200, RuleSchema)
@blueprint.alt_response(409, response="CONFLICT")
def change_rule(values: dict[str, Any], rule_id: str) -> Rule:
    """Change the given fields of a rule; alerts that are open go by the rule as it is then."""
    with managing() as (session, tenant_id):
        before = _rule(session, tenant_id, rule_id)
        after = _checked(replace(before, **_typed(values)))
        _check_names(session, tenant_id, after)
        alert_rules.replace_rule(session, tenant_id, after)
    put_on_record("update", "alert_rule", after.id, before=_plain(before), after=_plain(after))
    return after


@blueprint.route("/alerts/rules/<rule_id>", methods=["DELETE"], parameters=OF_RULE)
@requires(Scope.ALERTS_WRITE, leaves="one audit log")
@blueprint.no_query()
@blueprint.response(204)
def delete_rule(rule_id: str) -> None:
    """Delete a rule, which ends its alerts."""
    with managing() as (session, tenant_id):
        rule = _rule(session, tenant_id, rule_id)
        alert_rules.delete_rule(session, tenant_id, rule.id)
    put_on_record("delete", "alert_rule", rule.id, before=_plain(rule))


@blueprint.route("/alerts/try/rule", methods=["POST"])
@requires(Scope.ALERTS_WRITE, leaves="one audit log")
@blueprint.no_query()
@blueprint.arguments(RuleTrial)
@blueprint.response(200, TrialSchema)
def try_rule(values: dict[str, Any]) -> dict[str, Any]:
    """Hold a rule against the past days, by the minute, without saving it."""
    days = values.pop("days")
    rule = _checked(Rule(id=uuid7(), **_typed(values)))
    end = to_ms(datetime.now(UTC)) // MINUTE_MS * MINUTE_MS
    start = end - days * 86_400_000
    with reading(snapshot=True) as (session, tenant_id):
        reader = RollupReader(session, tenant_id, rule.kind)
        tally = reader.tally(start - rule.window_s * 1000, end, coarsest=Grain.MINUTE)
        firings = replay(rule, tally, reader.names, start, end)
    put_on_record("try", "alert_rule", rule.id, after={**_plain(rule), "days": days})
    return {"days": days, "fired": len(firings), "firings": firings[-FIRINGS_SHOWN:]}


def _alert(session: Any, tenant_id: UUID, alert_id: str) -> Alert:
    found = alerts.get_alert(session, tenant_id, path_uuid("alert_id", alert_id))
    if found is None:
        raise NotFound
    return found


def _rule(session: Any, tenant_id: UUID, rule_id: str) -> Rule:
    wanted = path_uuid("rule_id", rule_id)
    for rule in alert_rules.list_rules(session, tenant_id):
        if rule.id == wanted:
            return rule
    raise NotFound


def _check_names(session: Any, tenant_id: UUID, rule: Rule) -> None:
    """Refuse a name that another rule has, a channel that is not there, and one rule too many."""
    others = [one for one in alert_rules.list_rules(session, tenant_id) if one.id != rule.id]
    if any(one.name == rule.name for one in others):
        raise Conflict(f"There is a rule {rule.name!r} already")
    if len(others) >= RULES_MAX:
        raise Conflict(f"A tenant has at most {RULES_MAX} rules")
    known = {channel.id for channel in alert_rules.list_channels(session, tenant_id)}
    unknown = [str(one) for one in rule.channels if one not in known]
    if unknown:
        raise InvalidInput(FieldError("channels", f"There is no channel {unknown[0]}."))


def _checked(rule: Rule) -> Rule:
    check_rule(rule)
    return rule


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    typed: dict[str, Any] = {
        name: _TYPES[name](value) if name in _TYPES else value for name, value in values.items()
    }
    if "filters" in typed:
        typed["filters"] = {name: tuple(found) for name, found in typed["filters"].items()}
    if "channels" in typed:
        typed["channels"] = tuple(typed["channels"])
    return typed


def _plain(rule: Rule) -> dict[str, Any]:
    shown: dict[str, Any] = RuleSchema().dump(rule)
    return {name: str(value) if name == "id" else value for name, value in shown.items()}


def _caller() -> str:
    principal = current_principal()
    return f"key:{principal.prefix}" if principal else "unknown"
