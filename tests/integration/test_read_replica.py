"""Queries go to a streaming replica, to the primary while it is away, and back when it is there."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.config import Settings, load_settings
from app.dev import EmbeddedPostgres
from app.dev.binaries import find_postgres
from app.errors import StoreUnavailable
from app.store import replica as replica_module
from app.store.replica import ReadDatabase
from app.store.session import Database
from app.telemetry import READ_FALLBACKS
from tests.conftest import migrate
from tests.support.replica import make_replica
from tests.support.world import Inhabitant, World, action, eventually, opened, problem_of

ACTIONS = "/api/v1/logs/actions"
WHERE = "SELECT pg_is_in_recovery()"
UNREACHABLE = "postgresql+psycopg2://opsledger_web@127.0.0.1:1/opsledger"

pytestmark = pytest.mark.skipif(
    not (find_postgres() / "pg_basebackup").exists(), reason="Postgres came without pg_basebackup"
)


@dataclass(frozen=True)
class Pair:
    """A migrated primary, and what follows it."""

    primary: EmbeddedPostgres
    replica: EmbeddedPostgres
    settings: Settings


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Pair]:
    """Two servers, one of which streams from the other."""
    folder = tmp_path_factory.mktemp("pair")
    with EmbeddedPostgres(folder / "primary") as primary:
        environment = {**primary.urls(), "REDIS_URL": redis_url}
        migrate(load_settings({**environment, "OPSLEDGER_DATA_DIR": str(folder / "data")}))
        with make_replica(primary, folder / "replica") as replica:
            environment["DATABASE_READ_URL"] = replica.urls()["DATABASE_URL"]
            yield Pair(primary, replica, load_settings(environment))


@pytest.fixture
def world(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[World, Inhabitant]]:
    """An app that reads from the replica, and a tenant that the replica knows."""
    monkeypatch.setattr(replica_module, "AWAY_S", 0.1)
    pair.replica.start()
    maintenance = Database.connect(pair.primary.urls()["MAINTENANCE_DATABASE_URL"])
    with opened(replace(pair.settings, data_dir=tmp_path / "data"), maintenance) as world:
        tenant = world.settle()
        world.put(action(tenant.tenant_id))
        eventually(lambda: len(tenant.get(ACTIONS).json) == 1)
        eventually(lambda: on_replica(world, tenant))
        yield world, tenant
        world.app.extensions["opsledger-service"].reads.close()
    maintenance.close()


def on_replica(world: World, tenant: Inhabitant) -> bool:
    """Whether a query would be answered by the replica now."""
    reads: ReadDatabase = world.app.extensions["opsledger-service"].reads
    with reads.tenant(tenant.tenant_id) as session:
        return bool(session.execute(text(WHERE)).scalar_one())


def fallbacks() -> float:
    """How many queries the primary took over so far."""
    return READ_FALLBACKS._value.get()


def test_queries_are_answered_by_the_replica(world: tuple[World, Inhabitant], pair: Pair) -> None:
    """What the primary commits while the replica stands still is seen once it goes on."""
    opsledger, tenant = world
    superuser = Database.connect(pair.replica.superuser_url)
    with superuser.unrestricted_unsafe() as session:
        session.execute(text("SELECT pg_wal_replay_pause()"))
    try:
        opsledger.put(action(tenant.tenant_id))
        assert len(tenant.get(ACTIONS).json) == 1
        assert tenant.get("/api/v1/logs/stats").json["total_actions"] == 1
    finally:
        with superuser.unrestricted_unsafe() as session:
            session.execute(text("SELECT pg_wal_replay_resume()"))
        superuser.close()
    eventually(lambda: len(tenant.get(ACTIONS).json) == 2)
    eventually(lambda: tenant.get("/api/v1/logs/stats").json["total_actions"] == 2)


def test_a_key_is_known_before_the_replica_knows_it(
    world: tuple[World, Inhabitant], pair: Pair
) -> None:
    """Keys are looked up where they were made: a new one works at once, a revoked one stops."""
    opsledger, _ = world
    superuser = Database.connect(pair.replica.superuser_url)
    with superuser.unrestricted_unsafe() as session:
        session.execute(text("SELECT pg_wal_replay_pause()"))
    try:
        assert opsledger.settle().get(ACTIONS).json == []
    finally:
        with superuser.unrestricted_unsafe() as session:
            session.execute(text("SELECT pg_wal_replay_resume()"))
        superuser.close()


def test_the_primary_answers_while_the_replica_is_away(
    world: tuple[World, Inhabitant], pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """Every query, none of them an error, each counted; and the replica again once it is back."""
    opsledger, tenant = world
    before = fallbacks()
    pair.replica.kill()
    with caplog.at_level("WARNING", logger="opsledger"):
        for _ in range(5):
            assert len(tenant.get(ACTIONS).json) == 1
    assert fallbacks() - before == 5
    assert "read replica away" in caplog.text
    opsledger.put(action(tenant.tenant_id))
    assert len(tenant.get(ACTIONS).json) == 2  # at once, as the primary has everything
    pair.replica.start()
    eventually(lambda: on_replica(opsledger, tenant))
    counted = fallbacks()
    eventually(lambda: len(tenant.get(ACTIONS).json) == 2)
    assert fallbacks() == counted


def test_a_replica_that_cannot_be_reached_costs_one_query_a_try(pair: Pair) -> None:
    """Between two tries nobody waits for it."""
    tries: list[float] = []

    class Counted(Database):
        def tenant(self, *arguments: object, **options: object):  # type: ignore[no-untyped-def]
            tries.append(now)
            return super().tenant(*arguments, **options)  # type: ignore[arg-type]

    primary = Database.connect(pair.primary.urls()["DATABASE_URL"])
    reads = ReadDatabase(primary, Counted(Database.connect(UNREACHABLE).engine), clock=lambda: now)
    for now in (10.0, 10.1, 11.9, 12.1, 12.2, 20.0):  # noqa: B007 - the clock reads it
        with reads.tenant(uuid4()) as session:
            assert session.execute(text(WHERE)).scalar_one() is False
    assert tries == [10.0, 12.1, 20.0]
    primary.close()


def test_a_replica_lost_in_the_middle_of_a_query_costs_that_query(
    world: tuple[World, Inhabitant], pair: Pair
) -> None:
    """It is told to try again, and then is answered."""
    opsledger, tenant = world
    reads: ReadDatabase = opsledger.app.extensions["opsledger-service"].reads

    def read() -> None:
        with reads.tenant(tenant.tenant_id) as session:
            assert session.execute(text(WHERE)).scalar_one() is True
            pair.replica.kill()
            session.execute(text(WHERE))

    with pytest.raises(StoreUnavailable):
        read()
    assert tenant.get(ACTIONS).status_code == 200


def test_without_both_a_query_is_told_to_try_again(
    pair: Pair, tmp_path: Path, world: tuple[World, Inhabitant]
) -> None:
    """503 with Retry-After, as without a replica."""
    _, tenant = world
    tenant.get(ACTIONS)  # the key is known, so that the query itself is what fails
    pair.replica.kill()
    pair.primary.kill()
    try:
        answer = tenant.get(ACTIONS)
        problem_of(answer, 503)
        assert answer.headers["Retry-After"]
    finally:
        pair.primary.start()
