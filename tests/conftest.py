"""Fixtures: one Postgres, one broker and one real worker for the whole run; an app per test."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.capture.recorder import EXTENSION
from app.config import Settings, load_settings
from app.dev import process
from app.factory import create_app
from app.store.places import open_archive
from app.store.session import Database
from tests.support.archive import Archive
from tests.support.buckets import PLAIN, Seaweed, find_weed
from tests.support.servers import PostgresServer, start_broker, start_postgres
from tests.support.world import World, opened

ROOT = Path(__file__).parents[1]
DATABASE = "opsledger_test"


def pytest_unconfigure() -> None:
    """Let nothing be printed after the summary: threads of apps that no test closed still speak,
    and pytest's streams are closed.
    """
    logging.raiseExceptions = False


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The Postgres server of this run."""
    server = start_postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    if hasattr(server, "stop"):
        server.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The broker of this run."""
    broker = start_broker(tmp_path_factory.mktemp("broker"))
    yield broker.url if broker else os.environ["REDIS_URL"]
    if broker:
        broker.stop()


@pytest.fixture(scope="session")
def make_database(postgres: PostgresServer) -> Iterator[Callable[[str], dict[str, str]]]:
    """Makes an empty database by name; returns its URLs by setting."""
    made: list[str] = []

    def make(name: str) -> dict[str, str]:
        postgres.drop_database(name)
        postgres.ensure_database(name)
        made.append(name)
        return postgres.urls(name)

    yield make
    for name in made:
        postgres.drop_database(name)


@pytest.fixture(scope="session")
def environment(
    make_database: Callable[[str], dict[str, str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The environment of the shared, migrated database."""
    environment = {
        **make_database(DATABASE),
        "REDIS_URL": redis_url,
        "OPSLEDGER_DATA_DIR": str(tmp_path_factory.mktemp("data")),
    }
    migrate(load_settings(environment))
    return environment


@pytest.fixture(scope="session")
def worker(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Celery worker on the shared database."""
    log_path = tmp_path_factory.mktemp("worker") / "worker.log"
    argv = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "threads"]
    argv += ["--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    argv += ["--queues", "opsledger.persist,opsledger.maintenance"]
    child = process.spawn(argv, log_path=log_path, env={**os.environ, **environment}, cwd=ROOT)
    yield
    process.stop(child, [(signal.SIGTERM, 15.0)])


@pytest.fixture
def settings(environment: dict[str, str], tmp_path: Path) -> Settings:
    """Settings of one test: the shared servers, a data folder of its own."""
    return replace(
        load_settings(environment),
        data_dir=tmp_path / "data",
        flush_interval_ms=5,
        flush_pause_ms=5,
    )


@pytest.fixture(scope="session")
def maintenance(environment: dict[str, str]) -> Iterator[Database]:
    """The shared database as the maintenance role, which sees all tenants."""
    database = Database.connect(environment["MAINTENANCE_DATABASE_URL"])
    yield database
    database.close()


@pytest.fixture
def world(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app without a worker: what it captures stays on its disk."""
    app = create_app(settings)
    yield World(app, maintenance)
    app.extensions[EXTENSION].shipper.stop(grace_s=0)
    app.extensions["opsledger-service"].database.close()


@pytest.fixture(scope="session")
def archive_environment(
    make_database: Callable[[str], dict[str, str]],
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The environment of a migrated database whose old weeks are archived."""
    made = {**environment, **make_database(f"{DATABASE}_archive")}
    migrate(replace(load_settings(made), data_dir=tmp_path_factory.mktemp("archive")))
    return made


@pytest.fixture
def archive(archive_environment: dict[str, str], tmp_path: Path) -> Iterator[Archive]:
    """An app on that database, nothing of which is old, and an empty folder for its archive."""
    settings = replace(load_settings(archive_environment), data_dir=tmp_path / "data")
    with opened_archive(settings, tmp_path) as found:
        yield found


@contextmanager
def opened_archive(settings: Settings, tmp_path: Path) -> Iterator[Archive]:
    """An app whose archive is empty; what others left to be archived goes elsewhere."""
    database = Database.connect(settings.url_of("maintenance"))
    with opened(settings, database) as world:
        with database.unrestricted_unsafe() as session:
            session.execute(text("DELETE FROM late_records"))
        Archive(world, database, tmp_path / "of-others").run()
        place = open_archive(settings) if settings.archive_is_remote else None
        yield Archive(world, database, settings.archive_dir, place)
    database.close()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real server of S3, started by the first test that needs one."""
    if find_weed() is None:
        pytest.skip("SeaweedFS is not installed here")
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def bucket_settings(
    archive_environment: dict[str, str],
    seaweed: Seaweed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings whose archive is in a bucket, under a prefix of its own."""
    access = seaweed.access()
    for name, value in access.environment.items():
        monkeypatch.setenv(name, value)
    return replace(
        load_settings(archive_environment),
        data_dir=tmp_path / "data",
        archive_url=f"s3://{PLAIN}/{uuid4().hex}",
        archive_endpoint_url=access.endpoint,
        archive_timeout_s=15.0,
    )


@pytest.fixture
def bucket_archive(bucket_settings: Settings, tmp_path: Path) -> Iterator[Archive]:
    """As `archive`, in a bucket."""
    with opened_archive(bucket_settings, tmp_path) as found:
        yield found


@pytest.fixture
def live(world: World, worker: None) -> World:
    """An app with a real worker behind it."""
    return world


def migrate(settings: Settings, revision: str = "head") -> None:
    """Bring a database to a revision, as `flask db upgrade` does."""
    from flask_migrate import upgrade

    app = create_app(replace(settings, data_dir=settings.data_dir / "migrate"))
    with app.app_context():
        upgrade(directory=str(ROOT / "migrations"), revision=revision)
