"""Alerts, what happened to them, and the records that caused it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from ..domain.alert_life import Alert, Event, State
from ..domain.alert_rules import CELL_NAMES, Figure, Rule, Severity
from ..domain.alert_windows import FAILED, Cells
from ..domain.grains import from_ms, to_ms
from ..domain.records import Kind
from ..domain.tally import Names
from .alert_models import AlertEventRow, AlertRow
from .models import ActionLogRow, AuditLogRow
from .paging import LogRow, within

RECORDS_SHOWN = 10  # of those that caused an alert, the newest
TIMES_MAX = 20_000  # looked at to settle a doubt; a threshold beyond is told from minutes alone
_ROWS: dict[Kind, LogRow] = {Kind.ACTION: ActionLogRow, Kind.AUDIT: AuditLogRow}
_BY_USERS = frozenset({"acknowledged_at", "acknowledged_by", "silenced_until"})
_COLUMNS = [getattr(AlertRow, name) for name in Alert.__slots__]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """A step in the life of an alert."""

    event: str
    at: datetime
    value: float | None
    by: str | None
    record_ids: list[UUID]


def open_alerts(session: Session, tenant_ids: Iterable[UUID]) -> dict[UUID, list[Alert]]:
    """The alerts of tenants that are pending or firing."""
    found: dict[UUID, list[Alert]] = defaultdict(list)
    statement = select(AlertRow.tenant_id, *_COLUMNS).where(
        AlertRow.tenant_id.in_(list(tenant_ids)), AlertRow.state != State.RESOLVED.value
    )
    for row in session.execute(statement).mappings():
        found[row["tenant_id"]].append(_alert(row))
    return found


def list_alerts(
    session: Session,
    tenant_id: UUID,
    *,
    states: Sequence[str] = (),
    limit: int,
    after: UUID | None = None,
) -> list[Alert]:
    """The alerts of a tenant that fired or may fire, newest first.

    Args:
        after: the last alert of the page before.
    """
    statement = select(*_COLUMNS).where(AlertRow.tenant_id == tenant_id)
    if states:
        statement = statement.where(AlertRow.state.in_(list(states)))
    if after is not None:
        statement = statement.where(AlertRow.id < after)
    rows = session.execute(statement.order_by(AlertRow.id.desc()).limit(limit)).mappings()
    return [_alert(row) for row in rows]


def get_alert(session: Session, tenant_id: UUID, alert_id: UUID) -> Alert | None:
    """One alert of a tenant."""
    statement = select(*_COLUMNS).where(AlertRow.tenant_id == tenant_id, AlertRow.id == alert_id)
    row = session.execute(statement).mappings().first()
    return None if row is None else _alert(row)


def list_events(session: Session, tenant_id: UUID, alert_id: UUID) -> list[AlertEvent]:
    """What happened to an alert, oldest first."""
    columns = [getattr(AlertEventRow, name) for name in AlertEvent.__slots__]
    statement = select(*columns).where(
        AlertEventRow.tenant_id == tenant_id, AlertEventRow.alert_id == alert_id
    )
    ordered = statement.order_by(AlertEventRow.at, AlertEventRow.id)
    return [AlertEvent(**row) for row in session.execute(ordered).mappings()]


def save_alert(session: Session, tenant_id: UUID, alert: Alert) -> None:
    """Write what evaluation decided; what users say of an alert stays as they said it."""
    values = {name: getattr(alert, name) for name in Alert.__slots__}
    values["record_ids"] = list(alert.record_ids)
    decided = {name: value for name, value in values.items() if name not in {"id", *_BY_USERS}}
    statement = upsert(AlertRow).values(tenant_id=tenant_id, **values)
    session.execute(
        statement.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=decided)
    )


def note_event(
    session: Session,
    tenant_id: UUID,
    alert: Alert,
    event: Event,
    at: datetime,
    by: str | None = None,
) -> None:
    """Put a step in the life of an alert on record."""
    session.execute(
        insert(AlertEventRow).values(
            tenant_id=tenant_id,
            id=uuid7(),
            alert_id=alert.id,
            event=event.value,
            at=at,
            value=alert.value,
            by=by,
            record_ids=list(alert.record_ids) if event in {Event.FIRED, Event.PENDING} else [],
        )
    )


def acknowledge(session: Session, tenant_id: UUID, alert_id: UUID, by: str, at: datetime) -> None:
    """Note that somebody looks after an alert: reminders end."""
    _say(session, tenant_id, alert_id, acknowledged_at=at, acknowledged_by=by)


def silence(session: Session, tenant_id: UUID, alert_id: UUID, until: datetime) -> None:
    """Tell nobody of an alert until a moment."""
    _say(session, tenant_id, alert_id, silenced_until=until)


def count_cells(session: Session, tenant_id: UUID, kind: Kind, low: int, high: int) -> Cells:
    """What the records of a stretch of time (ms) add up to, by cell."""
    row = _ROWS[kind]
    cell = [getattr(row, name) for name in CELL_NAMES[kind]]
    total = func.sum(ActionLogRow.execution_time_ms) if kind is Kind.ACTION else 0 * func.count()
    statement = select(*cell, func.count(), total).where(row.tenant_id == tenant_id)
    grouped = within(statement, row, from_ms(low), from_ms(high)).group_by(*cell)
    return {
        tuple(map(str, names)): (count, int(total_ms))
        for *names, count, total_ms in session.execute(grouped)
    }


def record_times(
    session: Session, tenant_id: UUID, kind: Kind, low: int, high: int
) -> list[tuple[int, Names]]:
    """When the records of a stretch of time (ms) were made, in order, each with its cell."""
    row = _ROWS[kind]
    cell = [getattr(row, name) for name in CELL_NAMES[kind]]
    statement = select(row.created_at, *cell).where(row.tenant_id == tenant_id)
    wanted = within(statement, row, from_ms(low), from_ms(high)).order_by(row.created_at)
    found = session.execute(wanted.limit(TIMES_MAX))
    return [(to_ms(created_at), tuple(map(str, names))) for created_at, *names in found]


def causing_records(
    session: Session, tenant_id: UUID, rule: Rule, group: str, low: int, high: int
) -> tuple[UUID, ...]:
    """The newest records (ids) of a stretch of time (ms) that a rule counts."""
    row = _ROWS[rule.kind]
    statement: Select[Any] = select(row.id).where(row.tenant_id == tenant_id)
    for name, values in rule.filters.items():
        statement = statement.where(getattr(row, name).in_(list(values)))
    if rule.group_by:
        statement = statement.where(getattr(row, rule.group_by) == group)
    if rule.figure in {Figure.FAILURES, Figure.ERROR_RATE}:
        statement = statement.where(ActionLogRow.status.in_(sorted(FAILED)))
    bounded = within(statement, row, from_ms(low), from_ms(high))
    newest = bounded.order_by(row.created_at.desc(), row.id.desc()).limit(RECORDS_SHOWN)
    return tuple(session.execute(newest).scalars())


def _say(session: Session, tenant_id: UUID, alert_id: UUID, **values: Any) -> None:
    where = (AlertRow.tenant_id == tenant_id, AlertRow.id == alert_id)
    session.execute(update(AlertRow).where(*where).values(**values))


def _alert(row: Any) -> Alert:
    values = {name: row[name] for name in Alert.__slots__}
    return Alert(
        **{
            **values,
            "severity": Severity(row["severity"]),
            "state": State(row["state"]),
            "record_ids": tuple(row["record_ids"]),
        }
    )
