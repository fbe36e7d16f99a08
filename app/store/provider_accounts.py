"""Provider accounts: which provider each tenant has for each capability."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..domain.accounts import StoredAccount
from .adapter_models import ProviderAccountRow

_COLUMNS = (
    ProviderAccountRow.tenant_id,
    ProviderAccountRow.capability,
    ProviderAccountRow.provider,
    ProviderAccountRow.options,
    ProviderAccountRow.credentials,
    ProviderAccountRow.created_at,
    ProviderAccountRow.updated_at,
)


def find_account(session: Session, tenant_id: UUID, capability: str) -> StoredAccount | None:
    """A tenant's account for a capability, or None."""
    row = session.execute(select(*_COLUMNS).where(*_of(tenant_id, capability))).mappings().first()
    return None if row is None else StoredAccount(**row)


def list_accounts(session: Session, tenant_id: UUID | None = None) -> list[StoredAccount]:
    """The accounts of a tenant, or of all."""
    statement = select(*_COLUMNS).order_by(
        ProviderAccountRow.tenant_id, ProviderAccountRow.capability
    )
    if tenant_id is not None:
        statement = statement.where(ProviderAccountRow.tenant_id == tenant_id)
    return [StoredAccount(**row) for row in session.execute(statement).mappings()]


def put_account(
    session: Session,
    tenant_id: UUID,
    capability: str,
    *,
    provider: str,
    options: dict[str, Any],
    credentials: bytes | None,
) -> None:
    """Set a tenant's account for a capability, in place of the one it had."""
    values = {"provider": provider, "options": options, "credentials": credentials}
    statement = insert(ProviderAccountRow).values(
        tenant_id=tenant_id, capability=capability, **values
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "capability"],
            set_={**values, "updated_at": func.now()},
        )
    )


def delete_account(session: Session, tenant_id: UUID, capability: str) -> bool:
    """Remove a tenant's account for a capability; False if it had none."""
    statement = delete(ProviderAccountRow).where(*_of(tenant_id, capability))
    gone = session.execute(statement.returning(ProviderAccountRow.capability)).first()
    return gone is not None


def _of(tenant_id: UUID, capability: str) -> tuple[Any, Any]:
    return (
        ProviderAccountRow.tenant_id == tenant_id,
        ProviderAccountRow.capability == capability,
    )
