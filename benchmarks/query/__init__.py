"""How fast the ledger is read: every list, the statistics, a detail, deep pages; over HTTP and as
SQL, beside the naive schema and django-auditlog's with the same rows.

A million records by default; `--rows 10000000` for more (some 15 GB of disk with the rivals).
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection

from app.domain.filters import ActionFilter, AuditFilter, Page, encode_cursor
from app.domain.identity import format_time
from app.pipeline.folding import fold_waiting
from app.store.action_logs import ActionLogRepository
from app.store.audit_logs import AuditLogRepository
from app.store.session import Database
from benchmarks.support import Bench, median, percentile, servers
from tests.support.product import Product

from .client import Client
from .lists import ACTIONS, LIMIT, Probe, action_lists, audit_lists
from .load import burst, connect, index_bytes, load, make_tenants
from .rivals import auditlog_query, make_auditlog, make_naive, naive_query

ROWS = 1_000_000
SMOKE_ROWS = 20_000
ROUNDS = 50
BURSTS, SMOKE_BURSTS = 15, 1
RIVAL_S_MAX = 3.0  # for the rounds of one list on a rival; at least one is made
DEEP_PAGE = 10_000
TRIVIAL = f"{ACTIONS}/00000000-0000-4000-8000-000000000000"  # no id of ours: 404 without a look

Figures = dict[str, float]


def run(smoke: bool, rows: int | None = None) -> Figures:
    """Milliseconds over HTTP and as SQL, warm, medians of 50; ratios to the rivals."""
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    rounds = 2 if smoke else ROUNDS
    with servers() as bench:
        tenants = make_tenants(bench)
        figures = load(bench, rows, tenants) | index_bytes(bench)
        fold(bench)
        plain = connect(bench)
        with Product(bench.env, bench.folder, ("web",)) as product:
            client = Client(product.port)
            figures |= _endpoints(client, plain, tenants[0], rounds)
            probes = [*action_lists(_newest(plain, tenants[0])), *audit_lists()]
            figures |= _lists(client, probes, rounds)
        figures |= _sql(bench, plain, probes, tenants[0], rounds, rivals=not smoke)
        plain.close()
        figures |= burst(bench, tenants, SMOKE_BURSTS if smoke else BURSTS)
    return figures


def fold(bench: Bench) -> None:
    """What a minute of beat does: nothing waits to be folded."""
    database = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
    while fold_waiting(database, batches=1, age_s=0):
        pass
    database.close()


def _newest(plain: connection, tenant_id: UUID) -> datetime:
    cursor = plain.cursor()
    newest = "SELECT max(created_at) FROM action_logs WHERE tenant_id = %s"
    cursor.execute(newest, (str(tenant_id),))
    found: datetime = cursor.fetchone()[0]
    return found


def _endpoints(client: Client, plain: connection, tenant_id: UUID, rounds: int) -> Figures:
    """A trivial call, one record, statistics, and page 10,000 against page 1."""
    cursor = plain.cursor()
    cursor.execute(
        "SELECT id FROM action_logs WHERE tenant_id = %s ORDER BY random() LIMIT 20",
        (str(tenant_id),),
    )
    ids = [found[0] for found in cursor.fetchall()]
    since = format_time(_newest(plain, tenant_id) - timedelta(days=30, minutes=7))
    figures: Figures = {}
    for name, paths in {
        "trivial": [TRIVIAL],
        "detail": [f"{ACTIONS}/{id_}" for id_ in ids],
        "stats": ["/api/v1/logs/stats"],
        "stats_window": [f"/api/v1/logs/stats?since={since}"],
        "page_1000": [f"{ACTIONS}?limit=1000"],
    }.items():
        times = client.times(paths, rounds)
        figures[f"query.{name}.p50_ms"] = median(times)
        figures[f"query.{name}.p99_ms"] = percentile(times, 0.99)
    return figures | _deep_page(client, cursor, tenant_id, rounds)


def _deep_page(client: Client, cursor: Any, tenant_id: UUID, rounds: int) -> Figures:
    """Page 10,000 by cursor against page 1, in turn; of as many rows as there are for it."""
    cursor.execute("SELECT count(*) FROM action_logs WHERE tenant_id = %s", (str(tenant_id),))
    limit = min(LIMIT, cursor.fetchone()[0] // (DEEP_PAGE + 1)) or 1
    cursor.execute(
        "SELECT id FROM action_logs WHERE tenant_id = %s ORDER BY created_at DESC, id DESC"
        " OFFSET %s LIMIT 1",
        (str(tenant_id), limit * (DEEP_PAGE - 1) - 1),
    )
    found = cursor.fetchone()
    if found is None:  # a smoke run has not as many rows
        return {}
    after = encode_cursor(UUID(found[0]), ActionFilter(), f"actions {tenant_id}")
    first, deep = f"{ACTIONS}?limit={limit}", f"{ACTIONS}?limit={limit}&after={after}"
    pairs = [(client.times([first], 1)[0], client.times([deep], 1)[0]) for _ in range(rounds)]
    return {"query.deep_page_ratio": median([d for _, d in pairs]) / median([f for f, _ in pairs])}


def _lists(client: Client, probes: list[Probe], rounds: int) -> Figures:
    figures: Figures = {}
    for probe in probes:
        times = client.times([probe.path], rounds)
        figures[f"query.list.{probe.name}.p50_ms"] = median(times)
        figures[f"query.list.{probe.name}.p99_ms"] = percentile(times, 0.99)
    ours = [value for name, value in figures.items() if name.endswith("p50_ms")]
    worst = [value for name, value in figures.items() if name.endswith("p99_ms")]
    return figures | {"query.list.worst.p50_ms": max(ours), "query.list.worst.p99_ms": max(worst)}


def _sql(
    bench: Bench,
    plain: connection,
    probes: list[Probe],
    tenant_id: UUID,
    rounds: int,
    *,
    rivals: bool,
) -> Figures:
    """Our statements without HTTP, and how many times as long the rivals' take."""
    naive = auditlog = False
    if rivals:
        make_naive(plain)
        naive, auditlog = True, make_auditlog(bench, plain)
    database = Database.connect(bench.env["DATABASE_URL"])
    cursor = plain.cursor()
    figures: Figures = {}
    for probe in probes:

        def ours(probe: Probe = probe) -> None:
            with database.tenant(tenant_id, snapshot=True) as session:
                if isinstance(probe.filters, AuditFilter):
                    AuditLogRepository(session, tenant_id).search(probe.filters, Page(LIMIT + 1))
                else:
                    ActionLogRepository(session, tenant_id).search(probe.filters, Page(LIMIT + 1))

        name = f"query.sql.{probe.name}"
        figures[f"{name}.p50_ms"] = base = median(_times(ours, rounds))
        for rival, there, ask in (
            ("naive", naive, naive_query),
            ("auditlog", auditlog and probe.by_rival, auditlog_query),
        ):
            if there:
                statement = ask(probe, tenant_id)

                def theirs(statement: tuple[str, list[object]] = statement) -> None:
                    cursor.execute(*statement)
                    cursor.fetchall()

                figures[f"{name}.{rival}_ratio"] = median(_times(theirs, rounds)) / base
    database.close()
    return figures


def _times(work: Callable[[], None], rounds: int) -> list[float]:
    """Milliseconds of each round, of as many as there is time for, after one to warm up."""
    until = time.perf_counter() + RIVAL_S_MAX
    work()
    times: list[float] = []
    while not times or (len(times) < rounds and time.perf_counter() < until):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return times
