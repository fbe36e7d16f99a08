"""A folder that is killed in the act has folded a summary whole or not at all."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from sqlalchemy import create_engine, text

from app.store.fold import fold
from app.store.rollup_check import find_differences
from app.store.session import Database
from tests.support.statistics import check
from tests.support.world import World, action, eventually

ROOT = Path(__file__).parents[2]
FOLD_FOR_EVER = """
import os
from app.pipeline.folding import fold_waiting
from app.store import fold
from app.store.session import Database
fold.BATCHES_MAX, fold.DETAIL_ROWS = 3, 30
database = Database.connect(os.environ["MAINTENANCE_DATABASE_URL"])
while True:
    fold_waiting(database, batches=1, age_s=0)
"""


@contextmanager
def folder(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that folds without end, until it is killed."""
    argv = [sys.executable, "-c", FOLD_FOR_EVER]
    process = subprocess.Popen(argv, env={**os.environ, **environment}, cwd=ROOT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def folded_seq(maintenance: Database, tenant_id: UUID) -> int:
    """How far a tenant is folded."""
    with maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT folded_seq FROM rollup_cursors WHERE tenant_id = :tenant")
        return session.execute(statement, {"tenant": tenant_id}).scalar() or 0


def fold_the_rest(maintenance: Database, tenant_id: UUID) -> None:
    """Fold until nothing waits."""
    folded = 1
    while folded:
        with maintenance.unrestricted_unsafe() as session:
            folded = fold(session, tenant_id)


def test_a_folder_killed_within_its_transaction_leaves_no_trace(
    world: World, maintenance: Database, environment: dict[str, str]
) -> None:
    """It is stopped where it writes units, having claimed the tenant and named the cells."""
    tenant = world.settle()
    records = [action(tenant.tenant_id, execution_time_ms=ms) for ms in range(40)]
    world.put(*records)
    engine = create_engine(environment["OWNER_DATABASE_URL"])
    with engine.begin() as owner:
        owner.execute(text("LOCK TABLE action_rollups IN SHARE MODE"))
        with folder(environment):
            waits = text(
                "SELECT count(*) FROM pg_locks WHERE NOT granted"
                " AND relation = 'action_rollups'::regclass"
            )
            eventually(lambda: owner.execute(waits).scalar_one() > 0)
    assert folded_seq(maintenance, tenant.tenant_id) == 0
    engine.dispose()
    check(tenant.get("/api/v1/logs/stats").json, records)
    fold_the_rest(maintenance, tenant.tenant_id)
    assert folded_seq(maintenance, tenant.tenant_id) > 0
    check(tenant.get("/api/v1/logs/stats").json, records)
    with maintenance.unrestricted_unsafe(snapshot=True) as session:
        assert list(find_differences(session, tenant.tenant_id)) == []


def test_folders_killed_at_any_moment_lose_nothing(
    world: World, maintenance: Database, environment: dict[str, str]
) -> None:
    """Six of them, one after the other, while records arrive."""
    tenant = world.settle()
    records = []
    done = threading.Event()

    def keep_committing() -> None:
        while not done.is_set():
            batch = [
                action(tenant.tenant_id, execution_time_ms=random.randrange(99)) for _ in "12345"
            ]
            world.put(*batch)
            records.extend(batch)
            time.sleep(0.005)

    writer = threading.Thread(target=keep_committing)
    writer.start()
    killed = []
    for _ in range(6):
        before = folded_seq(maintenance, tenant.tenant_id)
        with folder(environment):
            eventually(lambda at=before: folded_seq(maintenance, tenant.tenant_id) > at)
            time.sleep(random.uniform(0, 0.2))
        killed.append(folded_seq(maintenance, tenant.tenant_id))
    done.set()
    writer.join()
    assert killed == sorted(set(killed))
    check(tenant.get("/api/v1/logs/stats").json, records)
    fold_the_rest(maintenance, tenant.tenant_id)
    check(tenant.get("/api/v1/logs/stats").json, records)
    with maintenance.unrestricted_unsafe(snapshot=True) as session:
        assert list(find_differences(session, tenant.tenant_id)) == []
