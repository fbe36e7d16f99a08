"""A small world to test in: tenants and keys made as the CLI makes them, and ways to ask."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import flask
from flask.testing import FlaskClient
from uuid_utils.compat import uuid7

from app.auth import hash_secret
from app.capture import log_action
from app.capture.recorder import EXTENSION
from app.domain.access import ApiKey, Scope
from app.extension import Opsledger
from app.store import tenants as store
from app.store.session import Database

ALL_SCOPES = tuple(scope.value for scope in Scope)
WAIT_S = 20.0  # how long a record may take to arrive on a slow, busy machine


@dataclass(frozen=True)
class Inhabitant:
    """A tenant and its key, and a client that sends the key."""

    tenant_id: UUID
    slug: str
    secret: str
    client: FlaskClient

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.secret}

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, headers=self.headers, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.client.post(path, headers=self.headers, **options)

    def patch(self, path: str, **options: Any) -> Any:
        return self.client.patch(path, headers=self.headers, **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self.client.delete(path, headers=self.headers, **options)


class World:
    """One app on the shared database, with its own spool."""

    def __init__(self, app: flask.Flask, maintenance: Database) -> None:
        self.app = app
        self.maintenance = maintenance
        self.opsledger: Opsledger = app.extensions[EXTENSION]

    def settle(self, scopes: Iterable[str] = ALL_SCOPES, **key: Any) -> Inhabitant:
        """A new tenant with a key of the given scopes."""
        tenant_id, secret = uuid7(), f"ops_test_{uuid7().hex}"
        slug = f"t-{tenant_id.hex}"
        with self.maintenance.unrestricted_unsafe() as session:
            store.add_tenant(session, tenant_id=tenant_id, name="A tenant", slug=slug)
        self.give_key(tenant_id, secret, scopes, **key)
        return Inhabitant(tenant_id, slug, secret, self.app.test_client())

    def give_key(self, tenant_id: UUID, secret: str, scopes: Iterable[str], **key: Any) -> ApiKey:
        """A further key of a tenant."""
        values: dict[str, Any] = {"expires_at": None, "revoked_at": None, "last_used_at": None}
        made = ApiKey(
            tenant_id=tenant_id,
            id=uuid7(),
            name="test",
            prefix=secret[:17],
            scopes=tuple(scopes),
            created_at=datetime.now(UTC),
            **{**values, **key},
        )
        with self.maintenance.unrestricted_unsafe() as session:
            store.add_key(session, made, hash_secret(secret))
        return made

    def log(self, tenant_id: UUID, **values: Any) -> UUID:
        """An action record, as a caller outside of any request makes it."""
        defaults: dict[str, Any] = {
            "action_type": "crm_create",
            "provider_name": "hubspot",
            "status": "success",
            "execution_time_ms": 12,
        }
        with self.app.app_context():
            return log_action(tenant_id=tenant_id, **{**defaults, **values})

    def arrive(self) -> None:
        """Wait until Postgres holds everything captured so far."""
        assert self.opsledger.shipper.flush(WAIT_S), "records did not arrive in time"
