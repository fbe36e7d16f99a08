"""A long outage: a million records ingested over HTTP with the broker away, then drained.

One web process has all of them in its spool and ships them while it goes on serving; two workers
store them. What is fresh during the drain is a CRM call's record, made over and over. Calls are
compared with those of a second web process, which has no backlog, in turn.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests
from sqlalchemy import text

from app.dev.process import wait_until
from app.dev.procfile import read_procfile
from app.dev.program import Program
from app.store.session import Database
from tests.support.product import ROOT, Product

from .support import Bench, median, payload, percentile, servers

BATCH_RECORDS = 1_000  # of one ingest request
CALLS, TURNS = 20, 20  # CRM calls of one process before it is the other's turn, and turns
SPOOL_BYTES_MAX = 4 * 2**30  # the bound set for such an outage
FRESH_EVERY_S = 0.05
DRAIN_S_MAX = 600.0
PROVIDER = "backlog"
MIB = 2**20
# The file that was being written when the drain began counts as fresh: its turn comes early.
NEWEST_FILE_RECORDS = 15_000
DELAYS = """
    SELECT (extract(epoch FROM b.committed_at - a.created_at) * 1000)::float
    FROM action_logs a JOIN log_batches b ON (b.tenant_id, b.id) = (a.tenant_id, a.batch_id)
    WHERE a.provider_name <> :provider AND a.created_at >= :since
"""
# In commit order: how far behind the youngest record committed so far each batch's oldest lies, in
# places of the order of age, as a share of the backlog.
SLIP = """
    WITH aged AS (
        SELECT batch_id, row_number() OVER (ORDER BY created_at, id) AS place
        FROM action_logs WHERE provider_name = :provider
    ), placed AS (
        SELECT b.seq, min(place) AS oldest, max(place) AS youngest
        FROM aged JOIN log_batches b ON b.id = aged.batch_id
        WHERE place <= :records - :newest GROUP BY b.seq
    )
    SELECT coalesce(max(slip), 0)::float / :records FROM (
        SELECT max(youngest) OVER (ORDER BY seq) - oldest AS slip FROM placed
    ) AS slips
"""


@dataclass(slots=True)
class _Drain:
    """What was seen while it drained."""

    seconds: float = 0.0
    calls: list[float] = field(default_factory=list)
    rss: int = 0


def run(smoke: bool) -> dict[str, float]:
    """Requests, memory, rate and order, before, during and after the outage."""
    records = 20_000 if smoke else 1_000_000
    with servers() as bench:
        env = {
            **bench.env,
            "OPSLEDGER_WEB_WORKERS": "1",
            "OPSLEDGER_SPOOL_BYTES_MAX": str(SPOOL_BYTES_MAX),
        }
        other = bench.folder / "other"
        other.mkdir()
        elsewhere = {**env, "OPSLEDGER_DATA_DIR": str(other)}
        with (
            Product(env, bench.folder, ("web", "worker")) as product,
            Product(elsewhere, other, ("web",)) as unladen,
        ):
            _calls(product, unladen)  # they fill caches and pools
            _await_empty(bench)
            product.programs["worker"].stop()
            bench.broker.stop()
            before = _web(product).memory_info().rss
            costs, appending = _ingest(product, records)
            laden_ms, unladen_ms = _calls(product, unladen)
            database = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
            drain, since = _drain(bench, product, database, records)
            delays = _ask(database, DELAYS, provider=PROVIDER, since=since)
            (slip,) = _ask(
                database, SLIP, provider=PROVIDER, records=records, newest=NEWEST_FILE_RECORDS
            )
            database.close()
    tenth = max(1, len(costs) // 10)
    return {
        "backlog.records": records,
        "backlog.call_p50_ratio": median(laden_ms) / median(unladen_ms),
        "backlog.call_p99_ratio": percentile(laden_ms, 0.99) / percentile(unladen_ms, 0.99),
        "backlog.ingest_cpu_us": median(costs),
        "backlog.ingest_cpu_last_to_first_ratio": sum(costs[-tenth:]) / sum(costs[:tenth]),
        "backlog.rss_before_mib": before / MIB,
        "backlog.rss_appending_mib": appending / MIB,
        "backlog.rss_draining_mib": drain.rss / MIB,
        "backlog.drain_s": drain.seconds,
        "backlog.drain_rows_per_s": records / drain.seconds,
        "backlog.call_draining_p50_ms": median(drain.calls),
        "backlog.fresh_p50_ms": percentile(delays, 0.5),
        "backlog.fresh_p99_ms": percentile(delays, 0.99),
        "backlog.fresh_max_ms": max(delays),
        "backlog.order_slip_share": slip,
    }


def _calls(one: Product, other: Product) -> tuple[list[float], list[float]]:
    """Milliseconds of each call of two processes, in turn."""
    times: dict[Product, list[float]] = {one: [], other: []}
    for _ in range(TURNS):
        for product, found in times.items():
            found += [product.call_crm() for _ in range(CALLS)]
    return times[one], times[other]


def _ingest(product: Product, records: int) -> tuple[list[float], int]:
    """What each request cost web's processor, in microseconds a record, and its largest memory."""
    item = {
        "action_type": "crm_create",
        "provider_name": PROVIDER,
        "status": "success",
        "execution_time_ms": 12,
        "request_payload": payload(),
    }
    body = json.dumps([item] * BATCH_RECORDS)
    url = f"http://127.0.0.1:{product.port}/api/v1/ingest/actions"
    costs, peak, web = [], 0, _web(product)
    for _ in range(records // BATCH_RECORDS):
        before = _cpu_s(web)
        answer = product.session.post(
            url, data=body, headers={"Content-Type": "application/json"}, timeout=30
        )
        _expect_all(answer)
        costs.append((_cpu_s(web) - before) / BATCH_RECORDS * 1e6)
        peak = max(peak, web.memory_info().rss)
    return costs, peak


def _expect_all(answer: requests.Response) -> None:
    if answer.status_code != 202 or answer.json()["accepted"] != BATCH_RECORDS:
        raise RuntimeError(f"ingest answered {answer.status_code}: {answer.text[:500]}")


def _drain(
    bench: Bench, product: Product, database: Database, records: int
) -> tuple[_Drain, object]:
    """Broker and workers come back; a fresh record now and then until the backlog is stored."""
    second = Program(
        "second-worker",
        read_procfile(ROOT / "Procfile", ["worker"])["worker"],
        env=product.env,
        cwd=ROOT,
        log_path=bench.folder / "second-worker.log",
    )
    (since,) = _ask(database, "SELECT clock_timestamp()")
    waited = "SELECT coalesce(sum(row_count), 0) FROM log_batches WHERE committed_at >= :since"
    bench.broker.start()
    product.programs["worker"].start()
    second.start()
    drain, web = _Drain(), _web(product)
    started = time.perf_counter()
    try:
        while _ask(database, waited, since=since)[0] < records + CALLS * TURNS:
            if time.perf_counter() - started > DRAIN_S_MAX:
                raise RuntimeError(f"not drained within {DRAIN_S_MAX} s")
            drain.calls.append(product.call_crm())
            drain.rss = max(drain.rss, web.memory_info().rss)
            time.sleep(FRESH_EVERY_S)
        drain.seconds = time.perf_counter() - started
        _await_empty(bench)
    finally:
        second.stop()
    return drain, since


def _await_empty(bench: Bench) -> None:
    spool = Path(bench.env["OPSLEDGER_DATA_DIR"]) / "spool"
    if not wait_until(lambda: not any(file.stat().st_size for file in spool.iterdir()), 60):
        raise RuntimeError("records still wait on disk")


def _web(product: Product) -> psutil.Process:
    """The process that serves, below gunicorn's master."""
    master = product.programs["web"].process
    assert master is not None
    (serving,) = psutil.Process(master.pid).children()
    return serving


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _ask(database: Database, statement: str, **values: object) -> list[float]:
    with database.unrestricted_unsafe() as session:
        return [row[0] for row in session.execute(text(statement), values)]
