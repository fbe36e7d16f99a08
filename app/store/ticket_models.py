"""The table of tickets, as an SQLAlchemy model."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, PrimaryKeyConstraint
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
