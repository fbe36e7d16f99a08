"""The tables of the archive's register and of exports, as SQLAlchemy models."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from .models import Base


class ArchiveRow(Base):
    """A segment of the archive: the records of one tenant, kind and day in one object.

    Verified, it stands beside the rows it was made of; cold, it stands for them.
    """

    __tablename__ = "archives"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="archives_tenant_id_fkey")
    )
    kind: Mapped[str] = mapped_column(String(10))
    day: Mapped[date]
    id: Mapped[UUID]
    state: Mapped[str] = mapped_column(String(10))
    source: Mapped[str]  # the partition
    source_fingerprint: Mapped[Decimal]
    object_key: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger())
    row_count: Mapped[int]
    min_created_at: Mapped[datetime]
    max_created_at: Mapped[datetime]
    file_sha256 = mapped_column(LargeBinary(), nullable=False)
    content_sha256 = mapped_column(LargeBinary(), nullable=False)
    verified_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    archived_at: Mapped[datetime | None]
    restored_until: Mapped[datetime | None]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "kind", "day", "id", name="archives_pkey"),
        CheckConstraint("kind IN ('action', 'audit')", name="archives_kind_check"),
        CheckConstraint("state IN ('verified', 'cold')", name="archives_state_check"),
        Index("archives_source_idx", "source"),
    )


class ArchivedPartitionRow(Base):
    """A partition that was dropped, since the archive has all of it; it is not made again."""

    __tablename__ = "archived_partitions"

    name: Mapped[str] = mapped_column(primary_key=True)
    dropped_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ArchiveStateRow(Base):
    """What the last run of the archive came to; there is one row."""

    __tablename__ = "archive_state"

    id: Mapped[int] = mapped_column(BigInteger(), primary_key=True, server_default=text("1"))
    outcome: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(10))
    detail: Mapped[str | None]
    waiting: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    ran_at: Mapped[datetime]
    failing_since: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("id = 1", name="archive_state_id_check"),
        CheckConstraint(
            "outcome IN ('done', 'unfinished', 'failed')", name="archive_state_outcome_check"
        ),
    )


class ExportRow(Base):
    """What a tenant asked to take along, and how far it is."""

    __tablename__ = "exports"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", name="exports_tenant_id_fkey"))
    id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(String(10))
    format: Mapped[str] = mapped_column(String(10))
    filters: Mapped[dict[str, Any]]
    include_archived: Mapped[bool]
    withhold: Mapped[bool]
    requested_by: Mapped[str] = mapped_column(String(255))
    secret = mapped_column(LargeBinary(), nullable=False)
    state: Mapped[str] = mapped_column(String(10), server_default=text("'pending'"))
    percent: Mapped[int] = mapped_column(server_default=text("0"))
    row_count: Mapped[int | None] = mapped_column(BigInteger())
    bytes: Mapped[int | None] = mapped_column(BigInteger())
    sha256 = mapped_column(LargeBinary())
    error: Mapped[str | None]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="exports_pkey"),
        CheckConstraint("kind IN ('action', 'audit')", name="exports_kind_check"),
        CheckConstraint("format IN ('csv', 'jsonl', 'parquet')", name="exports_format_check"),
        CheckConstraint(
            "state IN ('pending', 'running', 'ready', 'failed', 'expired')",
            name="exports_state_check",
        ),
        Index(
            "exports_open_idx",
            "requested_at",
            postgresql_where=text("state IN ('pending', 'running', 'ready')"),
        ),
    )
