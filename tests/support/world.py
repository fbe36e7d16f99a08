"""A small world to test in: tenants and keys made as the CLI makes them, and ways to ask."""

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import flask
from flask.testing import FlaskClient
from uuid_utils.compat import uuid7

from app.auth import hash_secret
from app.capture import log_action
from app.capture.recorder import EXTENSION
from app.config import Settings
from app.domain.access import OPERATOR_TENANT_ID, ApiKey, Scope
from app.domain.codec import encode
from app.domain.records import ActionRecord, ActionStatus, AuditRecord, Record
from app.extension import Opsledger
from app.factory import close_app, create_app
from app.pipeline.persist import Outcome, Persister
from app.store import tenants as store
from app.store.session import Database

ALL_SCOPES = tuple(scope.value for scope in Scope)
WAIT_S = 20.0  # how long a record may take to arrive on a slow, busy machine


def record_id(at: datetime | None = None) -> UUID:
    """A record's id: a UUIDv7 of the given moment, or of now."""
    milliseconds = int((at or datetime.now(UTC)).timestamp() * 1000)
    random = secrets.randbits(62)
    return UUID(
        int=milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0x2 << 62 | random
    )


def action(tenant_id: UUID, *, at: datetime | None = None, **values: Any) -> ActionRecord:
    """A valid action record made at a moment, with the given values."""
    defaults: dict[str, Any] = {
        "id": record_id(at),
        "action_type": "crm_create",
        "provider_name": "hubspot",
        "request_payload": {},
        "response_data": None,
        "status": ActionStatus.SUCCESS,
        "error_message": None,
        "execution_time_ms": 12,
    }
    chosen = {**defaults, **values, "tenant_id": tenant_id}
    return ActionRecord(**{**chosen, "status": ActionStatus(chosen["status"])})


def audit(tenant_id: UUID, *, at: datetime | None = None, **values: Any) -> AuditRecord:
    """A valid audit record made at a moment, with the given values."""
    defaults: dict[str, Any] = {
        "id": record_id(at),
        "user_id": "user-1",
        "action": "update",
        "resource_type": "contact",
        "resource_id": "c-1",
        "changes": {"before": {"a": 1}, "after": {"a": 2}},
        "ip_address": "192.0.2.1",
        "user_agent": None,
    }
    return AuditRecord(**{**defaults, **values, "tenant_id": tenant_id})


def lines_of(*records: Record) -> bytes:
    """A shipment's bytes: one record a line."""
    return b"\n".join(encode(record) for record in records)


def eventually(check: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Look again and again until something is so; fail if it never is."""
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        time.sleep(0.02)


def problem_of(response: Any, status: int) -> dict[str, Any]:
    """The problem details of a response, which has this status and keeps to the contract."""
    body: dict[str, Any] = response.get_json(silent=True) or {}
    assert response.status_code == status, response.get_data(as_text=True)[:2000]
    assert response.content_type == "application/problem+json"
    assert list(body)[:5] == ["type", "title", "status", "detail", "request_id"]
    assert body["status"] == status
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert all(
        isinstance(body[name], str) and body[name] for name in list(body)[:5] if name != "status"
    )
    told = {"type", "title", "status", "detail", "request_id", "errors"}
    if body["type"].startswith("urn:opsledger:problem:provider-"):
        told |= {"code", "provider_code"}
    assert set(body) <= told
    for error in body.get("errors", []):
        assert list(error) == ["field", "detail"]
        assert error["field"]
        assert error["detail"]
    return body


def refused_fields(response: Any) -> dict[str, str]:
    """What a 400 says of each field it names; it names at least one."""
    errors = problem_of(response, 400).get("errors", [])
    assert errors, "a 400 names the field"
    return {error["field"]: error["detail"] for error in errors}


def next_page(response: Any) -> str | None:
    """Where the Link header leads to, or None on the last page."""
    # A URI is ASCII without spaces; a server would refuse to send anything else in a header.
    found = re.fullmatch(r'<([!-;=?-~]+)>; rel="next"', response.headers.get("Link", ""))
    assert found or "Link" not in response.headers
    return found.group(1) if found else None


def follow(reader: "Inhabitant", path: str) -> Iterator[list[dict[str, Any]]]:
    """Every page of a list, from a path on along the Link header to its end."""
    at: str | None = path
    visited: set[str] = set()
    while at is not None:
        assert at not in visited, "a link that leads in a circle"
        visited.add(at)
        response = reader.get(at)
        assert response.status_code == 200, response.get_data(as_text=True)[:2000]
        yield response.json
        at = next_page(response)


@cache
def worker_database(url: str) -> Database:
    """The shared database as the worker role."""
    return Database.connect(url)


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

    address = ""  # where browsers reach it, if it is served to them

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

    def operator(self) -> Inhabitant:
        """A key of the operator tenant, which administers."""
        secret = f"ops_test_{uuid7().hex}"
        self.give_key(OPERATOR_TENANT_ID, secret, ALL_SCOPES)
        return Inhabitant(OPERATOR_TENANT_ID, "operator", secret, self.app.test_client())

    def give_key(self, tenant_id: UUID, secret: str, scopes: Iterable[str], **key: Any) -> ApiKey:
        """A further key of a tenant."""
        values: dict[str, Any] = {
            "name": "test",
            "expires_at": None,
            "revoked_at": None,
            "last_used_at": None,
        }
        made = ApiKey(
            tenant_id=tenant_id,
            id=uuid7(),
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

    def put(self, *records: Record) -> Outcome:
        """Records as a worker commits them, at once and without a broker."""
        database = worker_database(self.opsledger.settings.url_of("worker"))
        return Persister(database).persist(uuid4(), lines_of(*records))

    def arrive(self) -> None:
        """Wait until Postgres holds everything captured so far."""
        assert self.opsledger.shipper.flush(WAIT_S), "records did not arrive in time"


@contextmanager
def opened(settings: Settings, maintenance: Database) -> Iterator[World]:
    """A further app on the shared database, as another process of the same host would be."""
    app = create_app(settings)
    try:
        yield World(app, maintenance)
    finally:
        close_app(app, grace_s=0)
