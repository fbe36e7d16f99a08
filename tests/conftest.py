"""Fixtures: one Postgres, one broker and one real worker for the whole run; an app per test."""

import gc
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.config import Settings, load_settings
from app.dev import process
from app.factory import close_app, create_app
from app.store.places import open_archive
from app.store.session import Database
from tests.support.archive import Archive
from tests.support.buckets import PLAIN, Seaweed, find_weed
from tests.support.host import NOWHERE
from tests.support.keys import CREDENTIAL_KEY
from tests.support.product import environment_of, migrated_environment
from tests.support.servers import PostgresServer, start_broker, start_postgres
from tests.support.world import World, opened

pytest_plugins = ["tests.support.parallel", "tests.support.desks"]

ROOT = Path(__file__).parents[1]
DATABASE = "opsledger_test"
ENDS_S = 2.0  # a listener looks every second whether it is still wanted


def pytest_collection_finish() -> None:
    """Spare the garbage collector what is there to the end, tests and all that they import: it
    would look at a million objects again and again.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Have everything collected in the end, or libraries complain of what they call leaks; and let
    nothing be printed after the summary: threads of apps that no test closed still speak,
    and pytest's streams are closed.
    """
    gc.unfreeze()
    logging.raiseExceptions = False


@pytest.fixture(scope="session", autouse=True)
def nothing_runs_on() -> Iterator[None]:
    """Whoever made an app closed it: in the end none of its threads is left."""
    yield
    ours = [one for one in threading.enumerate() if one.name.startswith("opsledger-")]
    for thread in ours:
        thread.join(ENDS_S)
    assert [one.name for one in ours if one.is_alive()] == []


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
def copy_database(
    postgres: PostgresServer, make_database: Callable[[str], dict[str, str]]
) -> Iterator[Callable[[str, str], dict[str, str]]]:
    """Makes a database of a name as a copy of one that nobody uses; returns its URLs by setting."""
    made: list[str] = []

    def copy(template: str, name: str) -> dict[str, str]:
        postgres.drop_database(name)
        postgres.copy_database(template, name)
        made.append(name)
        return postgres.urls(name)

    yield copy
    for name in made:
        postgres.drop_database(name)


@pytest.fixture(scope="session")
def make_migrated(
    make_database: Callable[[str], dict[str, str]],
    copy_database: Callable[[str, str], dict[str, str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], dict[str, str]]:
    """Makes a migrated database by name, in which nothing happened yet; returns its URLs."""
    template = f"{DATABASE}_migrated"
    folder = {"OPSLEDGER_DATA_DIR": str(tmp_path_factory.mktemp("migrated"))}
    migrate(load_settings({**make_database(template), "REDIS_URL": redis_url, **folder}))
    return partial(copy_database, template)


@pytest.fixture(scope="session")
def environment(
    make_migrated: Callable[[str], dict[str, str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The environment of the shared, migrated database."""
    return {
        **make_migrated(DATABASE),
        "REDIS_URL": redis_url,
        "OPSLEDGER_CREDENTIAL_KEYS": CREDENTIAL_KEY,
        "OPSLEDGER_DATA_DIR": str(tmp_path_factory.mktemp("data")),
    }


@pytest.fixture(scope="module")
def own_environment(
    request: pytest.FixtureRequest, make_migrated: Callable[[str], dict[str, str]], redis_url: str
) -> dict[str, str]:
    """The environment of a database for the tests of one file; it names no folder."""
    name = request.module.__name__.rpartition(".")[2]
    return {
        **make_migrated(f"opsledger_of_{name}"),
        "REDIS_URL": redis_url,
        "OPSLEDGER_CREDENTIAL_KEYS": CREDENTIAL_KEY,
    }


@pytest.fixture(scope="module")
def own_maintenance(own_environment: dict[str, str]) -> Iterator[Database]:
    """That database as the maintenance role."""
    database = Database.connect(own_environment["MAINTENANCE_DATABASE_URL"])
    yield database
    database.close()


@pytest.fixture(scope="session")
def make_product_environment(
    make_database: Callable[[str], dict[str, str]],
    copy_database: Callable[[str, str], dict[str, str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Mapping[str, str], Path], dict[str, str]]:
    """Makes what a product runs in, by the name of its database, its broker and its folder: a copy
    of what the real commands made once, a migrated database with the demo tenant.
    """
    template, folder = f"{DATABASE}_product", tmp_path_factory.mktemp("product")
    migrated_environment(make_database(template), {"REDIS_URL": redis_url}, folder)

    def make(name: str, broker: Mapping[str, str], own: Path) -> dict[str, str]:
        shutil.copytree(folder, own, dirs_exist_ok=True)
        return environment_of(copy_database(template, name), broker, own)

    return make


@pytest.fixture(scope="session")
def worker(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Celery worker on the shared database."""
    log_path = tmp_path_factory.mktemp("worker") / "worker.log"
    argv = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "threads"]
    argv += ["--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    argv += ["--queues", "opsledger.persist,opsledger.maintenance"]
    # Tests forward by themselves, when they say so.
    env = {**os.environ, **environment, "OPSLEDGER_FORWARD_AT_ONCE": "0"}
    child = process.spawn(argv, log_path=log_path, env=env, cwd=ROOT)
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
    """An app of its own; a worker of other tests may take what it ships."""
    app = create_app(settings)
    yield World(app, maintenance)
    close_app(app, grace_s=0)


@pytest.fixture
def alone(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app without a broker: what it keeps stays on its disk."""
    with opened(replace(settings, redis_url=NOWHERE["redis_url"]), maintenance) as world:
        yield world


@pytest.fixture(scope="session")
def archive_environment(
    make_migrated: Callable[[str], dict[str, str]], environment: dict[str, str]
) -> dict[str, str]:
    """The environment of a migrated database whose old weeks are archived."""
    return {**environment, **make_migrated(f"{DATABASE}_archive")}


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
    close_app(app, grace_s=0)
