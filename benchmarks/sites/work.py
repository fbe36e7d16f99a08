"""What the application does besides logging, whatever its framework."""

import hashlib
import hmac
import json
import os
import threading
from collections.abc import Mapping
from typing import Any

import requests
from marshmallow import EXCLUDE, Schema, fields, validate
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

PROVIDER = os.environ.get("PROVIDER_URL")
ROUNDS = 30  # of JSON, where there is no provider
KEY = "ops_benchmark_0000000000000000000000000000000000000000"
KEYS = {hashlib.sha256(KEY.encode()).digest(): "a tenant"}

_own = threading.local()
_engine = create_engine(os.environ["OWNER_DATABASE_URL"]) if PROVIDER else None


class Base(DeclarativeBase):
    """The application's own tables."""


class Connection(Base):
    """By what a tenant is known to its provider."""

    __tablename__ = "bench_connections"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str]


def prepare(database_url: str) -> None:
    """Make the application's tables, with the tenant's connection."""
    engine = create_engine(database_url)
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        for tenant in KEYS.values():
            session.add(Connection(tenant=tenant, provider="hubspot", token="pat-1"))
    engine.dispose()


class ContactRequest(Schema):
    """What a caller may say of a contact."""

    email = fields.Email(required=True, validate=validate.Length(max=320))
    firstname = fields.String(validate=validate.Length(max=100))
    lastname = fields.String(validate=validate.Length(max=100))
    properties = fields.Dict(keys=fields.String(), values=fields.String())


class ContactAnswer(Schema):
    """What the caller is told of it."""

    class Meta:
        """A provider may say more than its clients know."""

        unknown = EXCLUDE

    id = fields.String(required=True)
    archived = fields.Boolean()
    email = fields.Email()
    firstname = fields.String()
    lastname = fields.String()
    properties = fields.Dict(keys=fields.String(), values=fields.String())


REQUEST, ANSWER = ContactRequest(), ContactAnswer()


def work(body: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """An adapter's own work: the caller's key is looked up, the request is judged, the tenant's
    connection is read, the provider is asked, its answer is judged and told; without a provider,
    JSON and nothing else.
    """
    return _adapted(PROVIDER, body, headers["X-API-Key"]) if PROVIDER else _bare(body)


def _adapted(url: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    contact = REQUEST.load(body)
    headers = {"Authorization": f"Bearer {_token(_tenant(key), 'hubspot')}"}
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
    answer = _own.session.post(url, json=contact, headers=headers, timeout=30)
    answer.raise_for_status()
    told: dict[str, Any] = ANSWER.dump({**contact, **ANSWER.load(answer.json())})
    return told


def _tenant(key: str) -> str:
    digest = hashlib.sha256(key.encode()).digest()
    for known, tenant in KEYS.items():
        if hmac.compare_digest(digest, known):
            return tenant
    raise PermissionError("no such key")


def _token(tenant: str, provider: str) -> str:
    wanted = select(Connection.token).where(
        Connection.tenant == tenant, Connection.provider == provider
    )
    with Session(_engine) as session:
        return session.scalars(wanted).one()


def _bare(body: dict[str, Any]) -> dict[str, Any]:
    for _ in range(ROUNDS):
        body = json.loads(json.dumps(body))
    return {"id": "12345", "properties": body}
