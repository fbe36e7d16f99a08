"""Writers whose transactions stay open for a random while, before and after their seq is drawn."""

import random
import time
from collections.abc import Sequence
from uuid import uuid4

import psycopg2
from sqlalchemy import create_engine, event, make_url
from uuid_utils.compat import uuid7

from app.domain.codec import encode
from app.domain.records import Kind, Record
from app.pipeline.persist import Persister
from app.store.batches import LOCK_TENANTS
from app.store.columns import TABLES, WRITTEN
from app.store.partitions import partition_name
from app.store.session import Database
from tests.support.world import lines_of

DELAY_S_MAX = 0.03


def dawdle() -> None:
    """Wait, mostly briefly, sometimes long enough for several other commits."""
    time.sleep(random.random() ** 3 * DELAY_S_MAX)


class DelayedPersister:
    """The workers' own code, with waits at its beginning and at its commit."""

    def __init__(self, url: str) -> None:
        engine = create_engine(url)
        event.listen(engine, "begin", lambda _: dawdle())
        event.listen(engine, "commit", lambda _: dawdle())
        self._database = Database(engine)
        self._persister = Persister(self._database)

    def commit(self, records: Sequence[Record]) -> None:
        """Persist the records as one shipment."""
        assert self._persister.persist(uuid4(), lines_of(*records)).inserted == len(records)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


class RawWriter:
    """Plain SQL that keeps to the ledger's protocol: rows, lock, batch, commit; waits between."""

    def __init__(self, url: str) -> None:
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg2.connect(plain)

    def commit(self, records: Sequence[Record]) -> None:
        """Insert the records, of one tenant, kind and week, as one batch."""
        batch_id, first = str(uuid7()), records[0]
        tenant_id, moments = str(first.tenant_id), [record.created_at for record in records]
        with self._connection, self._connection.cursor() as cursor:
            leaf = partition_name(first.kind, first.created_at)
            cursor.execute(
                "SELECT ensure_partition(%s, %s)", (TABLES[first.kind], first.created_at)
            )
            for record in records:
                cells = encode(record).decode().split("\t")[1:]
                values = [None if cell == "\\N" else cell for cell in cells]
                marks = ", ".join(["%s"] * (len(values) + 1))
                cursor.execute(
                    f"INSERT INTO {leaf} ({WRITTEN[first.kind]}) VALUES ({marks})",
                    [*values, batch_id],
                )
            dawdle()
            cursor.execute(LOCK_TENANTS, ([tenant_id],))
            dawdle()
            cursor.execute(
                "INSERT INTO log_batches"
                " (tenant_id, id, kind, row_count, min_created_at, max_created_at)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (tenant_id, batch_id, Kind(first.kind), len(records), min(moments), max(moments)),
            )
            dawdle()

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
