"""What an operator may change of tenants and keys, the same by commands and over HTTP: each change
is one transaction, and put on record once it is committed.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from uuid_utils.compat import uuid7

from .auth import hash_secret
from .config import Settings
from .domain import tenancy
from .domain.access import OPERATOR_TENANT_ID, ApiKey, Holder, Tenant
from .domain.identity import format_time
from .errors import Conflict, FieldError, InvalidInput, NotFound, NotManagedHere
from .pipeline.capacity import StorageReport, measure
from .store import tenants as store
from .store.session import Database

SECRET_BYTES = 32  # 256 bits
PREFIX_CHARS = 8  # of the secret, shown to tell keys apart
NO_REDACTION_KEY = (
    "Set OPSLEDGER_REDACTION_KEY on all hosts first: with it they know that tenants have policies,"
    " and withhold what one could conceal until they know it"
)


class NoSuchTenant(NotFound):
    """There is no such tenant."""


class NoSuchKey(NotFound):
    """There is no such key."""


class KeyExpired(Conflict):
    """The key has expired."""


class PutOnRecord(Protocol):
    """How a change is noted, with who made it and from where."""

    def __call__(
        self,
        tenant_id: UUID,
        action: str,
        resource_type: str,
        resource_id: str,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        """Note it in the tenant's audit log."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, with its secret, which is shown this once."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """A key that takes the place of another, which works until `ends_at`."""

    new: NewKey
    old: ApiKey
    ends_at: datetime


class Administration:
    """The changes.

    Args:
        database: the maintenance role's.
        put_on_record: called after each change.
        environment: stands in every new key.
        may_conceal: whether the platform has the key that redaction policies need.
        retention_days: the least and the most days for which a tenant may have its logs kept.
    """

    def __init__(
        self,
        database: Database,
        put_on_record: PutOnRecord,
        environment: str,
        *,
        may_conceal: bool,
        retention_days: tuple[int, int],
    ) -> None:
        self._database = database
        self._put_on_record = put_on_record
        self._environment = environment
        self._may_conceal = may_conceal
        self._retention_days = retention_days

    @contextmanager
    def _managing(self, *, snapshot: bool = False) -> Iterator[Any]:
        with self._database.unrestricted_unsafe(snapshot=snapshot) as session:
            if not store.may_manage(session):
                raise NotManagedHere
            yield session

    def storage(self, settings: Settings) -> StorageReport:
        """How storage stands, of all tenants."""
        with self._managing(snapshot=True) as session:
            return measure(session, settings)

    def tenants(self, after: UUID | None, limit: int) -> list[Tenant]:
        """A page of all tenants, oldest first."""
        with managing(self._database) as session:
            return store.list_tenants(session, after=after, limit=limit)

    def tenant(self, name: str) -> Tenant:
        """The tenant of a slug or id.

        Raises:
            NoSuchTenant: there is none.
        """
        with managing(self._database) as session:
            return the_tenant(session, name)

    def create_tenant(self, slug: str, name: str | None = None) -> Tenant:
        """Make a tenant.

        Raises:
            InvalidInput: names the field and its rule.
            Conflict: the slug is taken.
        """
        tenancy.check_slug(slug)
        shown = slug if name is None else name
        tenancy.check_name(shown, tenancy.TENANT_NAME_CHARS_MAX)
        with managing(self._database) as session:
            if not store.add_tenant(session, tenant_id=uuid7(), name=shown, slug=slug):
                raise Conflict(f"There is a tenant {slug!r} already")
            made = the_tenant(session, slug)
        about = {"name": shown, "slug": slug}
        self._put_on_record(made.id, "create", "tenant", str(made.id), after=about)
        return made

    def change_tenant(
        self, name: str, *, shown_name: str | None = None, is_active: bool | None = None
    ) -> tuple[Tenant, bool]:
        """Give a tenant another name, or stop or start to serve its keys; and whether that is news.

        Raises:
            NoSuchTenant: there is none of this slug or id.
            InvalidInput: the new name breaks its rule.
            Conflict: the operator tenant cannot be deactivated.
        """
        if shown_name is not None:
            tenancy.check_name(shown_name, tenancy.TENANT_NAME_CHARS_MAX)
        wanted: dict[str, Any] = {"name": shown_name, "is_active": is_active}
        with managing(self._database) as session:
            old = the_tenant(session, name, lock=True)
            values = {
                field: value
                for field, value in wanted.items()
                if value is not None and value != getattr(old, field)
            }
            if values.get("is_active") is False and old.id == OPERATOR_TENANT_ID:
                raise Conflict("The operator tenant cannot be deactivated")
            if values:
                store.change_tenant(session, old.id, values)
        if values:
            act = "activate" if is_active else "deactivate"
            act = act if set(values) == {"is_active"} else "update"
            before = {field: getattr(old, field) for field in values}
            self._put_on_record(old.id, act, "tenant", str(old.id), before=before, after=values)
        return replace(old, **values), bool(values)

    def settings(self, name: str) -> dict[str, Any]:
        """What is set for a tenant, by name.

        Raises:
            NoSuchTenant: there is none of this slug or id.
        """
        with managing(self._database) as session:
            return store.get_settings(session, the_tenant(session, name).id)

    def change_settings(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Set what is given for a tenant, drop what is given as null; returns all that is set then.

        Raises:
            NoSuchTenant: there is none of this slug or id.
            InvalidInput: names the setting and its rule.
            Conflict: a redaction policy, on a platform without the key that it needs.
        """
        given, dropped = tenancy.read_settings(values)
        tenancy.check_retention(given, *self._retention_days)
        if tenancy.REDACTION in given and not self._may_conceal:
            raise Conflict(NO_REDACTION_KEY)
        with managing(self._database) as session:
            tenant = the_tenant(session, name, lock=True)
            old = store.get_settings(session, tenant.id)
            store.set_settings(session, tenant.id, given, drop=dropped)
            new = store.get_settings(session, tenant.id)
        before, after = ({key: of.get(key) for key in values} for of in (old, new))
        if before != after:
            self._put_on_record(
                tenant.id, "set", "tenant_settings", str(tenant.id), before=before, after=after
            )
        return new

    def keys(self, tenant: str, after: UUID | None, limit: int) -> list[ApiKey]:
        """A page of the keys of a tenant, oldest first.

        Raises:
            NoSuchTenant: there is none of this slug or id.
        """
        with managing(self._database) as session:
            found = the_tenant(session, tenant)
            return store.list_keys(session, found.id, after=after, limit=limit)

    def key(self, name: str) -> ApiKey:
        """The key of an id or shown prefix.

        Raises:
            NoSuchKey: there is none, or more than one of this prefix.
        """
        with managing(self._database) as session:
            return _key(session, name)

    def create_key(
        self,
        tenant: str,
        name: str,
        *,
        scopes: Sequence[str] = tenancy.DEFAULT_SCOPES,
        networks: Sequence[str] = (),
        holder: str = Holder.MACHINE.value,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make a key for a tenant.

        Raises:
            NoSuchTenant: there is none of this slug or id.
            InvalidInput: names the field and its rule.
        """
        tenancy.check_name(name, tenancy.KEY_NAME_CHARS_MAX)
        terms = {"networks": tenancy.read_networks(networks), "holder": tenancy.read_holder(holder)}
        with managing(self._database) as session:
            found = the_tenant(session, tenant)
            read = tenancy.read_scopes(scopes, of_operator=found.id == OPERATOR_TENANT_ID)
            tenancy.check_end(expires_at, datetime.now(UTC), _days_max(session, found.id))
            made = self._add_key(session, found.id, name, read, expires_at, **terms)
        self._put_on_record(
            found.id, "create", "api_key", str(made.key.id), after=described(made.key)
        )
        return made

    def change_key(self, name: str, changes: Mapping[str, Any]) -> ApiKey:
        """Change a key's name, scopes, networks, holder or expires_at; it is effective in every
        process within OPSLEDGER_KEY_CACHE_S.

        Raises:
            NoSuchKey: there is none of this id or prefix.
            InvalidInput: names the field and its rule.
            Conflict: it was revoked.
        """
        values = _read_changes(changes)
        with managing(self._database) as session:
            old = _living_key(session, name)
            if "scopes" in values:
                of_operator = old.tenant_id == OPERATOR_TENANT_ID
                values["scopes"] = tenancy.read_scopes(values["scopes"], of_operator=of_operator)
            if "expires_at" in values:
                days_max = _days_max(session, old.tenant_id)
                tenancy.check_end(values["expires_at"], datetime.now(UTC), days_max)
            stored = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
            store.change_key(session, old, stored)
        new = replace(old, **values)
        before, after = ({field: described(key)[field] for field in values} for key in (old, new))
        act = "restrict" if set(values) == {"networks"} else "update"
        self._put_on_record(old.tenant_id, act, "api_key", str(old.id), before=before, after=after)
        return new

    def rotate_key(self, name: str, overlap: timedelta) -> Rotation:
        """Replace a key by a new one that may do the same; the old one works until an overlap ends.

        Raises:
            NoSuchKey: there is none of this id or prefix.
            InvalidInput: the overlap is too long.
            Conflict: it was rotated or revoked already.
            KeyExpired: its successor would have expired with it.
        """
        tenancy.check_overlap(overlap)
        now = datetime.now(UTC)
        with managing(self._database) as session:
            old = _living_key(session, name)
            _check_rotatable(old, now)
            expires_at = _end_of_successor(old, now, _days_max(session, old.tenant_id))
            made = self._add_key(
                session,
                old.tenant_id,
                old.name,
                old.scopes,
                expires_at,
                networks=old.networks,
                holder=old.holder,
            )
            store.revoke_keys(session, [old], now + overlap)
        self._put_on_record(
            old.tenant_id,
            "rotate",
            "api_key",
            str(old.id),
            before=described(old),
            after={**described(made.key), "old_key_ends_at": format_time(now + overlap)},
        )
        return Rotation(made, old, now + overlap)

    def revoke_key(self, name: str) -> ApiKey:
        """End a key now.

        Raises:
            NoSuchKey: there is none of this id or prefix.
            Conflict: it was revoked already.
        """
        now = datetime.now(UTC)
        with managing(self._database) as session:
            old = _living_key(session, name)
            store.revoke_keys(session, [old], now)
        self._put_on_record(old.tenant_id, "revoke", "api_key", str(old.id), before=described(old))
        return replace(old, revoked_at=now)

    def _add_key(
        self,
        session: Any,
        tenant_id: UUID,
        name: str,
        scopes: tuple[str, ...],
        expires_at: datetime | None,
        **terms: Any,
    ) -> NewKey:
        lead = f"ops_{self._environment}_"
        secret = lead + secrets.token_hex(SECRET_BYTES)
        key = ApiKey(
            tenant_id=tenant_id,
            id=uuid7(),
            name=name,
            prefix=secret[: len(lead) + PREFIX_CHARS],
            scopes=scopes,
            created_at=datetime.now(UTC),
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
            **terms,
        )
        store.add_key(session, key, hash_secret(secret))
        return NewKey(key, secret)


def described(key: ApiKey) -> dict[str, Any]:
    """What an audit log says of a key."""
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "networks": list(key.networks),
        "holder": key.holder,
        "expires_at": format_time(key.expires_at) if key.expires_at else None,
    }


@contextmanager
def managing(database: Database) -> Iterator[Any]:
    """A transaction over all tenants.

    Raises:
        NotManagedHere: the role may not manage them.
    """
    with database.unrestricted_unsafe() as session:
        if not store.may_manage(session):
            raise NotManagedHere
        yield session


def the_tenant(session: Any, name: str, *, lock: bool = False) -> Tenant:
    """The tenant of a slug or id.

    Args:
        lock: whether nobody else shall change it before this transaction ends.

    Raises:
        NoSuchTenant: there is none.
    """
    found = store.find_tenant(session, name, lock=lock)
    if found is None:
        raise NoSuchTenant(f"There is no tenant {name!r}")
    return found


def _key(session: Any, name: str, *, lock: bool = False) -> ApiKey:
    found = store.find_keys(session, name, lock=lock)
    if len(found) != 1:
        raise NoSuchKey(f"There is no single key {name!r}")
    return found[0]


def _living_key(session: Any, name: str) -> ApiKey:
    key = _key(session, name, lock=True)
    if key.revoked_at is not None and key.revoked_at <= datetime.now(UTC):
        raise Conflict(f"Key {key.prefix} was revoked already")
    return key


def _check_rotatable(key: ApiKey, now: datetime) -> None:
    """Refuse a key that has a successor, or whose successor would have expired with it."""
    if key.revoked_at is not None:
        raise Conflict(f"Key {key.prefix} was rotated already; revoke ends it now")
    if key.expires_at is not None and key.expires_at <= now:
        raise KeyExpired(f"Key {key.prefix} has expired; make a new one")


def _end_of_successor(old: ApiKey, now: datetime, days_max: int | None) -> datetime | None:
    """When a new key ends: with the old one, or as soon as its tenant lets keys live."""
    if days_max is None:
        return old.expires_at
    latest = now + timedelta(days=days_max)
    return min(old.expires_at or latest, latest)


def _days_max(session: Any, tenant_id: UUID) -> int | None:
    found: int | None = store.get_settings(session, tenant_id).get("key_days_max")
    return found


def _read_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as they are stored, as far as they can be judged without the key."""
    if not changes:
        rule = "must set at least one of: expires_at, holder, name, networks, scopes"
        raise InvalidInput(FieldError("body", rule))
    values = dict(changes)
    if "name" in values:
        tenancy.check_name(values["name"], tenancy.KEY_NAME_CHARS_MAX)
    if "networks" in values:
        values["networks"] = tenancy.read_networks(values["networks"])
    if "holder" in values:
        values["holder"] = tenancy.read_holder(values["holder"])
    return values
