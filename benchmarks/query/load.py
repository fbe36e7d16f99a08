"""Loading the history as workers do, so that batches and summaries are as they would be; then a
burst of new records, in turn with COPY of the same into the bare key.
"""

import io
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import islice, product
from uuid import UUID, uuid4

import psycopg2
from psycopg2.extensions import connection
from sqlalchemy import make_url, text
from uuid_utils.compat import uuid7

from app.domain.records import Kind
from app.pipeline.persist import Persister
from app.store.columns import DEFINITIONS, WRITTEN
from app.store.session import Database
from benchmarks.support import Bench, median

from .rows import TENANTS, History

ROUND_SHIPMENTS = 30
WORKER_THREADS = 4  # as the Procfile has it
BURST_ROWS = 300_000_000  # in 89 days: some 39 a second of all tenants, 500 of one within a minute
BARE = {kind: f"bare_{kind}s" for kind in Kind}
KEY = "PRIMARY KEY (tenant_id, created_at, id)"


def connect(bench: Bench) -> connection:
    """The superuser's connection to our database; every statement by itself."""
    url = make_url(bench.postgres.superuser_url).set(drivername="postgresql", database="opsledger")
    made = psycopg2.connect(url.render_as_string(hide_password=False))
    made.autocommit = True
    return made


def make_tenants(bench: Bench) -> list[UUID]:
    """The tenants, the big one first: that of the demo key."""
    database = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
    with database.unrestricted_unsafe() as session:
        found = session.execute(text("SELECT id FROM tenants WHERE slug = 'demo'"))
        ids = [found.scalar_one(), *(uuid7() for _ in range(TENANTS - 1))]
        for number, tenant_id in enumerate(ids[1:]):
            session.execute(
                text("INSERT INTO tenants (id, name, slug) VALUES (:id, 'T', :slug)"),
                {"id": str(tenant_id), "slug": f"tenant-{number}"},
            )
    database.close()
    return ids


def load(bench: Bench, rows: int, tenant_ids: list[UUID]) -> dict[str, float]:
    """Load so many records; returns how many it were."""
    database = Database.connect(bench.env["WORKER_DATABASE_URL"])
    persister = Persister(database)
    done = 0
    for shipment in History(rows, tenant_ids, datetime.now(UTC)).shipments():
        _persist(persister, [shipment])
        done += shipment[0]
    database.close()
    plain = connect(bench)
    plain.cursor().execute("VACUUM ANALYZE")
    plain.cursor().execute("CHECKPOINT")
    plain.close()
    return {"query.rows": done}


def burst(bench: Bench, tenant_ids: list[UUID], rounds: int) -> dict[str, float]:
    """How fast records are taken that come faster than usual, beside bare COPY of the same: by a
    worker as the Procfile runs it, and by one thread alone.
    """
    database = Database.connect(bench.env["WORKER_DATABASE_URL"])
    persister = Persister(database)
    plain = connect(bench)
    for kind, table in BARE.items():
        plain.cursor().execute(f"CREATE TABLE {table} ({DEFINITIONS[kind]}, {KEY})")
    shipments = History(BURST_ROWS, tenant_ids, datetime.now(UTC)).shipments()
    ways = {"": WORKER_THREADS, ".one_thread": 1}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    for _, (way, threads) in product(range(rounds), ways.items()):
        some = list(islice(shipments, ROUND_SHIPMENTS))
        texts = [_copied(body) for _, body in some]
        with ThreadPoolExecutor(threads) as worker:
            started = time.perf_counter()
            list(worker.map(partial(_persist, persister), ([each] for each in some)))
            between = time.perf_counter()
        copying = time.perf_counter()
        _copy(plain, texts)
        copied = time.perf_counter() - copying
        seconds[way].append((between - started) / sum(count for count, _ in some))
        ratios[way].append(copied / (between - started))
    database.close()
    plain.cursor().execute(f"DROP TABLE {', '.join(BARE.values())}")
    plain.close()
    return {f"query.ingest_rows_per_s{way}": 1 / median(seconds[way]) for way in ways} | {
        f"query.ingest_ratio_to_copy{way}": median(ratios[way]) for way in ways
    }


def index_bytes(bench: Bench) -> dict[str, float]:
    """Bytes of index per row, of both logs together and of each."""
    plain = connect(bench)
    cursor = plain.cursor()
    found: dict[str, tuple[int, int]] = {}
    for log in ("action_logs", "audit_logs"):
        cursor.execute(
            f"SELECT (SELECT count(*) FROM {log}), sum(pg_indexes_size(relid))::bigint"
            f" FROM pg_partition_tree('{log}') WHERE isleaf"
        )
        found[log] = cursor.fetchone()
    plain.close()
    rows, size = (sum(pair[place] for pair in found.values()) for place in (0, 1))
    each = {f"query.index_bytes_per_row.{log}": s / max(n, 1) for log, (n, s) in found.items()}
    return {"query.index_bytes_per_row": size / max(rows, 1), **each}


def _persist(persister: Persister, shipments: list[tuple[int, bytes]]) -> None:
    for count, body in shipments:
        outcome = persister.persist(uuid4(), body)
        if outcome.inserted != count:
            raise RuntimeError(f"{outcome} of {count} records")


def _copied(body: bytes) -> tuple[Kind, str]:
    """A shipment as COPY takes it without a worker; audits too, as rows of their own shape."""
    end = f"\t{uuid7()}\n"
    kind = Kind.ACTION if body.startswith(b"a") else Kind.AUDIT
    return kind, "".join(line[2:] + end for line in body.decode().split("\n"))


def _copy(plain: connection, texts: list[tuple[Kind, str]]) -> None:
    for kind, lines in texts:
        statement = f"COPY {BARE[kind]} ({WRITTEN[kind]}) FROM STDIN"
        plain.cursor().copy_expert(statement, io.StringIO(lines))
