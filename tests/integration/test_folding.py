"""Folding: every summary once, whoever folds and whoever dies, and a check that would tell."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from sqlalchemy import Connection, create_engine, text

from app.broker import broker_of
from app.config import Settings
from app.domain.records import Record
from app.pipeline.folding import fold_waiting
from app.store import fold as fold_module
from app.store.fold import fold
from app.store.rollup_check import find_differences
from app.store.session import Database
from app.store.summaries import waiting_summaries
from app.worker import FOLD_TASK, MAINTENANCE_QUEUE, create_producer
from tests.support.world import Inhabitant, World, action, audit, eventually

NOW = datetime.now(UTC).replace(microsecond=0)
STATS = "/api/v1/logs/stats"


def some_records(tenant_id: UUID, count: int, seed: int) -> list[Record]:
    """Actions and audits of the last two days."""
    chance = random.Random(seed)
    records: list[Record] = []
    for _ in range(count):
        at = NOW - timedelta(seconds=chance.randrange(2 * 86_400) * chance.random())
        if chance.random() < 0.3:
            records.append(audit(tenant_id, at=at, user_id=chance.choice(["ann", None])))
        else:
            values = {"execution_time_ms": chance.randrange(5000)}
            status = chance.choice(["success", "failure"])
            records.append(action(tenant_id, at=at, status=status, **values))
    return records


def commit(world: World, tenant: Inhabitant, batches: int, seed: int = 1) -> None:
    """Put some batches on record."""
    for number in range(batches):
        world.put(*some_records(tenant.tenant_id, 20, seed * 1000 + number))


def fold_one(maintenance: Database, tenant: Inhabitant) -> int:
    """Fold a tenant in one transaction."""
    with maintenance.unrestricted_unsafe() as session:
        return fold(session, tenant.tenant_id)


def waiting(maintenance: Database, tenant: Inhabitant) -> int:
    """How many summaries of a tenant wait."""
    with maintenance.unrestricted_unsafe() as session:
        return len(list(waiting_summaries(session, tenant.tenant_id)))


def differences(maintenance: Database, tenant: Inhabitant) -> list[Any]:
    """Where the rollups of a tenant are not what the records add up to."""
    with maintenance.unrestricted_unsafe(snapshot=True) as session:
        return list(find_differences(session, tenant.tenant_id))


@contextmanager
def as_owner(settings: Settings) -> Iterator[Connection]:
    """A transaction that may do anything."""
    engine = create_engine(settings.owner_database_url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.mark.parametrize("detail_rows", [1, 10, 1000])
@pytest.mark.parametrize("every", [1, 3, 10])
def test_rollups_are_what_the_records_add_up_to(
    world: World, maintenance: Database, every: int, detail_rows: int
) -> None:
    """At every grain, wherever units become detailed, with some batches waiting."""
    tenant = world.settle()
    with patch.object(fold_module, "DETAIL_ROWS", detail_rows):
        for number in range(10):
            commit(world, tenant, 1, seed=number)
            if number % every == 0:
                assert fold_one(maintenance, tenant) > 0
                assert differences(maintenance, tenant) == []
    assert waiting(maintenance, tenant) == (0 if every == 1 else 2 * (9 % every))
    with maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT DISTINCT grain FROM action_rollups WHERE tenant_id = :tenant")
        grains = set(session.execute(statement, {"tenant": tenant.tenant_id}).scalars())
    if detail_rows == 1:
        assert grains == {"minute", "hour", "day", "month"}
    elif detail_rows == 1000:
        assert grains == {"month"}
    else:
        assert grains > {"month"}


def test_what_is_folded_is_not_folded_again(world: World, maintenance: Database) -> None:
    """A second fold finds nothing."""
    tenant = world.settle()
    commit(world, tenant, 3)
    assert fold_one(maintenance, tenant) == 6
    assert fold_one(maintenance, tenant) == 0
    assert differences(maintenance, tenant) == []


def test_a_long_backlog_is_folded_in_bounded_transactions(
    world: World, maintenance: Database
) -> None:
    """By batches and by cells, and to its end."""
    tenant = world.settle()
    commit(world, tenant, 12)
    with patch.multiple(fold_module, BATCHES_MAX=5, CELLS_MAX=40):
        sizes = []
        while folded := fold_one(maintenance, tenant):
            sizes.append(folded)
    assert sum(sizes) == 24
    assert max(sizes) <= 5
    assert len(sizes) > 5
    assert differences(maintenance, tenant) == []


def test_two_folders_at_once_fold_each_summary_once(world: World, maintenance: Database) -> None:
    """While batches go on arriving; who finds a tenant taken leaves it."""
    tenants = [world.settle() for _ in range(3)]
    done = threading.Event()
    folded: list[int] = []

    def keep_folding() -> None:
        while not done.is_set():
            for tenant in tenants:
                batches = fold_one(maintenance, tenant)
                folded.append(batches)

    folders = [threading.Thread(target=keep_folding) for _ in range(3)]
    with patch.object(fold_module, "DETAIL_ROWS", 50):
        for folder in folders:
            folder.start()
        try:
            for number in range(15):
                for tenant in tenants:
                    commit(world, tenant, 1, seed=number)
            eventually(lambda: not any(waiting(maintenance, tenant) for tenant in tenants))
        finally:
            done.set()
            for folder in folders:
                folder.join()
    assert sum(folded) == 3 * 15 * 2
    for tenant in tenants:
        assert differences(maintenance, tenant) == []


def test_statistics_are_exact_while_records_arrive_and_are_folded(
    world: World, maintenance: Database
) -> None:
    """No answer has a part of a batch, loses one or counts one twice."""
    tenant = world.settle()
    committed = 0
    done = threading.Event()

    def keep_folding() -> None:
        while not done.is_set():
            fold_one(maintenance, tenant)

    def keep_committing() -> None:
        nonlocal committed
        for _ in range(60):
            world.put(*(action(tenant.tenant_id, execution_time_ms=10) for _ in range(7)))
            committed += 7
        done.set()

    threads = [threading.Thread(target=one) for one in (keep_folding, keep_committing)]
    for thread in threads:
        thread.start()
    asked = 0
    while not done.is_set():
        before = committed
        shown = tenant.get(f"{STATS}?since=2024-01-15T10:30:00Z").json
        assert before <= shown["total_actions"] <= committed + 7
        assert shown["total_actions"] % 7 == 0
        if shown["total_actions"]:
            assert shown["average_execution_time_ms"] == 10
        asked += 1
    for thread in threads:
        thread.join()
    assert asked > 5
    assert tenant.get(STATS).json["total_actions"] == 420


def test_the_worker_folds_when_beat_calls(
    world: World, settings: Settings, maintenance: Database, worker: None
) -> None:
    """What waits for some seconds, through the broker and the maintenance queue."""
    tenant = world.settle()
    commit(world, tenant, 2)
    producer = create_producer(broker_of(settings), 1.0)

    def is_folded() -> bool:
        producer.send_task(FOLD_TASK, queue=MAINTENANCE_QUEUE)
        return waiting(maintenance, tenant) == 0

    eventually(is_folded)
    producer.close()
    assert differences(maintenance, tenant) == []


def test_a_little_traffic_waits_for_company(world: World, maintenance: Database) -> None:
    """So that the units of the month are not rewritten for every batch."""
    tenant = world.settle()
    commit(world, tenant, 2)
    fold_waiting(maintenance, batches=5, age_s=60)
    assert waiting(maintenance, tenant) == 4
    commit(world, tenant, 1)
    fold_waiting(maintenance, batches=5, age_s=60)
    assert waiting(maintenance, tenant) == 0
    commit(world, tenant, 1)
    fold_waiting(maintenance, batches=5, age_s=0)
    assert waiting(maintenance, tenant) == 0


OLD = {
    "action": "SELECT jsonb_build_object('cells', jsonb_agg(cell - 8 - 7))"
    " FROM jsonb_array_elements(summary->'cells') AS cell",
    "audit": "SELECT jsonb_build_object('cells', jsonb_agg(cell - 5 - 4))"
    " FROM jsonb_array_elements(summary->'cells') AS cell",
}


@pytest.mark.parametrize("lost", [False, True])
def test_summaries_of_before_count_as_well(
    world: World, settings: Settings, maintenance: Database, lost: bool
) -> None:
    """They lack first, last, slowest and users, which their rows tell; if these are gone too, the
    counts are right at least.
    """
    tenant = world.settle()
    world.put(*some_records(tenant.tenant_id, 300, 8))
    paths = [STATS, *(f"/api/v1/logs/analytics/{name}" for name in ("slowest", "user-activity"))]
    before = [tenant.get(path).json for path in paths]
    with as_owner(settings) as owner:
        for kind, expression in OLD.items():
            rewritten = f"UPDATE log_batches SET summary = ({expression})"
            condition = " WHERE tenant_id = :tenant AND kind = :kind"
            values = {"tenant": tenant.tenant_id, "kind": kind}
            assert owner.execute(text(rewritten + condition), values).rowcount == 1
        if lost:
            for table in ("action_logs", "audit_logs"):
                deletion = f"DELETE FROM {table} WHERE tenant_id = :tenant"
                owner.execute(text(deletion), {"tenant": tenant.tenant_id})
    waited = [tenant.get(path).json for path in paths]
    assert fold_one(maintenance, tenant) == 2
    folded = [tenant.get(path).json for path in paths]
    assert waited[0] == folded[0] == before[0]
    if not lost:
        assert waited == folded == before
        assert differences(maintenance, tenant) == []


def verify(world: World, *options: str) -> Any:
    """`flask rollups verify`."""
    return world.app.test_cli_runner().invoke(args=["rollups", "verify", *options])


def test_the_check_names_what_differs(
    world: World, settings: Settings, maintenance: Database
) -> None:
    """The unit, the cell and what either says; the exit status is 1."""
    tenant = world.settle()
    world.put(
        action(tenant.tenant_id, action_type="email_send", execution_time_ms=3),
        audit(tenant.tenant_id, user_id="ann"),
    )
    assert fold_one(maintenance, tenant) == 2
    sound = verify(world, "--tenant", tenant.slug)
    assert sound.exit_code == 0, sound.output
    with as_owner(settings) as owner:
        rewrite = (
            "UPDATE action_rollups SET cells = set_byte(cells, 4, 9) WHERE tenant_id = :tenant"
        )
        owner.execute(text(rewrite), {"tenant": tenant.tenant_id})
        rewrite = "UPDATE user_rollups SET audits = 5 WHERE tenant_id = :tenant AND grain = 'day'"
        owner.execute(text(rewrite), {"tenant": tenant.tenant_id})
    ill = verify(world, "--tenant", tenant.slug)
    assert ill.exit_code == 1
    assert "email_send hubspot success" in ill.output
    assert "'count': 9" in ill.output
    assert "'count': 1" in ill.output
    assert "ann update contact" in ill.output
    assert "not what the records add up to" in ill.output


@pytest.mark.parametrize("table", ["action_logs", "log_batches"])
def test_the_check_tells_of_records_that_no_batch_or_no_row_has(
    world: World, settings: Settings, maintenance: Database, table: str
) -> None:
    """Whichever of the two was lost."""
    tenant = world.settle()
    world.put(action(tenant.tenant_id))
    with as_owner(settings) as owner:
        owner.execute(
            text(f"DELETE FROM {table} WHERE tenant_id = :tenant"), {"tenant": tenant.tenant_id}
        )
    (found,) = [one for one in differences(maintenance, tenant) if one.part == "cells"]
    assert "nothing" in {found.rollup, found.records}


def test_the_command_folds_all_that_waits(world: World, maintenance: Database) -> None:
    """At once, however little."""
    tenant = world.settle()
    commit(world, tenant, 1)
    result = world.app.test_cli_runner().invoke(args=["rollups", "fold"])
    assert result.exit_code == 0, result.output
    assert waiting(maintenance, tenant) == 0
