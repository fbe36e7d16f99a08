"""The service behind a real PgBouncer in transaction mode, which has one server connection for all
that a role asks at once: nobody sees what is another's, and nothing relies on a session.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.config import Settings
from app.store.fold import fold
from app.store.session import Database
from tests.support.host import NOWHERE
from tests.support.ingest import AUDITS, call, change, sent, spooled
from tests.support.pgbouncer import PgBouncer, find_pgbouncer
from tests.support.world import Inhabitant, World, action, audit, opened, worker_database

ROUNDS = 12
CLIENTS = 6  # that ask at once
WEB = "opsledger_web"

pytestmark = pytest.mark.skipif(
    find_pgbouncer() is None, reason="PgBouncer is not installed: no pgbouncer on the PATH"
)


@pytest.fixture(scope="module")
def bouncer(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PgBouncer]:
    """PgBouncer before the shared database."""
    with PgBouncer(tmp_path_factory.mktemp("pgbouncer"), environment) as bouncer:
        yield bouncer


@pytest.fixture
def behind(settings: Settings, bouncer: PgBouncer) -> Settings:
    """The settings of a process that knows Postgres by PgBouncer alone; no broker takes records."""
    urls = {name.lower(): url for name, url in bouncer.urls().items()}
    return replace(settings, **urls, redis_url=NOWHERE["redis_url"])


@pytest.fixture
def world(behind: Settings) -> Iterator[World]:
    """An app of such a process, and its commands' database."""
    database = Database.connect(behind.maintenance_database_url)
    with opened(behind, database) as world:
        yield world
    database.close()
    worker_database(behind.worker_database_url).close()


def put(world: World, who: Inhabitant, number: int) -> None:
    """Records as the worker role commits them, by COPY, and once more, by INSERT."""
    own = {"operation_id": f"{who.slug}-{number}"}
    made = (action(who.tenant_id, **own), action(who.tenant_id, **own), audit(who.tenant_id, **own))
    assert world.put(*made).inserted == 3
    assert world.put(*made).inserted == 0


def look(world: World, who: Inhabitant, number: int) -> None:
    """Lists, details, operations, searches and statistics, all of the tenant alone."""
    asker = replace(who, client=world.app.test_client())

    def rows(path: str) -> list[dict[str, Any]]:
        answer = asker.get(path)
        assert answer.status_code == 200, answer.text
        assert {UUID(row["tenant_id"]) for row in answer.json} <= {who.tenant_id}, path
        found: list[dict[str, Any]] = answer.json
        return found

    for kind in ("actions", "audits"):
        listed = rows(f"/api/v1/logs/{kind}?limit=1000")
        assert listed, kind
        assert asker.get(f"/api/v1/logs/{kind}/{listed[-1]['id']}").json["tenant_id"] == str(
            who.tenant_id
        )
        rows(f"/api/v1/logs/{kind}?order=commit&limit=1000")
        rows(f"/api/v1/logs/{kind}?q=user&limit=10")
    operation = asker.get(f"/api/v1/logs/operations/{who.slug}-{number}").json
    assert len(operation) == 3
    statistics = asker.get("/api/v1/logs/stats")
    assert statistics.status_code == 200, statistics.text
    assert statistics.json["total_actions"] % 2 == 0
    by_type = asker.get("/api/v1/logs/analytics/actions-by-type")
    assert by_type.status_code == 200, by_type.text
    made = asker.post("/api/v1/crm/contacts", json={"email": f"{who.slug}@example.com"})
    assert made.status_code == 201, made.text
    contacts = asker.get("/api/v1/crm/contacts?limit=100").json
    assert who.slug in str(contacts)
    assert {contact["email"] for contact in contacts} == {f"{who.slug}@example.com"}


def test_tenants_that_share_a_server_connection_see_only_themselves(
    world: World, bouncer: PgBouncer
) -> None:
    """Readers of two tenants at once, while the worker role writes for both."""
    tenants = [world.settle(), world.settle()]
    for who in tenants:
        put(world, who, 0)
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = [
            pool.submit(task, world, who, number)
            for number in range(1, ROUNDS + 1)
            for who in tenants
            for task in (put, lambda world, who, _: look(world, who, 0))
        ]
        clients = [row for row in bouncer.show("CLIENTS") if row["user"] == WEB]
        for one in asked:
            one.result()
    assert len(clients) > 1, "nobody shared the connection"
    assert len([row for row in bouncer.show("SERVERS") if row["user"] == WEB]) == 1
    for who in tenants:
        assert who.get("/api/v1/logs/stats").json["total_actions"] == 2 * (ROUNDS + 1)
        listed = who.get("/api/v1/logs/audits?limit=1000").json
        assert len(listed) == ROUNDS + 1
        for row in listed:
            other = next(each for each in tenants if each is not who)
            assert other.get(f"/api/v1/logs/audits/{row['id']}").status_code == 404
    with world.maintenance.unrestricted_unsafe() as session:
        assert fold(session, tenants[0].tenant_id)
    assert tenants[0].get("/api/v1/logs/stats").json["total_actions"] == 2 * (ROUNDS + 1)
    assert world.operator().get("/api/v1/admin/tenants?limit=1").status_code == 200


def test_what_is_ingested_arrives_through_it(behind: Settings, world: World) -> None:
    """Each record once and whole, by the worker role, poison beside it or not."""
    who = world.settle()
    taken = sent(who, [call(request_payload={"n": n}) for n in range(50)])["ids"]
    taken += sent(who, [change(changes={"after": {"n": n}}) for n in range(50)], AUDITS)["ids"]
    records = spooled(world)
    assert world.put(*records, action(UUID(int=7))).inserted == 100
    assert world.put(*records).inserted == 0
    shown = [
        row["id"]
        for kind in ("actions", "audits")
        for row in who.get(f"/api/v1/logs/{kind}?limit=1000").json
    ]
    assert sorted(shown) == sorted(taken)


def test_a_session_is_nobodys_own_here(bouncer: PgBouncer) -> None:
    """What one client leaves in its session the next one has: or the tests above would say nothing.

    A tenant's scope ends with its transaction, and so is not among it.
    """
    tenant = UUID(int=1)
    current = text("SELECT current_setting('app.tenant', true)")
    one, other = (Database.connect(bouncer.urls()["DATABASE_URL"]) for _ in range(2))
    with one.unrestricted_unsafe() as session:
        session.execute(text("SELECT set_config('app.tenant', 'left', false)"))
    with other.unrestricted_unsafe() as session:
        assert session.execute(current).scalar_one() == "left"
        session.execute(text("RESET app.tenant"))
    with one.tenant(tenant) as session:
        assert session.execute(current).scalar_one() == str(tenant)
    with other.unrestricted_unsafe() as session:
        assert session.execute(current).scalar_one() in (None, "")
    one.close()
    other.close()
