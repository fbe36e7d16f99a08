"""How fast two worker processes drain the broker, all included, beside one task per record."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.broker import Broker
from app.dev import process
from app.domain.codec import encode
from app.store.session import Database
from app.worker import Dispatcher

from .support import ROOT, Bench, action, median, servers
from .task_per_record import insert_record

SHIPMENT_ROWS = 500
WORKERS = 2
DRAIN_S = 300.0


def run(smoke: bool) -> dict[str, float]:
    """Rows per second of two workers with 1 and with 100 tenants, and ratios."""
    rounds, shipments, singles = (1, 4, 50) if smoke else (5, 120, 2_000)
    with servers() as bench:
        tenants = _tenants(bench, 100)
        one, many = [], []
        for _ in range(rounds):
            one.append(_drain(bench, shipments, tenants[:1]))
            many.append(_drain(bench, shipments, tenants))
        single = [_drain_singles(bench, singles, tenants[0]) for _ in range(rounds)]
    return {
        "drain.tenants_1.rows_per_s": median(one),
        "drain.tenants_100.rows_per_s": median(many),
        "drain.tenants_100.ratio_to_1": median(many) / median(one),
        "persist.task_per_record.rows_per_s": median(single),
        "persist.ratio_to_task_per_record": median(one) / median(single),
    }


def _drain(bench: Bench, shipments: int, tenants: list[UUID]) -> float:
    """Put shipments into the queue, then start the workers, then wait until all is committed."""
    dispatcher = Dispatcher(Broker(bench.broker.url), 5.0)
    before = _rows(bench)
    for _ in range(shipments):
        rows = (encode(action(tenants[i % len(tenants)])) for i in range(SHIPMENT_ROWS))
        dispatcher.send(uuid4(), b"\n".join(rows))
    wanted = before + shipments * SHIPMENT_ROWS
    return _timed(bench, "tasks", "opsledger.persist", before, wanted)


def _drain_singles(bench: Bench, count: int, tenant_id: UUID) -> float:
    app = insert_record.app
    app.conf.broker_url = bench.broker.url
    before = _rows(bench)
    for _ in range(count):
        record = action(tenant_id)
        insert_record.apply_async(args=(encode(record).decode(),), queue="single")
    return _timed(bench, "benchmarks.task_per_record", "single", before, before + count)


def _timed(bench: Bench, module: str, queue: str, before: int, wanted: int) -> float:
    """Rows per second from the first committed row to the last."""
    with _workers(bench, module, queue):
        deadline = time.monotonic() + DRAIN_S
        while _rows(bench) == before:
            time.sleep(0.005)
        first, started = _rows(bench), time.perf_counter()
        while (now := _rows(bench)) < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        return (now - first) / (time.perf_counter() - started)


@contextmanager
def _workers(bench: Bench, module: str, queue: str) -> Iterator[None]:
    argv = [sys.executable, "-m", "celery", "--quiet", "-A", module, "worker", "--pool", "threads"]
    argv += ["--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    argv += ["--loglevel", "WARNING", "--queues", queue]
    children = [
        process.spawn(
            [*argv, "--hostname", f"w{number}@%h"],
            log_path=bench.folder / f"{queue}{number}.log",
            env=bench.env,
            cwd=ROOT,
        )
        for number in range(WORKERS)
    ]
    try:
        yield
    finally:
        for child in children:
            process.kill(child)


def _rows(bench: Bench) -> int:
    database = _database(bench)
    with database.unrestricted_unsafe() as session:
        counted = "SELECT coalesce(sum(row_count), 0) FROM log_batches"
        return int(session.execute(text(counted)).scalar_one())


_databases: dict[str, Database] = {}


def _database(bench: Bench) -> Database:
    url = bench.env["MAINTENANCE_DATABASE_URL"]
    return _databases.setdefault(url, Database.connect(url))


def _tenants(bench: Bench, count: int) -> list[UUID]:
    made = [uuid7() for _ in range(count)]
    with _database(bench).unrestricted_unsafe() as session:
        for tenant_id in made:
            values = {"id": str(tenant_id), "slug": f"t-{tenant_id.hex}"}
            session.execute(
                text("INSERT INTO tenants (id, name, slug) VALUES (:id, 'T', :slug)"), values
            )
    return made
