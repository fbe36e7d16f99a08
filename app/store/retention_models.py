"""The tables of what keeps and what removes records, as SQLAlchemy models."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
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


class LegalHoldRow(Base):
    """What must not be purged or erased, by whose word, since when and until when."""

    __tablename__ = "legal_holds"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="legal_holds_tenant_id_fkey")
    )
    id: Mapped[UUID]
    scope: Mapped[str] = mapped_column(String(10))
    resource_type: Mapped[str | None] = mapped_column(String(100))
    resource_id: Mapped[str | None] = mapped_column(String(255))
    user_id: Mapped[str | None] = mapped_column(String(255))
    reason: Mapped[str]
    placed_by: Mapped[str] = mapped_column(String(255))
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    released_by: Mapped[str | None] = mapped_column(String(255))
    released_at: Mapped[datetime | None]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="legal_holds_pkey"),
        CheckConstraint(
            "(scope = 'tenant') = (num_nonnulls(resource_type, resource_id, user_id) = 0)"
            " AND (scope = 'resource') = (num_nonnulls(resource_type, resource_id) = 2)"
            " AND (scope = 'user') = (user_id IS NOT NULL)"
            " AND num_nonnulls(resource_type, resource_id) <> 1"
            " AND scope IN ('tenant', 'resource', 'user')",
            name="legal_holds_scope_check",
        ),
        CheckConstraint(
            "(released_at IS NULL) = (released_by IS NULL)", name="legal_holds_release_check"
        ),
    )


class PurgedSegmentRow(Base):
    """A segment that was taken out of the archive, and when its object was deleted."""

    __tablename__ = "purged_segments"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="purged_segments_tenant_id_fkey")
    )
    kind: Mapped[str] = mapped_column(String(10))
    day: Mapped[date]
    id: Mapped[UUID]
    object_key: Mapped[str]
    row_count: Mapped[int]
    content_sha256 = mapped_column(LargeBinary(), nullable=False)
    reason: Mapped[str] = mapped_column(String(10))
    successor_id: Mapped[UUID | None]  # what stands for the records that are left
    purged_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "kind", "day", "id", name="purged_segments_pkey"),
        CheckConstraint("reason IN ('purged', 'erased')", name="purged_segments_reason_check"),
        Index("purged_segments_left_idx", "tenant_id", postgresql_where=text("deleted_at IS NULL")),
    )


class ErasureRow(Base):
    """A person whose data was to be erased, how far that is, and what came of it.

    The person's name is kept until it is done, and not any longer.
    """

    __tablename__ = "erasures"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="erasures_tenant_id_fkey")
    )
    id: Mapped[UUID]
    subject_kind: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str | None] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(10))
    requested_by: Mapped[str] = mapped_column(String(255))
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_by: Mapped[str | None] = mapped_column(String(255))
    confirmed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    report: Mapped[dict[str, Any] | None]
    audit_id: Mapped[UUID | None]  # of the audit log that says it is done

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="erasures_pkey"),
        CheckConstraint("subject_kind IN ('user_id', 'email')", name="erasures_kind_check"),
        CheckConstraint(
            "state IN ('requested', 'previewed', 'confirmed', 'done', 'expired')",
            name="erasures_state_check",
        ),
        CheckConstraint(
            "(subject IS NULL) = (state IN ('done', 'expired'))", name="erasures_subject_check"
        ),
        Index("erasures_open_idx", "requested_at", postgresql_where=text("subject IS NOT NULL")),
    )
