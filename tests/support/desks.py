"""Desks: a tenant's provider for one capability, and the fake behind it if it is elsewhere; what
the contract suites run on.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.config import load_settings
from app.domain.resources import Resource
from app.providers import google
from app.providers.catalogue import KINDS, kinds_of
from app.providers.protocols import CAPABILITIES, Capability
from app.store.provider_accounts import delete_account, put_account
from app.store.session import Database
from app.vault import new_key
from tests.support import fake_google, fake_hubspot, fake_zendesk
from tests.support.adapter import Direct
from tests.support.fakes import Fake
from tests.support.peer import serving
from tests.support.world import World, opened

GOOGLE = {
    "client_id": "client",
    "client_secret": fake_google.SECRET,
    "refresh_token": fake_google.REFRESH,
}
FAKES: dict[str, tuple[type[Fake], dict[str, str], dict[str, str]]] = {
    # the fake, credentials, options
    "hubspot": (
        fake_hubspot.FakeHubSpot,
        {"access_token": fake_hubspot.TOKEN},
        {"properties": "tier", "portal_id": "77"},
    ),
    "zendesk": (
        fake_zendesk.FakeZendesk,
        {"email": fake_zendesk.EMAIL, "api_token": fake_zendesk.TOKEN},
        {"subdomain": "acme"},
    ),
    "google_calendar": (fake_google.FakeCalendar, GOOGLE, {}),
    "gmail": (fake_google.FakeGmail, GOOGLE, {"user": "ann@example.com"}),
}
SECRETS = [value for _, given, _ in FAKES.values() for value in given.values() if "secret" in value]
EVERY = [(name, provider) for name in CAPABILITIES for provider in kinds_of(name)]
TIMEOUT_S = 0.7  # a fake answers at once, unless the machine is busy
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEW: dict[str, dict[str, Any]] = {
    "crm": {"email": "ann@example.com", "first_name": "Ann", "properties": {"tier": "gold"}},
    "helpdesk": {"subject": "It broke", "description": "It broke at noon.", "tags": ["a", "b"]},
    "calendar": {
        "title": "Review",
        "start": NOON,
        "end": NOON + timedelta(hours=1),
        "attendees": ["bob@example.com"],
    },
    "email": {"to": ["bob@example.com"], "subject": "Grüße", "text": "Hello Bob\n"},
    "knowledge": {"title": "How to mend it", "text": "Turn it off and on again."},
}
CHANGES: dict[str, dict[str, Any]] = {
    "crm": {"company": "Ä & Söhne", "first_name": None},
    "helpdesk": {"status": "solved", "priority": "high"},
    "calendar": {"title": "Moved", "location": "Room 1"},
    "knowledge": {"text": "Buy a new one."},
}
FIRST = {
    "crm": "crm_create",
    "helpdesk": "helpdesk_create_ticket",
    "calendar": "calendar_create_event",
    "email": "email_send",
    "knowledge": "knowledge_store",
}


@dataclass
class Desk:
    """A tenant's provider, and the fake behind it if it is elsewhere."""

    name: str
    provider: str
    call: Direct
    tenant: UUID
    fake: Fake | None
    world: World
    made: int = 0

    def make(self, **values: Any) -> Any:
        """A new thing; each contact has an address of its own."""
        given = {**NEW[self.name], **values}
        if self.name == "crm" and "email" not in values:
            self.made += 1
            given["email"] = f"p{self.made}@example.com"
        method = "send" if self.name == "email" else "create"
        return getattr(self.call, method)(self.tenant, given)

    def page(self, limit: int = 100, after: str | None = None) -> Any:
        """A page of the list."""
        window = {"since": None, "until": None} if self.name == "calendar" else {}
        return self.call.list(self.tenant, limit=limit, after=after, **window)


@pytest.fixture(scope="module")
def calling_world(
    environment: dict[str, str],
    maintenance: Database,
    worker: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A live app that may call this host, and waits for nobody long."""
    settings = replace(
        load_settings(environment),
        data_dir=tmp_path_factory.mktemp("contract"),
        flush_interval_ms=5,
        flush_pause_ms=5,
        private_destinations=("127.0.0.1/32",),
        provider_backoff_s=0.001,
        provider_attempts_max=2,
        provider_failures_max=1_000,
        credential_keys=new_key(),
    )
    with opened(settings, maintenance) as made:
        yield made


@pytest.fixture
def desk(request: pytest.FixtureRequest, calling_world: World) -> Iterator[Desk]:
    """The desk of a capability and provider, of a new tenant."""
    world = calling_world
    name, provider = request.param
    tenant, fake = world.settle().tenant_id, None
    google._logins.clear()
    providers = world.app.extensions["opsledger-providers"]
    with ExitStack() as stack:
        options: dict[str, Any] = {"timeout_s": TIMEOUT_S}
        credentials: dict[str, str] = {}
        if provider in FAKES:
            kind, credentials, more = FAKES[provider]
            fake = kind()
            peer = stack.enter_context(serving(fake.answer))
            options |= {**more, "base_url": peer.url}
            if credentials is GOOGLE:
                options["token_url"] = f"{peer.url}/token"
        assert KINDS[provider].parted({**options, **credentials}) == (options, credentials)
        locked = providers.vault.lock(tenant, name, credentials) if credentials else None
        with world.maintenance.unrestricted_unsafe() as session:
            put_account(
                session, tenant, name, provider=provider, options=options, credentials=locked
            )
        call = Direct(providers, Capability(name), FIRST[name])
        yield Desk(name, provider, call, tenant, fake, world)
        with world.maintenance.unrestricted_unsafe() as session:
            delete_account(session, tenant, name)
        if fake is not None:
            assert fake.mistakes == []


def records(desk: Desk) -> list[dict[str, Any]]:
    """The tenant's action logs, oldest first, as Postgres has them."""
    desk.world.arrive()
    with desk.world.maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM action_logs WHERE tenant_id = :tenant ORDER BY id")
        found = session.execute(statement, {"tenant": desk.tenant}).mappings()
        return [dict(row) for row in found]


def of(*names: str, but: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Run on every provider of these capabilities."""
    chosen = [one for one in EVERY if one[0] in names and one[1] not in but]
    return pytest.mark.parametrize("desk", chosen, indirect=True, ids="-".join)


ALL = tuple(CAPABILITIES)
CHANGED = ("crm", "helpdesk", "calendar", "knowledge")


def shown_alike(made: Resource, given: dict[str, Any]) -> None:
    """A resource has what it was given."""
    for field, value in given.items():
        assert getattr(made, field) == value, field
