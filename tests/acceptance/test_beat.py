"""Beat as a process: two do no harm, a dead one is seen, a new one is heard at once."""

import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text

from app.dev.procfile import read_procfile
from app.dev.program import Program
from app.store.session import Database
from app.worker import HEARTBEAT_TASK, PARTITIONS_TASK
from tests.support.product import ROOT, Product
from tests.support.upkeep import runs_of

HEARTBEAT_S = 1.0
WATCHED_S = 10.0


@pytest.fixture
def beating(product_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Servers of this test, for a beat that is heard every second."""
    return {**product_environment, "OPSLEDGER_HEARTBEAT_S": str(HEARTBEAT_S)}


def second_beat(product: Product, tmp_path: Path) -> Program:
    """Another host's beat: the same command with a schedule file of its own."""
    return Program(
        "second-beat",
        read_procfile(ROOT / "Procfile", ["beat"])["beat"],
        env={**product.env, "OPSLEDGER_DATA_DIR": str(tmp_path / "other")},
        cwd=ROOT,
        log_path=tmp_path / "second-beat.log",
    )


def starts(database: Database, seconds: float) -> list[float]:
    """When the heartbeat ran, as far as one can see within some seconds."""
    statement = text("SELECT extract(epoch FROM started_at) FROM task_runs WHERE name = :name")
    seen: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with database.unrestricted_unsafe() as session:
            found = session.execute(statement, {"name": HEARTBEAT_TASK}).scalar()
        if found is not None and float(found) not in seen:
            seen.append(float(found))
        time.sleep(0.05)
    return seen


def test_two_beats_make_one_run_a_period(beating: dict[str, str], tmp_path: Path) -> None:
    """And each rare task runs once, though both ask for it when they start."""
    (tmp_path / "other").mkdir()
    database = Database.connect(beating["MAINTENANCE_DATABASE_URL"])
    with Product(beating, tmp_path, ("web", "worker", "beat")) as product:
        other = second_beat(product, tmp_path)
        other.start()
        try:
            assert product.wait_for(lambda: runs_of(database, HEARTBEAT_TASK) > 0)
            time.sleep(3 * HEARTBEAT_S)  # until both are up and their clocks have settled
            seen = starts(database, WATCHED_S)
            assert other.poll() is None
        finally:
            other.stop()
        assert runs_of(database, PARTITIONS_TASK) == 1
    database.close()
    gaps = [after - before for before, after in pairwise(seen)]
    assert min(gaps) >= 0.75 * HEARTBEAT_S
    assert WATCHED_S * 0.6 <= len(seen) <= WATCHED_S + 1, gaps


def test_a_killed_beat_is_seen_and_a_new_one_heard(beating: dict[str, str], tmp_path: Path) -> None:
    """Queries are served meanwhile; nothing else is wrong."""
    with Product(beating, tmp_path, ("web", "worker", "beat")) as product:

        def state() -> tuple[int, str, str]:
            answer = product.get("/health/ready")
            return answer.status_code, answer.json()["status"], answer.json()["checks"]["beat"]

        assert product.wait_for(lambda: state() == (200, "ok", "ok"))
        beat = product.programs["beat"]
        assert beat.process is not None
        os.kill(beat.process.pid, 9)
        killed = time.monotonic()
        assert product.wait_for(lambda: state() == (200, "degraded", "late"))
        assert 4 * HEARTBEAT_S < time.monotonic() - killed < 12 * HEARTBEAT_S
        assert product.get("/api/v1/logs/actions").status_code == 200
        beat.start()
        assert product.wait_for(lambda: state() == (200, "ok", "ok"))
