"""Periodic tasks: one run a period, whoever asks; and how beat's heartbeats are read."""

import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.config import Settings
from app.errors import StoreUnavailable
from app.pipeline.periodic import HEARTBEATS_MISSED_MAX, Beat, look_at_beat, once_a_period
from app.store.session import Database
from app.worker import HEARTBEAT_TASK
from tests.support.forks import Fork, until
from tests.support.samples import metric
from tests.support.upkeep import forget_run, runs_of

PERIOD_S = 1.0


@pytest.fixture
def name() -> str:
    """A task that no other test has."""
    return f"task-{uuid4()}"


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The maintenance role's, which the tasks use."""
    database = Database.connect(settings.maintenance_database_url)
    yield database
    database.close()


def test_a_task_asked_for_twice_in_a_period_runs_once(database: Database, name: str) -> None:
    """And again in the next one."""
    done: list[int] = []
    skipped = metric("opsledger_task_runs_total", task=name, outcome="skipped")
    assert once_a_period(database, name, PERIOD_S, lambda: done.append(1))
    assert not once_a_period(database, name, PERIOD_S, lambda: done.append(2))
    assert done == [1]
    assert runs_of(database, name) == 1
    assert metric("opsledger_task_runs_total", task=name, outcome="skipped") == skipped + 1
    time.sleep(PERIOD_S)
    assert once_a_period(database, name, PERIOD_S, lambda: done.append(3))
    assert done == [1, 3]
    assert metric("opsledger_task_runs_total", task=name, outcome="done") == 2


def test_a_second_run_at_the_same_time_does_nothing(database: Database, name: str) -> None:
    """It does not wait either, however long the first one takes; other tasks are free."""
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        assert leave.wait(20)

    first = threading.Thread(target=once_a_period, args=(database, name, 0.0, work))
    first.start()
    assert entered.wait(20)
    started = time.monotonic()
    assert not once_a_period(database, name, 0.0, lambda: pytest.fail("ran beside the first"))
    assert once_a_period(database, f"{name}-other", 0.0, lambda: None)
    assert time.monotonic() - started < 5
    leave.set()
    first.join()
    assert runs_of(database, name) == 1


def test_of_many_at_once_one_runs(database: Database, name: str) -> None:
    """Whichever gets the lock; those that get it later see that it ran."""
    done: list[int] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        once_a_period(database, name, 60.0, lambda: done.append(1))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [1]


def test_work_that_failed_is_done_at_the_next_call(database: Database, name: str) -> None:
    """A failure is no run, and its lock is free at once."""

    def work() -> None:
        raise KeyError("no")

    with pytest.raises(KeyError):
        once_a_period(database, name, 60.0, work)
    assert runs_of(database, name) == 0
    assert metric("opsledger_task_runs_total", task=name, outcome="failed") == 1
    assert once_a_period(database, name, 60.0, lambda: None)


def test_a_worker_killed_in_its_work_frees_the_task(settings: Settings, name: str) -> None:
    """The lock ends with its connection."""

    def work_for_ever(_: int) -> None:
        database = Database.connect(settings.maintenance_database_url)
        once_a_period(database, name, 60.0, lambda: time.sleep(600))

    database = Database.connect(settings.maintenance_database_url)
    with Fork(work_for_ever) as child:
        until(lambda: locks_of(database, name))
        assert not once_a_period(database, name, 60.0, lambda: None)
        child.kill()
        until(lambda: once_a_period(database, name, 60.0, lambda: None))
    database.close()


def locks_of(database: Database, name: str) -> int:
    """How many connections hold the lock of a task."""
    held = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32"
        " | objid::bigint) = hashtextextended('task ' || :name, 0)"
    )
    with database.unrestricted_unsafe() as session:
        return int(session.execute(held, {"name": name}).scalar_one())


def test_a_run_holds_back_no_vacuum_before_it_is_done(database: Database, name: str) -> None:
    """A long archive run would else let the tables of the whole database grow."""
    held = text(
        "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND a.state = 'idle in transaction'"
        " AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)"
    )

    def work() -> None:
        assert locks_of(database, name) == 1
        with database.unrestricted_unsafe() as session:
            assert session.execute(held).scalar_one() == 0

    assert once_a_period(database, name, 0.0, work)


def test_beat_is_judged_by_its_last_heartbeat(settings: Settings, database: Database) -> None:
    """Never seen, well, late, and not known while the database is away."""
    forget_run(settings, HEARTBEAT_TASK)
    assert look_at_beat(database, 0.1) == Beat("never seen")
    once_a_period(database, HEARTBEAT_TASK, 0.1, lambda: None)
    seen = look_at_beat(database, 60.0)
    assert seen.state == "ok"
    assert seen.last_seen is not None
    time.sleep(0.1 * HEARTBEATS_MISSED_MAX)
    assert look_at_beat(database, 0.1) == Beat("late", seen.last_seen)
    nowhere = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    assert look_at_beat(nowhere, 0.1) == Beat("unknown")


def test_without_a_database_a_task_fails_and_says_so(name: str) -> None:
    """Beat asks again in the next period."""
    nowhere = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        once_a_period(nowhere, name, 1.0, lambda: pytest.fail("ran without its lock"))
    assert metric("opsledger_task_runs_total", task=name, outcome="failed") == 1
