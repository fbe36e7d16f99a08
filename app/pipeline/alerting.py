"""Evaluation: every tenant's rules, held against its recent past, and what came of it.

A tenant's batches, the alerts they raise and the messages about these are one transaction: whoever
dies, no alert is lost and none is raised twice.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ..domain.alert_life import Alert, Event, Step, begin, go_on, is_silent
from ..domain.alert_rules import Figure, Rule
from ..domain.alert_windows import Reading, Window, cut_windows, largest_count, read_rule
from ..domain.grains import MINUTE_MS, Grain, floor, to_ms
from ..domain.records import Kind
from ..domain.tally import Names
from ..store.alert_rules import Channel, channels_of, ensure_rules, rules_of
from ..store.alerts import (
    causing_records,
    count_cells,
    note_event,
    open_alerts,
    record_times,
    save_alert,
)
from ..store.deliveries import queue_delivery
from ..store.recent_minutes import (
    Recent,
    keep_recent,
    never_watched,
    take_recent,
    tenants_to_watch,
)
from ..store.session import Database
from ..telemetry import ALERT_EVALUATION_SECONDS, ALERT_EVENTS, get_logger

TENANTS_AT_ONCE = 100  # in one transaction
# What came later than this after it was made is looked at as of the time it was made, too.
LATE_MS = 60_000
SLIDING_WINDOW_S_MAX = 600  # of such windows, also what they held between two evaluations counts
SLIDE_BACK = timedelta(minutes=15)  # at most; after a longer pause it comes as late
EVALUATED_FIRST = timedelta(seconds=15)

log = get_logger(__name__)


@dataclass(slots=True)
class Evaluated:
    """What one evaluation did."""

    tenants: int = 0
    rules: int = 0
    events: dict[Event, int] = field(default_factory=lambda: defaultdict(int))


def evaluate_alerts(database: Database, *, now: datetime) -> Evaluated:
    """Evaluate the rules of all tenants of whom something may have changed.

    Raises:
        StoreUnavailable: Postgres cannot be reached; what was committed stays, the rest is
            evaluated next time.
    """
    done = Evaluated()
    with ALERT_EVALUATION_SECONDS.time():
        _evaluate_all(database, now, done)
    return done


def _evaluate_all(database: Database, now: datetime, done: Evaluated) -> None:
    with database.unrestricted_unsafe() as session:
        tenants = tenants_to_watch(session, now)
    for first in range(0, len(tenants), TENANTS_AT_ONCE):
        counted = Evaluated()
        with database.unrestricted_unsafe() as session:
            _evaluate(session, tenants[first : first + TENANTS_AT_ONCE], now, counted)
        done.tenants += counted.tenants
        done.rules += counted.rules
        for event, count in counted.events.items():
            done.events[event] += count
            ALERT_EVENTS.labels(event.value).inc(count)


def _evaluate(session: Any, tenant_ids: list[UUID], now: datetime, done: Evaluated) -> None:
    for tenant_id in never_watched(session, tenant_ids):
        ensure_rules(session, tenant_id)
    rules = rules_of(session, tenant_ids)
    longest_s = max((rule.window_s for found in rules.values() for rule in found), default=60)
    watch = timedelta(seconds=longest_s)
    recents = take_recent(session, tenant_ids, now - watch - SLIDE_BACK, now)
    alerts = open_alerts(session, tenant_ids)
    channels = channels_of(session, tenant_ids)
    for tenant_id, recent in recents.items():
        of_tenant = _Tenant(session, tenant_id, recent, now)
        wanted = [rule for rule in rules[tenant_id] if rule.enabled]
        steps = list(of_tenant.steps(wanted, alerts[tenant_id]))
        done.tenants += 1
        done.rules += len(wanted)
        _record(session, tenant_id, steps, rules[tenant_id], channels[tenant_id], now)
        for step in steps:
            if step.event:
                done.events[step.event] += 1
    keep_recent(session, recents, now, watch + timedelta(minutes=2))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a rule says of a group: whether it holds now, or did at a moment (ms) before."""

    value: float
    holds: bool
    at: int


class _Tenant:
    """The evaluation of one tenant's rules at one moment."""

    def __init__(self, session: Any, tenant_id: UUID, recent: Recent, now: datetime) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._recent = recent
        self._now = now
        self._now_ms = to_ms(now)
        before = recent.evaluated_at or now - EVALUATED_FIRST
        self._before_ms = to_ms(max(before, now - SLIDE_BACK))
        self._windows: dict[Kind, dict[int, Window]] = {}
        self._rows: dict[tuple[Kind, int], list[tuple[int, Names]]] = {}
        self._exact: dict[tuple[Kind, int], Window] = {}

    def steps(self, rules: list[Rule], alerts: list[Alert]) -> Iterator[Step]:
        """What happens to the tenant's alerts, open and new."""
        for kind in Kind:
            lengths = {rule.window_s for rule in rules if rule.kind is kind}
            if lengths:
                self._windows[kind] = cut_windows(
                    self._recent.minutes[kind], lengths, self._now_ms + 1
                )
        open_of = {(alert.rule_id, alert.group): alert for alert in alerts}
        for rule in rules:
            found = self._look(rule)
            for group in sorted(found):
                alert = open_of.pop((rule.id, group), None)
                step = self._step(rule, group, alert, found[group])
                if step is not None:
                    yield step
            for key in [key for key in open_of if key[0] == rule.id]:  # its group has no records
                yield go_on(rule, open_of.pop(key), value=0.0, holds=False, now=self._now)
        for alert in open_of.values():
            yield go_on(None, alert, value=alert.value, holds=False, now=self._now)

    def _step(self, rule: Rule, group: str, alert: Alert | None, found: _Found) -> Step | None:
        if alert is not None:
            step = go_on(rule, alert, value=found.value, holds=found.holds, now=self._now)
        elif found.at:
            begun = begin(rule, uuid7(), group, value=found.value, holds=found.holds, now=self._now)
            if begun is None:
                return None
            step = begun
        else:
            return None
        if step.event in {Event.FIRED, Event.PENDING} and not rule.comparison.downward:
            at = found.at or self._now_ms
            low = at - rule.window_s * 1000
            ids = causing_records(self._session, self._tenant_id, rule, group, low, at + 1)
            return replace(step, alert=replace(step.alert, record_ids=ids))
        return step

    def _look(self, rule: Rule) -> dict[str, _Found]:
        """What the rule says of each group that has records."""
        window = self._windows[rule.kind][rule.window_s]
        readings = read_rule(rule, window)
        if any(reading.holds is None for reading in readings):
            readings = read_rule(rule, self._settled(rule.kind, window))
        found = {one.group: _found(one, self._now_ms) for one in readings}
        if rule.comparison.downward:
            return found
        for reading in self._between(rule):
            known = found.get(reading.group)
            if known is None or not known.holds:
                found[reading.group] = _Found(reading.value, False, self._now_ms)
        for at, reading in self._late(rule):
            known = found.get(reading.group)
            if known is None or not known.at:
                found[reading.group] = _Found(reading.value, False, at)
        return found

    def _settled(self, kind: Kind, window: Window) -> Window:
        """The same window without doubts: the records of the minute that it cuts are counted."""
        known = self._exact.get((kind, window.low))
        if known is None:
            cut = floor(Grain.MINUTE, window.low)
            rows = count_cells(self._session, self._tenant_id, kind, window.low, cut + MINUTE_MS)
            sure = dict(window.sure)
            minute = self._recent.minutes[kind].get(cut, {})
            for names, cell in minute.items():
                if cut + cell.first >= window.low:  # among the sure ones already
                    rows.pop(names, None)
            for names, (count, total_ms) in rows.items():
                had = sure.get(names, (0, 0))
                sure[names] = (had[0] + count, had[1] + total_ms)
            known = self._exact[kind, window.low] = Window(window.low, sure, {})
        return known

    def _between(self, rule: Rule) -> Iterator[Reading]:
        """Groups of which a window between the last evaluation and this one held too many, though
        none that ends now does.
        """
        if rule.figure not in {Figure.COUNT, Figure.FAILURES} or rule.for_s:
            return
        if rule.window_s > SLIDING_WINDOW_S_MAX or not self._recent.fresh[rule.kind]:
            return
        low = self._before_ms - rule.window_s * 1000
        length_s = (self._now_ms - low) // 1000 + 1
        whole = cut_windows(self._recent.minutes[rule.kind], [length_s], self._now_ms + 1)
        suspects = {one.group for one in read_rule(rule, whole[length_s]) if one.holds is not False}
        held = self._windows[rule.kind][rule.window_s]
        suspects -= {one.group for one in read_rule(rule, held) if one.holds}
        if not suspects:
            return
        rows = self._rows.get((rule.kind, low))
        if rows is None:
            rows = self._rows[rule.kind, low] = record_times(
                self._session, self._tenant_id, rule.kind, low, self._now_ms + 1
            )
        for group in suspects:
            times = [at for at, names in rows if _counts(rule, group, names)]
            value = float(largest_count(times, rule.window_s))
            if rule.comparison.holds(value, rule.threshold):
                yield Reading(group, value, True)

    def _late(self, rule: Rule) -> Iterator[tuple[int, Reading]]:
        """Groups that called for an alert at a time whose records came late, and that time."""
        late = [
            start
            for start in self._recent.fresh[rule.kind]
            if start + MINUTE_MS <= self._now_ms - LATE_MS
        ]
        if not late or rule.for_s:
            return
        minutes = self._recent.minutes[rule.kind]
        last = min(max(late) + rule.window_s * 1000, self._now_ms)
        told: set[str] = set()
        for end in range(min(late) + MINUTE_MS, last + 1, MINUTE_MS):
            window = cut_windows(minutes, [rule.window_s], end)[rule.window_s]
            for reading in read_rule(rule, window):
                if reading.holds and reading.group not in told:
                    told.add(reading.group)
                    yield end, reading


def _found(reading: Reading, at: int) -> _Found:
    holds = bool(reading.holds)
    return _Found(reading.value, holds, at if holds else 0)


def _counts(rule: Rule, group: str, names: Names) -> bool:
    if not rule.accepts(names) or rule.group_of(names) != group:
        return False
    return rule.figure is not Figure.FAILURES or names[2] in {"failure", "timeout"}


def _record(
    session: Any,
    tenant_id: UUID,
    steps: list[Step],
    rules: list[Rule],
    channels: list[Channel],
    now: datetime,
) -> None:
    """Write what happened, and queue one message for each channel that is to hear of it."""
    rule_of = {rule.id: rule for rule in rules}
    told: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for step in steps:
        save_alert(session, tenant_id, step.alert)
        if step.event is None:
            continue
        note_event(session, tenant_id, step.alert, step.event, now)
        rule = rule_of.get(step.alert.rule_id)
        if step.told and not is_silent(rule, step.alert, now):
            for channel in _channels(rule, channels):
                told[channel.id].append(describe(step.alert, step.event))
    for channel_id, alerts in told.items():
        queue_delivery(session, tenant_id, channel_id, "alerts", {"alerts": alerts})


def _channels(rule: Rule | None, channels: list[Channel]) -> list[Channel]:
    named = set(rule.channels) if rule else set()
    return [channel for channel in channels if not named or channel.id in named]


def describe(alert: Alert, event: Event) -> dict[str, Any]:
    """An alert as a message says it."""
    return {
        "id": str(alert.id),
        "event": event.value,
        "state": alert.state.value,
        "rule_id": str(alert.rule_id),
        "rule": alert.rule_name,
        "severity": alert.severity.value,
        "group": alert.group,
        "value": round(alert.value, 4),
        "threshold": alert.threshold,
        "window_s": alert.window_s,
        "fired_at": alert.fired_at.isoformat() if alert.fired_at else None,
        "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
        "record_ids": [str(record_id) for record_id in alert.record_ids],
    }
