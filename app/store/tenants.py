"""Tenants and API keys: managed as the maintenance role, looked up as the web role."""

from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_network
from uuid import UUID

from sqlalchemy import String, cast, insert, select, text, update
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


def list_tenants(session: Session) -> list[Tenant]:
    """Every tenant, oldest first."""
    rows = session.execute(select(*_TENANT).order_by(TenantRow.created_at, TenantRow.slug))
    return [Tenant(**row) for row in rows.mappings()]


def find_tenant(session: Session, name: str) -> Tenant | None:
    """The tenant of a slug or of a UUID's text."""
    statement = select(*_TENANT).where(
        (TenantRow.slug == name) | (cast(TenantRow.id, String) == name.lower())
    )
    row = session.execute(statement).mappings().first()
    return None if row is None else Tenant(**row)


def set_tenant_active(session: Session, tenant_id: UUID, active: bool) -> None:
    """Open or close a tenant's door; its records stay."""
    session.execute(update(TenantRow).where(TenantRow.id == tenant_id).values(is_active=active))


def add_key(session: Session, key: ApiKey, secret_sha256: bytes) -> None:
    """Add an API key, of whose secret only the hash is kept."""
    values = {column.name: getattr(key, column.name) for column in _KEY}
    values |= {"scopes": list(key.scopes), "networks": list(key.networks)}
    session.execute(insert(ApiKeyRow).values(**values, secret_sha256=secret_sha256))


def list_keys(session: Session, tenant_id: UUID) -> list[ApiKey]:
    """The keys of a tenant, oldest first."""
    statement = select(*_KEY).where(ApiKeyRow.tenant_id == tenant_id).order_by(ApiKeyRow.created_at)
    return [_key(row) for row in session.execute(statement).mappings()]


def find_keys(session: Session, name: str) -> list[ApiKey]:
    """The keys whose shown prefix or id is `name`."""
    statement = select(*_KEY).where(
        (ApiKeyRow.prefix == name) | (cast(ApiKeyRow.id, String) == name.lower())
    )
    return [_key(row) for row in session.execute(statement).mappings()]


def revoke_keys(session: Session, keys: Iterable[ApiKey], at: datetime) -> None:
    """Let keys end at a moment, now or, for a rotation's overlap, later."""
    for key in keys:
        session.execute(
            update(ApiKeyRow)
            .where(ApiKeyRow.tenant_id == key.tenant_id, ApiKeyRow.id == key.id)
            .values(revoked_at=at)
        )


def bind_key(session: Session, key: ApiKey, networks: Iterable[str]) -> None:
    """Let a key be used from these networks alone; from everywhere if there are none."""
    session.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.tenant_id == key.tenant_id, ApiKeyRow.id == key.id)
        .values(networks=list(networks))
    )


def find_principal(session: Session, secret_sha256: bytes) -> Principal | None:
    """Who the key with this hash speaks for, whether or not it may still be used."""
    row = (
        session.execute(text("SELECT * FROM look_up_api_key(:digest)"), {"digest": secret_sha256})
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
