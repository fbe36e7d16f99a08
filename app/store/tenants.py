"""Tenants and API keys: managed as the maintenance role, looked up as the web role."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID

from sqlalchemy import String, cast, insert, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session

from ..domain.access import ApiKey, Principal, Tenant
from .models import ApiKeyRow, TenantRow

_TENANT = (TenantRow.id, TenantRow.name, TenantRow.slug, TenantRow.is_active, TenantRow.created_at)
_KEY = (
    ApiKeyRow.tenant_id,
    ApiKeyRow.id,
    ApiKeyRow.name,
    ApiKeyRow.prefix,
    ApiKeyRow.scopes,
    ApiKeyRow.networks,
    ApiKeyRow.holder,
    ApiKeyRow.created_at,
    ApiKeyRow.expires_at,
    ApiKeyRow.revoked_at,
    ApiKeyRow.last_used_at,
)


def add_tenant(session: Session, *, tenant_id: UUID, name: str, slug: str) -> bool:
    """Add a tenant; False if the slug is taken."""
    from_slug = select(TenantRow.id).where(TenantRow.slug == slug)
    if session.execute(from_slug).first() is not None:
        return False
    session.execute(insert(TenantRow).values(id=tenant_id, name=name, slug=slug))
    return True


def list_tenants(
    session: Session, *, after: UUID | None = None, limit: int | None = None
) -> list[Tenant]:
    """Every tenant, or a page of them, by id: the operator, then in the order of their making."""
    statement = select(*_TENANT).order_by(TenantRow.id).limit(limit)
    if after is not None:
        statement = statement.where(TenantRow.id > after)
    return [Tenant(**row) for row in session.execute(statement).mappings()]


def find_tenant(session: Session, name: str, *, lock: bool = False) -> Tenant | None:
    """The tenant of a slug or of a UUID's text.

    Args:
        lock: whether nobody else shall change it before this transaction ends.
    """
    statement = select(*_TENANT).where(
        (TenantRow.slug == name) | (cast(TenantRow.id, String) == name.lower())
    )
    if lock:
        statement = statement.with_for_update(key_share=True)
    row = session.execute(statement).mappings().first()
    return None if row is None else Tenant(**row)


def change_tenant(session: Session, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    """Change the name of a tenant, or open or close its door; its records stay."""
    session.execute(update(TenantRow).where(TenantRow.id == tenant_id).values(**values))


def get_settings(session: Session, tenant_id: UUID) -> dict[str, Any]:
    """All settings of a tenant that were ever set, by name."""
    statement = select(TenantRow.settings).where(TenantRow.id == tenant_id)
    return dict(session.execute(statement).scalar_one())


def set_settings(
    session: Session, tenant_id: UUID, values: Mapping[str, Any], *, drop: Iterable[str]
) -> None:
    """Set and drop settings of a tenant; those that are not named stay as they are."""
    changed = TenantRow.settings.op("-")(cast(list(drop), ARRAY(String)))
    merged = changed.op("||")(cast(dict(values), JSONB))
    statement = update(TenantRow).where(TenantRow.id == tenant_id).values(settings=merged)
    session.execute(statement)


def add_key(session: Session, key: ApiKey, secret_sha256: bytes) -> None:
    """Add an API key, of whose secret only the hash is kept."""
    values = {column.name: getattr(key, column.name) for column in _KEY}
    values |= {"scopes": list(key.scopes), "networks": list(key.networks)}
    session.execute(insert(ApiKeyRow).values(**values, secret_sha256=secret_sha256))


def list_keys(
    session: Session, tenant_id: UUID, *, after: UUID | None = None, limit: int | None = None
) -> list[ApiKey]:
    """The keys of a tenant, or a page of them, by id: in the order of their making."""
    statement = select(*_KEY).where(ApiKeyRow.tenant_id == tenant_id).order_by(ApiKeyRow.id)
    if after is not None:
        statement = statement.where(ApiKeyRow.id > after)
    return [_key(row) for row in session.execute(statement.limit(limit)).mappings()]


def find_keys(session: Session, name: str, *, lock: bool = False) -> list[ApiKey]:
    """The keys whose shown prefix or id is `name`.

    Args:
        lock: whether nobody else shall change them before this transaction ends.
    """
    statement = select(*_KEY).where(
        (ApiKeyRow.prefix == name) | (cast(ApiKeyRow.id, String) == name.lower())
    )
    if lock:
        statement = statement.with_for_update()
    return [_key(row) for row in session.execute(statement).mappings()]


def revoke_keys(session: Session, keys: Iterable[ApiKey], at: datetime) -> None:
    """Let keys end at a moment, now or, for a rotation's overlap, later."""
    for key in keys:
        session.execute(
            update(ApiKeyRow)
            .where(ApiKeyRow.tenant_id == key.tenant_id, ApiKeyRow.id == key.id)
            .values(revoked_at=at)
        )


def change_key(session: Session, key: ApiKey, values: Mapping[str, Any]) -> None:
    """Change what a key may do, where, until when, and who holds it."""
    session.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.tenant_id == key.tenant_id, ApiKeyRow.id == key.id)
        .values(**values)
    )


def may_manage(session: Session) -> bool:
    """Whether the role of this connection may change tenants and keys."""
    statement = text("SELECT has_table_privilege('api_keys', 'INSERT, UPDATE')")
    return bool(session.execute(statement).scalar_one())


def find_principal(session: Session, secret_sha256: bytes) -> Principal | None:
    """Who the key with this hash speaks for, whether or not it may still be used."""
    row = (
        session.execute(text("SELECT * FROM look_up_held_key(:digest)"), {"digest": secret_sha256})
        .mappings()
        .first()
    )
    if row is None:
        return None
    networks = tuple(ip_network(network) for network in row["networks"])
    return Principal(**{**row, "scopes": frozenset(row["scopes"]), "networks": networks})


def _key(row: object) -> ApiKey:
    values = dict(row)  # type: ignore[call-overload]
    return ApiKey(
        **{**values, "scopes": tuple(values["scopes"]), "networks": tuple(values["networks"])}
    )
