"""The tables of what only browsers need, as SQLAlchemy models."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, PrimaryKeyConstraint, String, func
from sqlalchemy.orm import Mapped, mapped_column

from .models import Base


class StreamTicketRow(Base):
    """What opens one stream in place of a key."""

    __tablename__ = "stream_tickets"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="stream_tickets_tenant_id_fkey")
    )
    digest = mapped_column(LargeBinary(), nullable=False)
    key_digest = mapped_column(LargeBinary(), nullable=False)
    expires_at: Mapped[datetime]

    __table_args__ = (PrimaryKeyConstraint("tenant_id", "digest", name="stream_tickets_pkey"),)


class SavedViewRow(Base):
    """A list with its filters, by a name."""

    __tablename__ = "saved_views"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="saved_views_tenant_id_fkey")
    )
    id: Mapped[UUID]
    key_id: Mapped[UUID]
    made_by: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(100))
    log: Mapped[str] = mapped_column(String(10))
    query: Mapped[str]
    shared: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", name="saved_views_pkey"),
        CheckConstraint("log IN ('actions', 'audits')", name="saved_views_log_check"),
    )
