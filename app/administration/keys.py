"""What an operator may change of keys: make, change, rotate and revoke them."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ..auth import hash_secret
from ..domain import tenancy
from ..domain.access import OPERATOR_TENANT_ID, ApiKey, Holder
from ..domain.identity import format_time
from ..errors import Conflict, FieldError, InvalidInput, NotFound
from ..store import tenants as store
from ..store.session import Database
from .managing import PutOnRecord, managing, the_tenant

SECRET_BYTES = 32  # 256 bits
PREFIX_CHARS = 8  # of the secret, shown to tell keys apart


class NoSuchKey(NotFound):
    """There is no such key."""


class KeyExpired(Conflict):
    """The key has expired."""


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


class KeyAdministration:
    """The changes.

    Args:
        database: the maintenance role's.
        put_on_record: called after each change.
        environment: stands in every new key.
    """

    def __init__(self, database: Database, put_on_record: PutOnRecord, environment: str) -> None:
        self._database = database
        self._put_on_record = put_on_record
        self._environment = environment

    def page(self, tenant: str, after: UUID | None, limit: int) -> list[ApiKey]:
        """A page of the keys of a tenant, oldest first.

        Raises:
            NoSuchTenant: there is none of this slug or id.
        """
        with managing(self._database) as session:
            found = the_tenant(session, tenant)
            return store.list_keys(session, found.id, after=after, limit=limit)

    def find(self, name: str) -> ApiKey:
        """The key of an id or shown prefix.

        Raises:
            NoSuchKey: there is none, or more than one of this prefix.
        """
        with managing(self._database) as session:
            return _key(session, name)

    def create(
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
            found.id, "create", "api_key", str(made.key.id), after=_described(made.key)
        )
        return made

    def change(self, name: str, changes: Mapping[str, Any]) -> ApiKey:
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
        before, after = ({field: _described(key)[field] for field in values} for key in (old, new))
        act = "restrict" if set(values) == {"networks"} else "update"
        self._put_on_record(old.tenant_id, act, "api_key", str(old.id), before=before, after=after)
        return new

    def rotate(self, name: str, overlap: timedelta) -> Rotation:
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
            before=_described(old),
            after={**_described(made.key), "old_key_ends_at": format_time(now + overlap)},
        )
        return Rotation(made, old, now + overlap)

    def revoke(self, name: str) -> ApiKey:
        """End a key now.

        Raises:
            NoSuchKey: there is none of this id or prefix.
            Conflict: it was revoked already.
        """
        now = datetime.now(UTC)
        with managing(self._database) as session:
            old = _living_key(session, name)
            store.revoke_keys(session, [old], now)
        self._put_on_record(old.tenant_id, "revoke", "api_key", str(old.id), before=_described(old))
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


def _described(key: ApiKey) -> dict[str, Any]:
    """What an audit log says of a key."""
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "networks": list(key.networks),
        "holder": key.holder,
        "expires_at": format_time(key.expires_at) if key.expires_at else None,
    }


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
