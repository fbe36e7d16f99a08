"""What a key is bound to: where it may be used, and that its use and its end are noticed."""

import ipaddress
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.config import Settings
from app.domain.access import Principal
from app.store import tenants as store
from app.store.session import Database
from tests.support.world import ALL_SCOPES, Inhabitant, World, opened, problem_of

ROOT = Path(__file__).parents[2]
ACTIONS = "/api/v1/logs/actions"

# A web process of its own, that knocks at its own door until the key is refused.
KNOCKING = """
import os, sys, time
from app.factory import create_app
client = create_app().test_client()
status = None
deadline = time.monotonic() + 30
while status != 401 and time.monotonic() < deadline:
    before = status
    status = client.get(sys.argv[1], headers={"X-API-Key": os.environ["KEY"]}).status_code
    if status != before:
        print(status, time.time(), flush=True)
    time.sleep(0.02)
os._exit(0)
"""


def from_address(tenant: Inhabitant, address: str, **headers: str) -> Any:
    """A request that reaches the app from an address."""
    return tenant.client.get(
        ACTIONS,
        headers={**tenant.headers, **headers},
        environ_overrides={"REMOTE_ADDR": address},
    )


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ((), "203.0.113.9", True),
        ((), "", True),
        (("203.0.113.0/24",), "203.0.113.9", True),
        (("203.0.113.0/24",), "203.0.114.9", False),
        (("203.0.113.9/32",), "203.0.113.9", True),
        (("203.0.113.9/32",), "203.0.113.8", False),
        (("203.0.113.0/24",), "::ffff:203.0.113.9", True),  # a socket that serves both families
        (("203.0.113.0/24",), "2001:db8::1", False),
        (("2001:db8::/32",), "2001:db8:1::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("10.0.0.0/8", "2001:db8::/32"), "10.1.2.3", True),
        (("10.0.0.0/8",), "", False),
        (("10.0.0.0/8",), "10.1.2.3, 10.1.2.4", False),
        (("10.0.0.0/8",), "nonsense", False),
        (("0.0.0.0/0",), "nonsense", False),
    ],
)
def test_a_key_is_taken_from_its_networks_alone(
    world: World, networks: tuple[str, ...], address: str, allowed: bool
) -> None:
    """Whoever cannot be told where from is not from there; no list means everywhere."""
    response = from_address(world.settle(networks=networks), address)
    if allowed:
        assert response.status_code == 200
    else:
        assert "may not be used from" in problem_of(response, 403)["detail"]


def test_a_caller_cannot_claim_an_address(settings: Settings, maintenance: Database) -> None:
    """X-Forwarded-For counts only as far as proxies of ours wrote it."""
    claimed = {"X-Forwarded-For": "10.0.0.1"}
    for proxies, status in ((0, 403), (1, 200)):
        with opened(replace(settings, trusted_proxies=proxies), maintenance) as world:
            tenant = world.settle(networks=("10.0.0.0/8",))
            assert from_address(tenant, "203.0.113.9", **claimed).status_code == status
            spoofed = {"X-Forwarded-For": "10.0.0.1, 198.51.100.7"}
            assert from_address(tenant, "203.0.113.9", **spoofed).status_code == 403


def test_networks_are_compared_as_networks() -> None:
    """Not as text."""
    principal = Principal(
        key_id=(nobody := UUID(int=1)),
        tenant_id=nobody,
        tenant_active=True,
        prefix="p",
        scopes=frozenset(),
        networks=(ipaddress.ip_network("10.0.0.0/8"),),
        expires_at=None,
        revoked_at=None,
    )
    assert principal.usable_from("10.255.255.255")
    assert not principal.usable_from("11.0.0.0")
    assert not principal.usable_from(None)


def used_at(database: Database, tenant: Inhabitant) -> Any:
    """When the tenant's only key was last used, by its row."""
    with database.unrestricted_unsafe() as session:
        statement = text("SELECT last_used_at FROM api_keys WHERE tenant_id = :tenant")
        return session.execute(statement, {"tenant": tenant.tenant_id}).scalar_one()


def set_used(database: Database, tenant: Inhabitant, at: datetime) -> None:
    with database.unrestricted_unsafe() as session:
        session.execute(
            text("UPDATE api_keys SET last_used_at = :at WHERE tenant_id = :tenant"),
            {"at": at, "tenant": tenant.tenant_id},
        )


@pytest.fixture
def forgetful(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app that looks a key up at every request."""
    with opened(replace(settings, key_cache_s=0.000001), maintenance) as world:
        yield world


def test_the_use_of_a_key_is_written_once_a_minute(forgetful: World, maintenance: Database) -> None:
    """However often it is looked up."""
    tenant = forgetful.settle()
    now = datetime.now(UTC)
    for ago, written in ((timedelta(seconds=50), False), (timedelta(seconds=70), True)):
        set_used(maintenance, tenant, now - ago)
        assert [tenant.get(ACTIONS).status_code for _ in range(3)] == [200] * 3
        assert (used_at(maintenance, tenant) != now - ago) == written


def test_the_use_of_a_key_that_is_about_to_end_is_noted(
    world: World, maintenance: Database
) -> None:
    """Whether the old key of a rotation is still in use; of one that has ended, nothing."""
    now = datetime.now(UTC)
    ahead, over = now + timedelta(hours=1), now - timedelta(hours=1)
    for ends, noted in (
        ({"revoked_at": ahead}, True),
        ({"expires_at": ahead}, True),
        ({"revoked_at": over}, False),
        ({"expires_at": over}, False),
    ):
        tenant = world.settle(**ends)
        tenant.get(ACTIONS)
        assert (used_at(maintenance, tenant) is not None) == noted, ends


def test_a_command_that_holds_a_key_keeps_no_request_waiting(
    world: World, maintenance: Database
) -> None:
    """The note of its use is left out then."""
    tenant = world.settle()
    with maintenance.unrestricted_unsafe() as session:
        session.execute(
            text("SELECT 1 FROM api_keys WHERE tenant_id = :tenant FOR UPDATE"),
            {"tenant": tenant.tenant_id},
        )
        started = time.monotonic()
        assert tenant.get(ACTIONS).status_code == 200
        assert time.monotonic() - started < 2
    assert used_at(maintenance, tenant) is None


def test_a_revocation_reaches_every_process_within_five_seconds(
    world: World, environment: dict[str, str], tmp_path: Path, maintenance: Database
) -> None:
    """Two web processes with the settings that come with the product."""
    tenant = world.settle()
    knockers = []
    for number in range(2):
        env = {
            **os.environ,
            **environment,
            "KEY": tenant.secret,
            "OPSLEDGER_DATA_DIR": str(tmp_path / str(number)),
        }
        argv = [sys.executable, "-c", KNOCKING, ACTIONS]
        knockers.append(
            subprocess.Popen(argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        )
    try:
        for knocker in knockers:
            assert knocker.stdout is not None
            assert knocker.stdout.readline().startswith("200 ")
        with maintenance.unrestricted_unsafe() as session:
            keys = store.list_keys(session, tenant.tenant_id)
            store.revoke_keys(session, keys, datetime.now(UTC))
        revoked = time.time()
        for knocker in knockers:
            assert knocker.stdout is not None
            status, at = knocker.stdout.readline().split()
            assert status == "401"
            assert float(at) - revoked < 5.5  # the cache's five seconds, and a request
    finally:
        for knocker in knockers:
            knocker.kill()
            knocker.wait()


def test_yesterdays_lookup_still_answers(world: World, environment: dict[str, str]) -> None:
    """Its columns are taken by name, so it must not get a new one."""
    secret = world.settle(ALL_SCOPES).secret
    database = Database.connect(environment["DATABASE_URL"])
    with database.unrestricted_unsafe() as session:
        found = session.execute(
            text("SELECT * FROM find_api_key(sha256(convert_to(:secret, 'UTF8')))"),
            {"secret": secret},
        )
        (row,) = found.mappings()
    database.close()
    assert set(row) == {
        *("key_id", "tenant_id", "tenant_active", "prefix", "scopes", "expires_at", "revoked_at")
    }
