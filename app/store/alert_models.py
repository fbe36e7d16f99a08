"""The tables of alerts, as SQLAlchemy models."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from .models import Base

EMPTY = text("'{}'")
ZERO = text("0")


class AlertRuleRow(Base):
    """When to raise an alert."""

    __tablename__ = "alert_rules"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="alert_rules_tenant_id_fkey")
    )
    id: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(10))
    figure: Mapped[str] = mapped_column(String(20))
    comparison: Mapped[str] = mapped_column(String(2))
    threshold: Mapped[float] = mapped_column(Double())
    window_s: Mapped[int]
    filters: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    group_by: Mapped[str | None] = mapped_column(String(63))
    min_count: Mapped[int] = mapped_column(server_default=ZERO)
    for_s: Mapped[int] = mapped_column(server_default=ZERO)
    severity: Mapped[str] = mapped_column(String(10))
    channels: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), server_default=EMPTY)
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    renotify_s: Mapped[int] = mapped_column(server_default=ZERO)
    muted_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="alert_rules_pkey"),
        UniqueConstraint("tenant_id", "name", name="alert_rules_name_key"),
    )


class AlertChannelRow(Base):
    """Whom to tell; target and secret are not for the web role to read."""

    __tablename__ = "alert_channels"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="alert_channels_tenant_id_fkey")
    )
    id: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(10))
    shown: Mapped[str] = mapped_column(String(255))
    target: Mapped[str]  # in the clear, where it is no secret or from before 0040; else empty
    secret: Mapped[str | None]
    credentials: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="alert_channels_pkey"),
        UniqueConstraint("tenant_id", "name", name="alert_channels_name_key"),
    )


class AlertRow(Base):
    """One alert: of a rule and group at most one is open."""

    __tablename__ = "alerts"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", name="alerts_tenant_id_fkey"))
    id: Mapped[UUID]
    rule_id: Mapped[UUID]
    rule_name: Mapped[str] = mapped_column(String(100))
    severity: Mapped[str] = mapped_column(String(10))
    group: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(10))
    value: Mapped[float] = mapped_column(Double())
    threshold: Mapped[float] = mapped_column(Double())
    window_s: Mapped[int]
    pending_at: Mapped[datetime]
    fired_at: Mapped[datetime | None]
    calm_since: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None] = mapped_column(String(255))
    silenced_until: Mapped[datetime | None]
    record_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), server_default=EMPTY)

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="alerts_pkey"),
        Index(
            *("alerts_open_idx", "tenant_id", "rule_id", "group"),
            unique=True,
            postgresql_where=text("state <> 'resolved'"),
        ),
    )


class AlertEventRow(Base):
    """A step in the life of an alert, with the records that caused it."""

    __tablename__ = "alert_events"

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    alert_id: Mapped[UUID]
    event: Mapped[str] = mapped_column(String(20))
    at: Mapped[datetime]
    value: Mapped[float | None] = mapped_column(Double())
    by: Mapped[str | None] = mapped_column(String(255))
    record_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), server_default=EMPTY)

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="alert_events_pkey"),
        Index("alert_events_alert_idx", "tenant_id", "alert_id", "at"),
    )


class AlertDeliveryRow(Base):
    """A notification on its way to a channel, and what became of it."""

    __tablename__ = "alert_deliveries"

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    channel_id: Mapped[UUID]
    event: Mapped[str] = mapped_column(String(20))
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10), server_default=text("'queued'"))
    attempts: Mapped[int] = mapped_column(server_default=ZERO)
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    answer: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[datetime | None]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="alert_deliveries_pkey"),
        Index("alert_deliveries_due_idx", "due_at", postgresql_where=text("state = 'queued'")),
    )


class AlertCursorRow(Base):
    """Up to which batch, and when, a tenant's rules were last evaluated."""

    __tablename__ = "alert_cursors"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="alert_cursors_tenant_id_fkey"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInteger(), server_default=ZERO)
    evaluated_at: Mapped[datetime | None]
    active_until: Mapped[datetime | None]  # while figures may change without new records


class RecentMinuteRow(Base):
    """What the records of one recent minute add up to, for evaluation alone."""

    __tablename__ = "recent_minutes"

    tenant_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(String(10))
    start: Mapped[datetime]
    cells: Mapped[bytes]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "kind", "start", name="recent_minutes_pkey"),
    )
