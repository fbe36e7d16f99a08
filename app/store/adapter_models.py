"""The adapter's own tables, as SQLAlchemy models: the sandbox, providers' accounts, documents."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from .models import Base


class SandboxContactRow(Base):
    """A contact of the sandbox provider, which stands in for a CRM."""

    __tablename__ = "sandbox_contacts"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="sandbox_contacts_tenant_id_fkey")
    )
    id: Mapped[UUID]
    email: Mapped[str] = mapped_column(String(320))
    first_name: Mapped[str | None] = mapped_column(String(200))
    last_name: Mapped[str | None] = mapped_column(String(200))
    company: Mapped[str | None] = mapped_column(String(200))
    phone: Mapped[str | None] = mapped_column(String(50))
    properties: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (PrimaryKeyConstraint("tenant_id", "id", name="sandbox_contacts_pkey"),)


class SandboxItemRow(Base):
    """A ticket, comment, event, message or document of the sandbox provider."""

    __tablename__ = "sandbox_items"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="sandbox_items_tenant_id_fkey")
    )
    collection: Mapped[str] = mapped_column(String(20))
    id: Mapped[UUID]
    parent_id: Mapped[UUID | None]
    fields: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "collection", "id", name="sandbox_items_pkey"),
    )


class ProviderAccountRow(Base):
    """A tenant's provider of one capability; its credentials are encrypted by the service."""

    __tablename__ = "provider_accounts"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="provider_accounts_tenant_id_fkey")
    )
    capability: Mapped[str] = mapped_column(String(20))
    provider: Mapped[str] = mapped_column(String(100))
    options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    credentials: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "capability", name="provider_accounts_pkey"),
    )


class DocumentRow(Base):
    """A document of the knowledge provider `local`, as it is now."""

    __tablename__ = "documents"

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", name="documents_tenant_id_fkey")
    )
    id: Mapped[UUID]
    version: Mapped[int]
    title: Mapped[str] = mapped_column(String(500))
    text: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    properties: Mapped[dict[str, Any]]
    words: Mapped[Any] = mapped_column(
        TSVECTOR(),
        Computed(
            "setweight(to_tsvector('english', title), 'A')"
            " || setweight(to_tsvector('english', left(text, 500000)), 'B')",
            persisted=True,
        ),
        nullable=False,
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (PrimaryKeyConstraint("tenant_id", "id", name="documents_pkey"),)


class DocumentVersionRow(Base):
    """What a document was, until it was replaced."""

    __tablename__ = "document_versions"

    tenant_id: Mapped[UUID]
    document_id: Mapped[UUID]
    version: Mapped[int]
    content: Mapped[dict[str, Any]]
    replaced_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "document_id", "version", name="document_versions_pkey"),
        ForeignKeyConstraint(
            ["tenant_id", "document_id"],
            ["documents.tenant_id", "documents.id"],
            name="document_versions_document_fkey",
            ondelete="CASCADE",
        ),
    )
