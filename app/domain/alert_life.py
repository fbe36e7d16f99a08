"""The life of an alert: pending, firing, resolved; and when somebody is told.

Every step is decided here, of what is known and the present time alone.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from .alert_rules import Rule, Severity

# It has to be well for so long before it counts as over: a figure that swings around its threshold
# is one alert, and one message.
CALM_S = 60


class State(StrEnum):
    """Where an alert stands."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Event(StrEnum):
    """What happened to an alert."""

    PENDING = "pending"
    FIRED = "fired"
    REMINDED = "reminded"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"  # it was pending and never fired
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"


TOLD = frozenset({Event.FIRED, Event.REMINDED, Event.RESOLVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert of a tenant; a rule has at most one open alert for each group."""

    id: UUID
    rule_id: UUID
    rule_name: str
    severity: Severity
    group: str
    state: State
    value: float
    threshold: float
    window_s: int
    pending_at: datetime
    fired_at: datetime | None = None
    calm_since: datetime | None = None
    resolved_at: datetime | None = None
    notified_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    silenced_until: datetime | None = None
    record_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """An alert as it is now, and what happened to it, if anything did."""

    alert: Alert
    event: Event | None = None

    @property
    def told(self) -> bool:
        """Whether channels are to be told."""
        return self.event in TOLD


def begin(
    rule: Rule, alert_id: UUID, group: str, *, value: float, holds: bool, now: datetime
) -> Step | None:
    """A new alert; None if the rule wants it to hold for a while and it does not hold any more.

    Args:
        holds: whether it still does; else it did since the last look.
    """
    alert = Alert(
        id=alert_id,
        rule_id=rule.id,
        rule_name=rule.name,
        severity=rule.severity,
        group=group,
        state=State.PENDING,
        value=value,
        threshold=rule.threshold,
        window_s=rule.window_s,
        pending_at=now,
    )
    if not rule.for_s:
        calm_since = None if holds else now
        fired = replace(alert, state=State.FIRING, fired_at=now, calm_since=calm_since)
        return Step(_told(rule, fired, now), Event.FIRED)
    return Step(alert, Event.PENDING) if holds else None


def go_on(rule: Rule | None, alert: Alert, *, value: float, holds: bool, now: datetime) -> Step:
    """The next step of an open alert.

    Args:
        rule: None if it was deleted or switched off, which ends its alerts.
    """
    if rule is None:
        return _end(alert, now)
    if alert.state is State.PENDING:
        if not holds:
            return _end(alert, now)
        if now - alert.pending_at >= timedelta(seconds=rule.for_s):
            fired = replace(alert, state=State.FIRING, fired_at=now, value=value)
            return Step(_told(rule, fired, now), Event.FIRED)
        return Step(replace(alert, value=value))
    if holds:
        firing = replace(alert, value=value, calm_since=None)
        if _is_due(rule, alert, now):
            return Step(_told(rule, firing, now), Event.REMINDED)
        return Step(firing)
    calm_since = alert.calm_since or now
    if now - calm_since >= timedelta(seconds=CALM_S):
        return _end(replace(alert, value=value), now)
    return Step(replace(alert, calm_since=calm_since))


def is_silent(rule: Rule | None, alert: Alert, now: datetime) -> bool:
    """Whether nobody is to be told of this alert now."""
    muted = rule is not None and rule.muted_until is not None and now < rule.muted_until
    return muted or (alert.silenced_until is not None and now < alert.silenced_until)


def _is_due(rule: Rule, alert: Alert, now: datetime) -> bool:
    if not rule.renotify_s or alert.acknowledged_at is not None or is_silent(rule, alert, now):
        return False
    told_at = alert.notified_at or alert.fired_at or now
    return now - told_at >= timedelta(seconds=rule.renotify_s)


def _told(rule: Rule, alert: Alert, now: datetime) -> Alert:
    return alert if is_silent(rule, alert, now) else replace(alert, notified_at=now)


def _end(alert: Alert, now: datetime) -> Step:
    ended = replace(alert, state=State.RESOLVED, resolved_at=now)
    return Step(ended, Event.RESOLVED if alert.fired_at else Event.WITHDRAWN)
