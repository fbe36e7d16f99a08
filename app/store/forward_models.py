"""The tables of forwarding, as SQLAlchemy models."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    String,
    Text,
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
OF_DESTINATION = ["forward_destinations.tenant_id", "forward_destinations.id"]


class ForwardDestinationRow(Base):
    """Where records are sent on; the credentials are not for the web role to read."""

    __tablename__ = "forward_destinations"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="forward_destinations_tenant_id_fkey")
    )
    id: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(100))
    sink: Mapped[str] = mapped_column(String(20))
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    credentials: Mapped[bytes | None]
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    filters: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text()), server_default=EMPTY)
    format: Mapped[str] = mapped_column(String(10))
    all_tenants: Mapped[bool] = mapped_column(server_default=text("false"))
    state: Mapped[str] = mapped_column(String(10), server_default=text("'active'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease: Mapped[UUID | None]
    leased_until: Mapped[datetime | None]
    turned_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=ZERO)
    sent: Mapped[int] = mapped_column(BigInteger(), server_default=ZERO)
    retried: Mapped[int] = mapped_column(BigInteger(), server_default=ZERO)
    dead: Mapped[int] = mapped_column(BigInteger(), server_default=ZERO)
    last_success_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    last_error_at: Mapped[datetime | None]
    unsure_at: Mapped[datetime | None]
    test_asked_at: Mapped[datetime | None]
    tested_at: Mapped[datetime | None]
    test_taken: Mapped[bool | None]
    test_answer: Mapped[str | None]
    told_at: Mapped[datetime | None]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="forward_destinations_pkey"),
        UniqueConstraint("tenant_id", "name", name="forward_destinations_name_key"),
        CheckConstraint("state IN ('active', 'paused')", name="forward_destinations_state_check"),
        CheckConstraint(
            "format IN ('native', 'ecs', 'ocsf')", name="forward_destinations_format_check"
        ),
        Index("forward_destinations_due_idx", "due_at", postgresql_where=text("state = 'active'")),
    )


class ForwardCursorRow(Base):
    """How far a destination is in one tenant's log: the position of a tail.

    `seq` is that of the last batch that is behind it; `taken` are records past it that the
    destination has already.
    """

    __tablename__ = "forward_cursors"

    tenant_id: Mapped[UUID]
    destination_id: Mapped[UUID]
    source_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(String(10))
    seq: Mapped[int] = mapped_column(BigInteger(), server_default=ZERO)
    batch_id: Mapped[UUID | None]
    last_id: Mapped[UUID]
    taken: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), server_default=EMPTY)

    __table_args__ = (
        PrimaryKeyConstraint(
            *("tenant_id", "destination_id", "source_id", "kind"), name="forward_cursors_pkey"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "destination_id"],
            OF_DESTINATION,
            name="forward_cursors_destination_fkey",
            ondelete="CASCADE",
        ),
    )


class ForwardDeadLetterRow(Base):
    """A record that a destination refused for what it is, and the destination's words."""

    __tablename__ = "forward_dead_letters"

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    destination_id: Mapped[UUID]
    source_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(String(10))
    record_id: Mapped[UUID]
    reason: Mapped[str]
    state: Mapped[str] = mapped_column(String(10), server_default=text("'dead'"))
    attempts: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="forward_dead_letters_pkey"),
        UniqueConstraint(
            *("tenant_id", "destination_id", "source_id", "record_id"),
            name="forward_dead_letters_record_key",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "destination_id"],
            OF_DESTINATION,
            name="forward_dead_letters_destination_fkey",
            ondelete="CASCADE",
        ),
        CheckConstraint("state IN ('dead', 'retry')", name="forward_dead_letters_state_check"),
    )


class ForwardReplayRow(Base):
    """A window of time that is to be sent once more, and how far that is."""

    __tablename__ = "forward_replays"

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    destination_id: Mapped[UUID]
    since: Mapped[datetime | None]
    until: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(10), server_default=text("'pending'"))
    single: Mapped[bool] = mapped_column(server_default=text("false"))
    source_id: Mapped[UUID | None]
    kind: Mapped[str | None] = mapped_column(String(10))
    after_id: Mapped[UUID | None]
    sent: Mapped[int] = mapped_column(BigInteger(), server_default=ZERO)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="forward_replays_pkey"),
        ForeignKeyConstraint(
            ["tenant_id", "destination_id"],
            OF_DESTINATION,
            name="forward_replays_destination_fkey",
            ondelete="CASCADE",
        ),
        CheckConstraint("state IN ('pending', 'done')", name="forward_replays_state_check"),
        Index(
            *("forward_replays_pending_idx", "tenant_id", "destination_id"),
            postgresql_where=text("state = 'pending'"),
        ),
    )
