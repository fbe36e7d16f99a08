"""API keys: who is let in, who is not, and how soon a change is effective."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.api import BASE
from app.config import Settings
from app.domain.access import OPERATOR_TENANT_ID, Scope
from app.store import tenants as store
from app.store.session import Database
from tests.support.line import Line
from tests.support.world import (
    ALL_SCOPES,
    Inhabitant,
    World,
    action,
    eventually,
    opened,
    problem_of,
)

ACTIONS = "/api/v1/logs/actions"
OPEN_PATHS = ("/health/live", "/health/ready", "/openapi.json", "/docs", "/")
SIGNED = f"{BASE}/exports/<export_id>/file"  # opened by a link, see test_exports.py
UNUSED = {"resource_type": "a", "operation_id": "a", "contact_id": "a", "resource_id": "a"}
UNUSED_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def quick(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app that forgets a key after a fifth of a second."""
    with opened(replace(settings, key_cache_s=0.2), maintenance) as world:
        yield world


def routes(world: World) -> list[tuple[str, str, Any]]:
    """Method, path and view of every route of the API."""
    found = []
    for rule in world.app.url_map.iter_rules():
        if rule.rule.startswith(BASE) and rule.rule != SIGNED:
            values = {name: UNUSED.get(name, UNUSED_ID) for name in rule.arguments}
            _, path = rule.build(values, append_unknown=False) or ("", "")
            view = world.app.view_functions[rule.endpoint]
            found += [(m, path, view) for m in rule.methods - {"HEAD", "OPTIONS"}]
    assert len(found) >= 14
    return found


def knock(world: World, secret: str | None, path: str = ACTIONS, method: str = "GET") -> Any:
    """A request with a key or without one."""
    headers = {} if secret is None else {"X-API-Key": secret}
    return world.app.test_client().open(path, method=method, headers=headers)


def key_of(database: Database, tenant: Inhabitant) -> Any:
    """The row of a tenant's only key."""
    with database.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM api_keys WHERE tenant_id = :tenant")
        return session.execute(statement, {"tenant": tenant.tenant_id}).one()


def test_every_route_asks_for_a_key(world: World) -> None:
    """Whatever else is wrong with the request; a route cannot be forgotten."""
    for method, path, _ in routes(world):
        problem = problem_of(knock(world, None, path, method), 401)
        assert "X-API-Key" in problem["detail"]


def test_the_documentation_and_health_ask_for_none(world: World) -> None:
    """A load balancer and a newcomer have no key."""
    for path in OPEN_PATHS:
        assert knock(world, None, path).status_code in {200, 302}, path


@pytest.mark.parametrize(
    "secret",
    [
        *("", " ", "x", "test-api-key-12345x", "ops_live_" + "0" * 64, "x" * 256, "x" * 257),
        *("x" * 5000, "ü", "\xff\xfe", "' OR 1=1 --", "Bearer x", "*", "%"),
    ],
)
def test_an_unknown_key_is_refused(world: World, secret: str) -> None:
    """Of any form and length, with the header to use."""
    response = knock(world, secret)
    problem_of(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("ApiKey")


def test_a_key_is_taken_from_the_header_alone(world: World) -> None:
    """A key in a URL ends in logs; other headers mean other schemes."""
    tenant = world.settle()
    client = world.app.test_client()
    query = client.get(f"{ACTIONS}?api_key={tenant.secret}")
    bearer = client.get(ACTIONS, headers={"Authorization": f"Bearer {tenant.secret}"})
    cookie = client.get(ACTIONS, headers={"Cookie": f"X-API-Key={tenant.secret}"})
    for response in (query, bearer, cookie):
        problem_of(response, 401)
    assert client.get(ACTIONS, headers={"x-api-key": tenant.secret}).status_code == 200


def test_a_secret_that_differs_in_one_character_is_refused(world: World) -> None:
    """Cases and spaces matter as well."""
    tenant = world.settle()
    assert knock(world, tenant.secret).status_code == 200
    for other in (tenant.secret[:-1], tenant.secret + "0", tenant.secret.upper()):
        problem_of(knock(world, other), 401)


def test_the_secret_itself_is_nowhere_in_the_database(world: World, maintenance: Database) -> None:
    """Only its SHA-256, and a prefix to tell keys apart."""
    tenant = world.settle()
    row = key_of(maintenance, tenant)
    assert tenant.secret not in str(tuple(row))
    assert len(bytes(row.secret_sha256)) == 32


def test_the_use_of_a_key_is_noted(world: World, maintenance: Database) -> None:
    """So that an unused key can be found and revoked."""
    tenant = world.settle()
    assert key_of(maintenance, tenant).last_used_at is None
    before = datetime.now(UTC)
    assert knock(world, tenant.secret).status_code == 200
    assert key_of(maintenance, tenant).last_used_at >= before - timedelta(seconds=1)


def test_a_key_without_the_scope_of_a_route_is_refused_there(world: World) -> None:
    """Every route needs exactly the scope it names, and says so."""
    tenant = world.settle()
    secrets: dict[str, tuple[str, str]] = {}
    for scope in Scope:
        secrets[scope] = (f"ops_only_{tenant.slug}_{scope}", f"ops_but_{tenant.slug}_{scope}")
        owner = OPERATOR_TENANT_ID if scope is Scope.ADMIN else tenant.tenant_id
        world.give_key(owner, secrets[scope][0], [scope])
        world.give_key(owner, secrets[scope][1], [s for s in ALL_SCOPES if s != scope])
    for method, path, view in routes(world):
        scope = view.required_scope
        alone, all_but = secrets[scope]
        problem = problem_of(knock(world, all_but, path, method), 403)
        assert str(scope) in problem["detail"]
        assert knock(world, alone, path, method).status_code not in {401, 403}


def test_a_key_without_any_scope_opens_nothing(world: World) -> None:
    """It exists, so it is a 403 and no 401."""
    problem_of(world.settle(scopes=()).get(ACTIONS), 403)


def test_the_keys_of_an_inactive_tenant_are_not_served(quick: World, maintenance: Database) -> None:
    """403 soon after, with a sentence that says why; its records stay and are served again."""
    tenant = quick.settle()
    quick.put(action(tenant.tenant_id))
    assert len(tenant.get(ACTIONS).json) == 1
    for active, status in ((False, 403), (True, 200)):
        with maintenance.unrestricted_unsafe() as session:
            store.change_tenant(session, tenant.tenant_id, {"is_active": active})
        eventually(lambda status=status: tenant.get(ACTIONS).status_code == status)
        if not active:
            assert "inactive" in problem_of(tenant.get(ACTIONS), 403)["detail"]
    assert len(tenant.get(ACTIONS).json) == 1


def test_an_expired_key_is_refused(world: World) -> None:
    """From the moment of its expiry on."""
    now = datetime.now(UTC)
    problem_of(world.settle(expires_at=now - timedelta(seconds=1)).get(ACTIONS), 401)
    assert world.settle(expires_at=now + timedelta(hours=1)).get(ACTIONS).status_code == 200


def test_a_key_expires_even_while_it_is_remembered(
    settings: Settings, maintenance: Database
) -> None:
    """A long memory must not make a key live longer."""
    with opened(replace(settings, key_cache_s=600.0), maintenance) as world:
        tenant = world.settle(expires_at=datetime.now(UTC) + timedelta(seconds=1))
        assert tenant.get(ACTIONS).status_code == 200
        eventually(lambda: tenant.get(ACTIONS).status_code == 401, within_s=5)


def test_a_key_whose_revocation_lies_ahead_still_works(world: World) -> None:
    """A rotation lets the old key end later."""
    now = datetime.now(UTC)
    ahead = world.settle(revoked_at=now + timedelta(hours=1))
    assert ahead.get(ACTIONS).status_code == 200
    problem_of(world.settle(revoked_at=now - timedelta(seconds=1)).get(ACTIONS), 401)


def revoke(database: Database, tenant: Inhabitant) -> None:
    """End the tenant's keys now, as another process does."""
    with database.unrestricted_unsafe() as session:
        keys = store.list_keys(session, tenant.tenant_id)
        store.revoke_keys(session, keys, datetime.now(UTC))


def test_a_revocation_is_effective_after_the_cache_time(
    quick: World, settings: Settings, maintenance: Database
) -> None:
    """A process that remembers a key longer serves it longer: that is the setting's meaning."""
    tenant = quick.settle()
    with opened(replace(settings, key_cache_s=600.0), maintenance) as slow:
        for world in (quick, slow):
            assert knock(world, tenant.secret).status_code == 200
        revoke(maintenance, tenant)
        eventually(lambda: knock(quick, tenant.secret).status_code == 401, within_s=5)
        assert knock(slow, tenant.secret).status_code == 200


def test_a_new_key_works_soon_after_it_was_tried_in_vain(quick: World) -> None:
    """That there is no such key is not remembered for ever either."""
    tenant = quick.settle()
    secret = f"ops_late_{tenant.slug}"
    problem_of(knock(quick, secret), 401)
    quick.give_key(tenant.tenant_id, secret, ALL_SCOPES)
    eventually(lambda: knock(quick, secret).status_code == 200, within_s=5)


def test_while_the_database_is_away_no_key_is_called_wrong(
    settings: Settings, maintenance: Database
) -> None:
    """503 with Retry-After: an unknown answer is no 401."""
    line = Line(settings.database_url)
    with opened(replace(settings, database_url=line.url), maintenance) as world:
        tenant, newcomer = world.settle(), world.settle()
        assert tenant.get(ACTIONS).status_code == 200
        line.cut()
        for secret in (tenant.secret, newcomer.secret, "nonsense"):
            response = knock(world, secret)
            problem_of(response, 503)
            assert int(response.headers["Retry-After"]) > 0
        line.mend()
        assert newcomer.get(ACTIONS).status_code == 200
    line.close()
