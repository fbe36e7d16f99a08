"""How fast the worker's code commits shipments, beside bare COPY of the same rows."""

import io
import time
from uuid import UUID, uuid4

import psycopg2
from sqlalchemy import make_url, text
from uuid_utils.compat import uuid7

from app.domain.codec import encode
from app.domain.records import ActionRecord, Kind
from app.pipeline.persist import Persister
from app.store.columns import DEFINITIONS, WRITTEN
from app.store.session import Database

from .support import action, median, servers

SHIPMENT_ROWS = 500


def run(smoke: bool) -> dict[str, float]:
    """Rows per second of one thread, and the ratios to COPY into the same key alone and table."""
    rounds, shipments = (1, 4) if smoke else (7, 40)
    with servers() as bench:
        owner = make_url(bench.env["OWNER_DATABASE_URL"]).set(drivername="postgresql")
        plain = psycopg2.connect(owner.render_as_string(hide_password=False))
        with plain.cursor() as cursor:
            cursor.execute(
                f"CREATE TABLE bare ({DEFINITIONS[Kind.ACTION]},"
                " PRIMARY KEY (tenant_id, created_at, id));"
                " CREATE TABLE same (LIKE action_logs INCLUDING ALL)"
            )
        plain.commit()
        database = Database.connect(bench.env["WORKER_DATABASE_URL"])
        persister = Persister(database)
        tenant_id = _demo_tenant(bench.env["MAINTENANCE_DATABASE_URL"])
        persister.persist(uuid4(), encode(action(tenant_id)))
        ours, bare, same = [], [], []
        for _ in range(rounds):
            records = [[action(tenant_id) for _ in range(SHIPMENT_ROWS)] for _ in range(shipments)]
            lines = [b"\n".join(map(encode, batch)) for batch in records]
            started = time.perf_counter()
            for batch in lines:
                persister.persist(uuid4(), batch)
            ours.append(time.perf_counter() - started)
            bare.append(_copy(plain, "bare", records))
            same.append(_copy(plain, "same", records))
        plain.close()
        database.close()
    rows = shipments * SHIPMENT_ROWS
    return {
        "persist.rows_per_s": rows / median(ours),
        "persist.copy_rows_per_s": rows / median(bare),
        "persist.ratio_to_copy": _ratio(bare, ours),
        "persist.ratio_to_copy_same_table": _ratio(same, ours),
    }


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return median([their / own for their, own in zip(theirs, ours, strict=True)])


def _copy(connection: object, table: str, batches: list[list[ActionRecord]]) -> float:
    batch_id = uuid7()
    end = f"\t{batch_id}\n"
    texts = ["".join(encode(r).decode()[2:] + end for r in batch) for batch in batches]
    started = time.perf_counter()
    for lines in texts:
        with connection.cursor() as cursor:  # type: ignore[attr-defined]
            statement = f"COPY {table} ({WRITTEN[Kind.ACTION]}) FROM STDIN"
            cursor.copy_expert(statement, io.StringIO(lines))
        connection.commit()  # type: ignore[attr-defined]
    return time.perf_counter() - started


def _demo_tenant(url: str) -> UUID:
    database = Database.connect(url)
    with database.unrestricted_unsafe() as session:
        found: UUID = session.execute(
            text("SELECT id FROM tenants WHERE slug = 'demo'")
        ).scalar_one()
    database.close()
    return found
