"""flask doctor: each fault that is planted is found, by its part and with its cure."""

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from app.config import Settings, load_settings
from app.dev import EmbeddedBroker
from app.dev.server import free_port
from app.pipeline import checkup
from app.store.session import Database
from app.store.task_runs import stamp
from app.worker import ALERTS_TASK, PURGE_TASK
from tests.support.upkeep import beat_at
from tests.support.world import World, action, opened

PARTS = [
    *("database as web", "database as worker", "database as maintenance", "schema"),
    *("partitions", "beat", "alert rules", "retention", "statistics", "archive", "dead letters"),
    *("erasures", "storage", "clocks", "indexes"),
    *("queries", "broker (redis)", "broker persistence", "broker eviction", "spool", "disk"),
]


@pytest.fixture
def ill(
    make_migrated: Callable[[str], dict[str, str]], settings: Settings, tmp_path: Path
) -> Settings:
    """A database of this test alone, migrated, on which nothing ever ran."""
    urls = make_migrated(f"opsledger_doctor_{os.getpid()}")
    found = load_settings({**urls, "REDIS_URL": settings.redis_url})
    return replace(found, data_dir=tmp_path / "data")


def examined(settings: Settings, maintenance: Database) -> dict[str, tuple[str, str]]:
    """What the doctor says of each part, and its cure."""
    with opened(settings, maintenance) as world:
        return report(world)


def report(world: World) -> dict[str, tuple[str, str]]:
    result = world.app.test_cli_runner().invoke(args=["doctor"])
    found = re.findall(r"^([a-z]\S.*?): (.*)\n(?:    cure: (.*)\n)?", result.output, re.MULTILINE)
    assert result.exit_code == int(any(cure for _, _, cure in found)), result.output
    return {part: (says, cure) for part, says, cure in found}


def test_a_service_that_is_well_needs_no_cure(
    settings: Settings, maintenance: Database, broker: EmbeddedBroker
) -> None:
    """Every part is named, in the order of a record's way, and rows are counted."""
    with opened(replace(settings, redis_url=broker.url), maintenance) as world:
        world.put(action(world.settle().tenant_id))
        world.app.test_cli_runner().invoke(args=["partitions", "ensure"])
        world.app.test_cli_runner().invoke(args=["rollups", "fold"])
        beat_at(settings, age_s=1)
        with maintenance.unrestricted_unsafe() as session:
            stamp(session, ALERTS_TASK)
            stamp(session, PURGE_TASK)
        found = report(world)
    assert [part for part in found if part in PARTS] == PARTS
    others = {"dead letters"}  # other tests leave some
    assert {part: cure for part, (_, cure) in found.items() if cure and part not in others} == {}
    assert int(found["action_logs"][0].split()[0]) >= 1


@pytest.mark.parametrize(
    ("role", "variable"),
    [
        ("web", "DATABASE_URL"),
        ("worker", "WORKER_DATABASE_URL"),
        ("maintenance", "MAINTENANCE_DATABASE_URL"),
    ],
)
def test_a_database_that_is_away_is_named_by_role_and_variable(
    settings: Settings, maintenance: Database, role: str, variable: str
) -> None:
    """Fault 1."""
    nowhere = f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/none"
    name = "database_url" if role == "web" else f"{role}_database_url"
    says, cure = examined(replace(settings, **{name: nowhere}), maintenance)[f"database as {role}"]
    assert says == "AWAY"
    assert cure == f"start Postgres, or correct {variable}"


def test_a_role_that_row_security_does_not_bind_is_named(
    settings: Settings, maintenance: Database
) -> None:
    """Fault 2: queries run as the owner."""
    owned = replace(settings, database_url=settings.owner_database_url)
    says, cure = examined(owned, maintenance)["database as web"]
    assert says == "opsledger_owner is NOT BOUND by row-level security"
    assert "opsledger_web" in cure


def test_rights_that_a_role_lacks_are_named(settings: Settings, maintenance: Database) -> None:
    """Fault 3: the worker connects as web."""
    wrong = replace(settings, worker_database_url=settings.database_url)
    says, cure = examined(wrong, maintenance)["database as worker"]
    assert "opsledger_web LACKS log_batches INSERT" in says
    assert "WORKER_DATABASE_URL names opsledger_worker" in cure


def test_a_schema_that_is_behind_is_named(ill: Settings, maintenance: Database) -> None:
    """Fault 4: somebody forgot to migrate."""
    with create_engine(ill.owner_database_url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0014_rollups'"))
    says, cure = examined(ill, maintenance)["schema"]
    assert says.startswith("0014_rollups, this code is at 00")
    assert cure == "run flask db upgrade"


def test_a_service_on_which_nothing_ever_ran_is_told_what_to_start(
    ill: Settings, maintenance: Database
) -> None:
    """Faults 5, 6 and 7: no partitions ahead, no beat, no evaluation."""
    found = examined(ill, maintenance)
    assert found["partitions"][1].startswith("run flask partitions ensure")
    assert found["beat"] == ("NEVER SEEN", found["beat"][1])
    assert "start beat and a worker" in found["beat"][1]
    assert found["alert rules"][0] == "NEVER SEEN"
    assert "opsledger.maintenance" in found["alert rules"][1]
    beat_at(ill, age_s=1000)
    assert examined(ill, maintenance)["beat"][0].startswith("LATE, last seen 100")


def test_an_erasure_that_is_not_done_is_told_of(ill: Settings, maintenance: Database) -> None:
    """A person waits for it."""
    database = Database.connect(ill.url_of("maintenance"))
    with database.unrestricted_unsafe() as session:
        session.execute(
            text(
                "INSERT INTO erasures (tenant_id, id, subject_kind, subject, state, requested_by,"
                " confirmed_by, confirmed_at) SELECT id, id, 'email', 'a@b.c', 'confirmed', 'x',"
                " 'x', now() - interval '61 minutes' FROM tenants"
            )
        )
    database.close()
    says, cure = examined(ill, maintenance)["erasures"]
    assert says.startswith("1 CONFIRMED")
    assert "flask erase goes on" in cure


def test_dead_letters_and_summaries_that_wait_are_named(
    ill: Settings, maintenance: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults 8 and 9."""
    own = Database.connect(ill.maintenance_database_url)
    monkeypatch.setattr(checkup, "FOLD_LAG_S_MAX", 0.0)
    with opened(ill, own) as world:
        world.put(action(world.settle().tenant_id), action(uuid4()))
        time.sleep(0.1)
        found = report(world)
    assert found["dead letters"][0] == "1 WAIT"
    assert "flask dead-letters list" in found["dead letters"][1]
    assert "flask rollups fold" in found["statistics"][1]
    own.close()


def test_an_index_that_was_not_finished_is_named(ill: Settings, maintenance: Database) -> None:
    """Fault 10: a unique one that could not be built."""
    engine = create_engine(ill.owner_database_url, isolation_level="AUTOCOMMIT")
    twins = (
        "INSERT INTO tenants (id, name, slug)"
        " SELECT gen_random_uuid(), 'twin', 'twin-' || g FROM generate_series(1, 2) g"
    )
    index = text("CREATE UNIQUE INDEX CONCURRENTLY cut_short ON tenants (name)")
    with engine.connect() as connection:
        connection.execute(text(twins))
        with pytest.raises(IntegrityError):
            connection.execute(index)
    engine.dispose()
    says, cure = examined(ill, maintenance)["indexes"]
    assert says == "INVALID: cut_short"
    assert cure.startswith("DROP INDEX")


def test_clocks_that_differ_are_named(
    settings: Settings, maintenance: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 11: this host is a minute behind."""
    real = time.time
    monkeypatch.setattr(checkup.time, "time", lambda: real() - 60)
    says, cure = examined(settings, maintenance)["clocks"]
    assert re.fullmatch(r"DIFFER: \+(59|60)\.\d s between Postgres and this host", says)
    assert "NTP" in cure


def test_a_query_that_runs_for_long_is_named(settings: Settings, maintenance: Database) -> None:
    """Fault 12."""

    def linger() -> None:
        with maintenance.unrestricted_unsafe() as session:
            session.execute(text("SELECT pg_sleep(4)"))

    thread = threading.Thread(target=linger)
    thread.start()
    time.sleep(1.5)
    says, cure = examined(replace(settings, query_timeout_s=0.5), maintenance)["queries"]
    thread.join()
    assert says.startswith("1 SLOW")
    assert "pg_stat_activity" in cure


def test_a_broker_that_is_away_is_named(settings: Settings, maintenance: Database) -> None:
    """Fault 13."""
    away = replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    says, cure = examined(away, maintenance)["broker (redis)"]
    assert (says, cure) == ("AWAY", "start it, or correct REDIS_URL or OPSLEDGER_BROKER_URL")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        yield broker


def test_a_broker_that_forgets_or_evicts_is_named(
    settings: Settings, maintenance: Database, broker: EmbeddedBroker
) -> None:
    """Faults 14 and 15, each with the setting that cures it."""
    client = redis.Redis.from_url(broker.url)
    client.config_set("appendonly", "no")
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    found = examined(replace(settings, redis_url=broker.url), maintenance)
    assert found["broker persistence"][0].startswith("OFF")
    assert found["broker persistence"][1] == "set appendonly yes"
    assert found["broker eviction"][0].startswith("ALLKEYS-LRU")
    assert found["broker eviction"][1] == "set maxmemory-policy noeviction"
    client.close()


def without_broker(settings: Settings) -> Settings:
    """Settings by which nothing leaves the spool."""
    return replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0")


def test_a_spool_that_cannot_be_written_ages_fills_or_is_damaged_is_named(
    settings: Settings, maintenance: Database
) -> None:
    """Faults 16 to 19."""
    with opened(without_broker(settings), maintenance) as world:
        folder = world.opsledger.settings.spool_dir
        world.log(world.settle().tenant_id)
        (file,) = folder.glob("*.seg")
        hour_ago = time.time() - 3600
        os.utime(file, (hour_ago, hour_ago))
        says, cure = report(world)["spool"]
        assert says.startswith("AGEING: ")
        assert "flask spool ship" in cure
        (folder / f"{file.stem}.damaged").write_bytes(b"x" * 10)
        assert report(world)["spool files"] == (
            "1 files DAMAGED, 10 bytes set aside",
            "run flask spool verify, and look at the disk",
        )
        shutil.rmtree(folder)
        says, cure = report(world)["spool"]
        assert says == "CANNOT BE WRITTEN"
        assert "OPSLEDGER_DATA_DIR" in cure


def test_a_spool_that_is_nearly_full_and_a_disk_that_is_are_named(
    settings: Settings, maintenance: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults 20 and 21; the disk's bound is set above what any disk has."""
    monkeypatch.setattr(checkup, "DISK_BYTES_MIN", 1 << 62)
    with opened(replace(without_broker(settings), spool_bytes_max=180), maintenance) as world:
        world.log(world.settle().tenant_id)
        found = report(world)
    assert found["spool"][0].startswith("NEARLY FULL")
    assert "OPSLEDGER_SPOOL_BYTES_MAX" in found["spool"][1]
    assert found["disk"][0].endswith("NEARLY FULL")
    assert "OPSLEDGER_DATA_DIR" in found["disk"][1]
