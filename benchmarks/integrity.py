"""What holding every record to its tenant costs: no check, one check per batch, a key per row.

COPY of batches into three copies of the same lean table, in turn, so that drift hits all alike.
"""

import io
import time
from uuid import UUID

import psycopg2
from sqlalchemy import make_url
from uuid_utils.compat import uuid7

from app.domain.codec import encode
from app.domain.records import Kind
from app.store.columns import WRITTEN

from .support import action, median, servers

BATCH_ROWS = 500
WAYS = ("none", "batch", "row")
TABLE = """
CREATE TABLE {name} (tenant_id uuid NOT NULL {reference}, created_at timestamptz NOT NULL,
    id uuid NOT NULL, action_type text NOT NULL, provider_name varchar(100) NOT NULL,
    request_payload jsonb NOT NULL, response_data jsonb, status text NOT NULL, error_message text,
    execution_time_ms integer NOT NULL, operation_id varchar(255), metadata jsonb,
    batch_id uuid NOT NULL, PRIMARY KEY (tenant_id, created_at, id))
"""


def run(smoke: bool) -> dict[str, float]:
    """Rows per second of each way, and the ratios to no check, with 1 and with 100 tenants."""
    rounds, batches = (1, 4) if smoke else (7, 60)
    figures: dict[str, float] = {}
    with servers() as bench:
        url = make_url(bench.postgres.superuser_url).set(drivername="postgresql")
        connection = psycopg2.connect(url.render_as_string(hide_password=False))
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE owners (id uuid PRIMARY KEY)")
        for way in WAYS:
            reference = "REFERENCES owners (id)" if way == "row" else ""
            cursor.execute(TABLE.format(name=f"logs_{way}", reference=reference))
        for tenants in (1, 100):
            owners = [uuid7() for _ in range(tenants)]
            cursor.executemany("INSERT INTO owners VALUES (%s)", [(str(o),) for o in owners])
            connection.commit()
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(rounds):
                for way in WAYS:
                    texts = [_batch(owners) for _ in range(batches)]
                    seconds[way].append(_load(connection, way, texts, owners))
            base = median(seconds["none"])
            for way in WAYS:
                key = f"integrity.{way}.tenants_{tenants}"
                figures[f"{key}.rows_per_s"] = batches * BATCH_ROWS / median(seconds[way])
                figures[f"{key}.cost_ratio"] = median(seconds[way]) / base
        connection.close()
    return figures


def _batch(owners: list[UUID]) -> str:
    batch_id = uuid7()
    rows = (action(owners[i % len(owners)]) for i in range(BATCH_ROWS))
    ordered = sorted(rows, key=lambda record: (record.tenant_id, record.id))
    return "".join(f"{encode(record).decode()[2:]}\t{batch_id}\n" for record in ordered)


def _load(connection: object, way: str, texts: list[str], owners: list[UUID]) -> float:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    started = time.perf_counter()
    for lines in texts:
        if way == "batch":  # what the foreign key of log_batches does, once a tenant and batch
            cursor.execute(
                "SELECT 1 FROM owners WHERE id = ANY(%s::uuid[]) FOR KEY SHARE",
                ([str(owner) for owner in owners],),
            )
        columns = WRITTEN[Kind.ACTION]
        cursor.copy_expert(f"COPY logs_{way} ({columns}) FROM STDIN", io.StringIO(lines))
        connection.commit()  # type: ignore[attr-defined]
    return time.perf_counter() - started
