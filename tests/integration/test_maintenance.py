"""Upkeep: partitions ahead of time, old receipts, and how an operator sees how things stand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, text

from app.broker import broker_of
from app.config import Settings
from app.domain.records import Kind
from app.pipeline.maintenance import ensure_partitions, watch_dead_letters
from app.pipeline.vacuuming import vacuum
from app.store.partitions import partition_name
from app.store.session import Database
from app.worker import (
    DEAD_LETTERS_TASK,
    MAINTENANCE_QUEUE,
    PARTITIONS_TASK,
    PRUNE_TASK,
    create_producer,
)
from tests.support.ledger import received
from tests.support.samples import events
from tests.support.upkeep import forget_run, runs_of
from tests.support.world import World, action, eventually, opened

NOW = datetime(2198, 3, 4, 5, 6, tzinfo=UTC)  # weeks that no other test uses


def cli(world: World, *args: str) -> str:
    """What a command prints; it succeeds."""
    result = world.app.test_cli_runner().invoke(args=list(args))
    assert result.exit_code == 0, result.output
    return result.output


def backdate(settings: Settings, shipment: UUID, days: float) -> None:
    """Write a receipt as if it were some days old, as the owner of the table."""
    engine = create_engine(settings.owner_database_url)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO shipments VALUES (:id, now() - make_interval(secs => :age))"),
            {"id": shipment, "age": days * 86_400},
        )
    engine.dispose()


def send(settings: Settings, task: str) -> None:
    """Call a maintenance task as beat does."""
    producer = create_producer(broker_of(settings), 1.0)
    producer.send_task(task, queue=MAINTENANCE_QUEUE)
    producer.close()


def partitions(maintenance: Database) -> set[str]:
    """The names of all partitions."""
    with maintenance.unrestricted_unsafe() as session:
        return {
            str(row[0])
            for row in session.execute(text("SELECT inhrelid::regclass FROM pg_inherits"))
        }


def test_partitions_are_made_for_this_week_and_those_ahead(maintenance: Database) -> None:
    """Of both logs; a second run makes nothing new."""
    names = ensure_partitions(maintenance, now=NOW, weeks_ahead=2)
    weeks = [NOW + timedelta(weeks=week) for week in range(3)]
    assert names == [partition_name(kind, week) for kind in Kind for week in weeks]
    there = partitions(maintenance)
    assert set(names) <= there
    assert ensure_partitions(maintenance, now=NOW, weeks_ahead=2) == names
    assert partitions(maintenance) == there


def test_the_worker_makes_partitions_when_beat_calls(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """Through the broker and the maintenance queue."""
    last = datetime.now(UTC) + timedelta(weeks=settings.partitions_ahead_weeks)
    wanted = {partition_name(kind, last) for kind in Kind}
    forget_run(settings, PARTITIONS_TASK)
    send(settings, PARTITIONS_TASK)
    eventually(lambda: wanted <= partitions(maintenance))


def test_receipts_older_than_a_week_are_removed(settings: Settings, maintenance: Database) -> None:
    """Younger ones stay: a spool may still ask for them."""
    old, young = uuid4(), uuid4()
    backdate(settings, old, 7.01)
    backdate(settings, young, 6.99)
    assert vacuum(maintenance, settings)["receipts"] >= 1
    assert not received(maintenance, old)
    assert received(maintenance, young)
    vacuum(maintenance, settings)
    assert received(maintenance, young)


def test_the_worker_removes_old_receipts_when_beat_calls(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """Through the broker and the maintenance queue."""
    old = uuid4()
    backdate(settings, old, 30)
    forget_run(settings, PRUNE_TASK)
    send(settings, PRUNE_TASK)
    eventually(lambda: not received(maintenance, old))


def test_the_command_makes_and_lists_partitions(world: World) -> None:
    """As beat does, with the size of each."""
    made = cli(world, "partitions", "ensure").split()
    ahead = world.opsledger.settings.partitions_ahead_weeks
    weeks = [datetime.now(UTC) + timedelta(weeks=week) for week in range(ahead + 1)]
    assert made == [partition_name(kind, week) for kind in Kind for week in weeks]
    header, *rows = cli(world, "partitions", "list").splitlines()
    assert header.split() == ["PARTITION", "KIB"]
    sizes = dict(row.split() for row in rows)
    assert set(made) <= set(sizes)
    assert all(size.isdigit() for size in sizes.values())


def test_dead_letters_are_listed_with_their_reasons(world: World) -> None:
    """The newest first, as many as are asked for."""
    nobody, no_one_else = uuid4(), uuid4()
    world.put(action(nobody))
    world.put(action(no_one_else))
    shown = cli(world, "dead-letters", "list", "--limit", "1000")
    assert shown.index(f"no tenant {no_one_else}") < shown.index(f"no tenant {nobody}")
    header, only = cli(world, "dead-letters", "list", "--limit", "1").splitlines()
    assert header.split() == ["ID", "TIME", "KIND", "TENANT", "REASON"]
    assert f"no tenant {no_one_else}" in only


def test_dead_letters_that_wait_are_told_of(
    world: World, settings: Settings, worker: None, caplog: pytest.LogCaptureFixture
) -> None:
    """By an error in the log, for as long as there are any, each minute."""
    nobody = uuid4()
    world.put(action(nobody))
    count = watch_dead_letters(world.maintenance)
    assert count >= 1
    told = events(caplog)[-1]
    assert (told["level"], told["event"], told["letters"]) == ("error", "dead letters wait", count)
    assert told["reason"] == f"tenant_id: no tenant {nobody}"
    forget_run(settings, DEAD_LETTERS_TASK)
    send(settings, DEAD_LETTERS_TASK)
    eventually(lambda: runs_of(world.maintenance, DEAD_LETTERS_TASK) == 1)


@pytest.mark.parametrize("limit", ["0", "1001", "x"])
def test_dead_letters_are_listed_within_bounds(world: World, limit: str) -> None:
    """1 to 1000."""
    result = world.app.test_cli_runner().invoke(args=["dead-letters", "list", "--limit", limit])
    assert result.exit_code == 2
    assert "1<=x<=1000" in result.output or "integer" in result.output


def broken(settings: Settings, **values: Any) -> Settings:
    """The settings with a broker where none is."""
    return replace(settings, redis_url="redis://127.0.0.1:1/0", **values)


def test_the_spool_shows_what_waits_and_ships_it(
    settings: Settings, maintenance: Database, live: World
) -> None:
    """What a process that died left on the disk arrives by one command."""
    tenant = live.settle()
    with opened(broken(settings), maintenance) as dying:
        assert cli(dying, "spool", "status").splitlines()[1].split()[:3] == ["0", "0", "0"]
        for _ in range(3):
            dying.log(tenant.tenant_id)
        header, row = cli(dying, "spool", "status").splitlines()
        names = ["FILES", "RECORDS", "BYTES", "OLDEST S", "SET ASIDE", "ITS BYTES"]
        assert header.split() == " ".join(names).split()
        files, records, size, _, aside, _ = row.split()
        assert (files, records, aside) == ("1", "3", "0")
        assert int(size) > 300
    assert "Nothing of dead processes waits" in cli(live, "spool", "ship")
    assert len(tenant.get("/api/v1/logs/actions").json) == 3


def test_shipping_without_a_broker_says_what_to_look_at(
    settings: Settings, maintenance: Database
) -> None:
    """The records stay; the command fails within its timeout."""
    with opened(broken(settings), maintenance) as world:
        world.log(world.settle().tenant_id)
        arguments = ["spool", "ship", "--timeout", "0.3"]
        result = world.app.test_cli_runner().invoke(args=arguments)
        assert result.exit_code == 1
        assert "Some records still wait on disk; is a worker running?" in result.output
