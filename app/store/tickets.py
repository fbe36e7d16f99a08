"""Tickets on record, by hash; whoever takes one, be there several at once, is the only one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, insert
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from .browser_models import StreamTicketRow


def add_ticket(
    session: Session, tenant_id: UUID, digest: bytes, key_digest: bytes, expires_at: datetime
) -> None:
    """Keep a ticket that stands for a key; the tenant's expired ones go."""
    of_tenant = StreamTicketRow.tenant_id == tenant_id
    session.execute(delete(StreamTicketRow).where(of_tenant, _is_over()))
    session.execute(
        insert(StreamTicketRow).values(
            tenant_id=tenant_id, digest=digest, key_digest=key_digest, expires_at=expires_at
        )
    )


def take_ticket(session: Session, tenant_id: UUID, digest: bytes) -> bytes | None:
    """The digest of the key that a ticket stood for, None if there is no such ticket any more."""
    taken = (
        delete(StreamTicketRow)
        .where(
            StreamTicketRow.tenant_id == tenant_id, StreamTicketRow.digest == digest, ~_is_over()
        )
        .returning(StreamTicketRow.key_digest)
    )
    key_digest: bytes | None = session.execute(taken).scalar_one_or_none()
    return None if key_digest is None else bytes(key_digest)


def _is_over() -> ColumnElement[bool]:
    return StreamTicketRow.expires_at <= func.now()
