"""The tables, as SQLAlchemy models; equal to what the migrations make, by test.

Every key of a tenant's table starts with tenant_id, so that the schema can be spread by tenant.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Sequence,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

_Bytes = bytes  # a column of that name hides the type
BATCH_SEQUENCE = "log_batches_seq"


class Domain(UserDefinedType[str]):
    """A Postgres domain over text: compared as text, which row-level security lets use an index."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in DDL."""
        return self.name


class Base(DeclarativeBase):
    """Base of all models; its metadata is what flask-migrate compares."""

    type_annotation_map = {  # noqa: RUF012
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
        dict[str, Any]: JSONB(none_as_null=True),
        _Bytes: LargeBinary(),
        bool: Boolean(),
        str: Text(),
        int: Integer(),
        date: Date(),
        Decimal: Numeric(),
    }


class TenantRow(Base):
    """A tenant of the platform."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    slug: Mapped[str] = mapped_column(String(63))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("slug", name="tenants_slug_key"),)


class ApiKeyRow(Base):
    """An API key: its prefix to show, the SHA-256 of its secret to compare."""

    __tablename__ = "api_keys"

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(32))
    secret_sha256: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    networks: Mapped[list[str]] = mapped_column(ARRAY(Text()), server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    holder: Mapped[str] = mapped_column(server_default="machine")

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="api_keys_pkey"),
        CheckConstraint("holder IN ('human', 'machine')", name="api_keys_holder_check"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="api_keys_tenant_id_fkey"),
        Index("api_keys_secret_sha256_idx", "secret_sha256"),
    )


class ActionTypeRow(Base):
    """A name that action_logs.action_type may have."""

    __tablename__ = "action_types"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ActionLogRow(Base):
    """One provider operation."""

    __tablename__ = "action_logs"

    tenant_id: Mapped[UUID]
    created_at: Mapped[datetime]
    id: Mapped[UUID]
    action_type: Mapped[str] = mapped_column(Domain("action_type_enum"))
    provider_name: Mapped[str] = mapped_column(String(100))
    request_payload: Mapped[Any] = mapped_column(JSONB(), server_default=text("'{}'"))
    response_data: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[str] = mapped_column(Domain("action_status_enum"))
    error_message: Mapped[str | None]
    execution_time_ms: Mapped[int]
    operation_id: Mapped[str | None] = mapped_column(String(255))
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    batch_id: Mapped[UUID]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "created_at", "id", name="action_logs_pkey"),
        CheckConstraint("execution_time_ms >= 0", name="action_logs_execution_time_ms_check"),
        Index("action_logs_batch_idx", "batch_id"),
        Index(
            "action_logs_operation_idx",
            "tenant_id",
            "operation_id",
            postgresql_where=text("operation_id IS NOT NULL"),
        ),
        Index(
            "action_logs_trouble_idx",
            "tenant_id",
            "status",
            "execution_time_ms",
            "provider_name",
            "action_type",
            postgresql_where=text("status <> 'success' OR execution_time_ms >= 1000"),
        ),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )


class AuditLogRow(Base):
    """One system change."""

    __tablename__ = "audit_logs"

    tenant_id: Mapped[UUID]
    created_at: Mapped[datetime]
    id: Mapped[UUID]
    user_id: Mapped[str | None] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(100))
    resource_type: Mapped[str] = mapped_column(String(100))
    resource_id: Mapped[str] = mapped_column(String(255))
    changes: Mapped[dict[str, Any] | None]
    ip_address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None]
    operation_id: Mapped[str | None] = mapped_column(String(255))
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    batch_id: Mapped[UUID]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "created_at", "id", name="audit_logs_pkey"),
        Index("audit_logs_batch_idx", "batch_id"),
        Index(
            "audit_logs_operation_idx",
            "tenant_id",
            "operation_id",
            postgresql_where=text("operation_id IS NOT NULL"),
        ),
        # Without created_at, so that equal keys share one entry.
        Index(
            "audit_logs_user_idx", "tenant_id", "user_id", "ip_address", "action", "resource_type"
        ),
        Index("audit_logs_ip_idx", "tenant_id", "ip_address", "action", "resource_type", "user_id"),
        Index("audit_logs_trail_idx", "tenant_id", "resource_id", "resource_type"),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )


class LogBatchRow(Base):
    """The unit of commit: records of one tenant and kind that became visible together.

    seq is the tenant's commit order; summary says what its records add up to.
    """

    __tablename__ = "log_batches"

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(String(10))
    row_count: Mapped[int]
    min_created_at: Mapped[datetime]
    max_created_at: Mapped[datetime]
    seq: Mapped[int] = mapped_column(
        BigInteger(), Sequence(BATCH_SEQUENCE), server_default=Sequence(BATCH_SEQUENCE).next_value()
    )
    summary: Mapped[dict[str, Any] | None]
    committed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="log_batches_pkey"),
        UniqueConstraint("tenant_id", "seq", name="log_batches_tenant_id_seq_key"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="log_batches_tenant_id_fkey"),
        CheckConstraint("kind IN ('action', 'audit')", name="log_batches_kind_check"),
        Index("log_batches_kind_idx", "tenant_id", "kind", "seq"),
    )


class ShipmentRow(Base):
    """The receipt of a shipment, written in the transaction that kept its records."""

    __tablename__ = "shipments"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    committed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (Index("shipments_committed_at_idx", "committed_at"),)


class DeadLetterRow(Base):
    """A record that can never be persisted, with its bytes and the reason."""

    __tablename__ = "dead_letters"

    id: Mapped[int] = mapped_column(BigInteger(), Identity(always=True), primary_key=True)
    tenant_id: Mapped[UUID | None]
    kind: Mapped[str | None] = mapped_column(String(10))
    record_id: Mapped[UUID | None]
    reason: Mapped[str]
    payload: Mapped[bytes]
    shipment_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LateRecordRow(Base):
    """A record that arrived after its time had left the hot window, as the line it came in."""

    __tablename__ = "late_records"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="late_records_tenant_id_fkey")
    )
    kind: Mapped[str] = mapped_column(String(10))
    id: Mapped[UUID]
    created_at: Mapped[datetime]
    payload: Mapped[bytes]
    shipment_id: Mapped[UUID]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "kind", "id", name="late_records_pkey"),
        CheckConstraint("kind IN ('action', 'audit')", name="late_records_kind_check"),
    )


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
    file_sha256: Mapped[_Bytes]
    content_sha256: Mapped[_Bytes]
    verified_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    archived_at: Mapped[datetime | None]

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


class RollupRow:
    """What the records of one unit of time add up to: arrays of cells, packed by the domain."""

    tenant_id: Mapped[UUID]
    grain: Mapped[str] = mapped_column(String(6))
    start: Mapped[datetime]
    detailed: Mapped[bool]  # whether the next finer units of it are kept too
    numbers: Mapped[list[int]] = mapped_column(ARRAY(Integer()))
    cells: Mapped[bytes]


class ActionRollupRow(RollupRow, Base):
    """Counts, histograms and the slowest successes of one unit of time."""

    __tablename__ = "action_rollups"

    histograms: Mapped[bytes]
    slowest: Mapped[bytes]

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "grain", "start", name="action_rollups_pkey"),
    )


class AuditRollupRow(RollupRow, Base):
    """Counts of one unit of time."""

    __tablename__ = "audit_rollups"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "grain", "start", name="audit_rollups_pkey"),
    )


class UserRollupRow(Base):
    """How often a user (empty: none) did an action to a type of resource in one unit of time."""

    __tablename__ = "user_rollups"

    tenant_id: Mapped[UUID]
    grain: Mapped[str] = mapped_column(String(6))
    start: Mapped[datetime]
    user_id: Mapped[str] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(100))
    resource_type: Mapped[str] = mapped_column(String(100))
    audits: Mapped[int] = mapped_column(BigInteger())

    __table_args__ = (
        PrimaryKeyConstraint(
            *("tenant_id", "grain", "start", "user_id", "action", "resource_type"),
            name="user_rollups_pkey",
        ),
    )


class RollupCellRow(Base):
    """The number by which a tenant's rollups know a cell: an action type, provider and status, or
    an audit's action and resource type.
    """

    __tablename__ = "rollup_cells"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="rollup_cells_tenant_id_fkey")
    )
    kind: Mapped[str] = mapped_column(String(10))
    number: Mapped[int]
    names: Mapped[list[str]] = mapped_column(ARRAY(Text()))

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "kind", "number", name="rollup_cells_pkey"),
        UniqueConstraint("tenant_id", "kind", "names", name="rollup_cells_names_key"),
    )


class RollupCursorRow(Base):
    """Up to which batch a tenant's summaries are folded."""

    __tablename__ = "rollup_cursors"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="rollup_cursors_tenant_id_fkey"), primary_key=True
    )
    folded_seq: Mapped[int] = mapped_column(BigInteger(), server_default=text("0"))


class TaskRunRow(Base):
    """When a periodic task last ran, by the database's clock, and how often it did."""

    __tablename__ = "task_runs"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    runs: Mapped[int] = mapped_column(BigInteger())
