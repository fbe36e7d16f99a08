"""Writing: what one worker transaction does to the ledger, step by step.

The steps are safe to repeat: a shipment is received once, a record inserted once by its id.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg2.errors
from psycopg2.extras import execute_values
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from ..domain.codec import Head, dump_json
from ..domain.records import Kind
from .columns import DEFINITIONS, WRITTEN
from .models import DeadLetterRow, ShipmentRow

REASON_CHARS_MAX = 1000  # it is for people; the bytes are beside it
COPIED_COLUMN = re.compile(r"^COPY \w+, line \d+, column (\w+)", re.MULTILINE)

UNSTORABLE = (  # SQLSTATE classes 22, 23 and 54: about the data, whatever is tried again
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.errors.ProgramLimitExceeded,
    psycopg2.errors.StatementTooComplex,
)
# A worker that froze or vanished inside its transaction must not hold others up: its locks are a
# tenant's and a shipment's. Sent with RECEIVE, since each statement costs a round trip.
IDLE_S_MAX = 30  # in a transaction; a worker that is alive is back within milliseconds
LOCK_WAIT_S_MAX = 10  # then the shipment goes back to the queue
LIMITS = """
    SET LOCAL idle_in_transaction_session_timeout = '{idle}s'; SET LOCAL lock_timeout = '{lock}s';
    SET LOCAL tcp_keepalives_idle = 10; SET LOCAL tcp_keepalives_interval = 5;
    SET LOCAL tcp_keepalives_count = 3;
"""
# One statement, since each costs a round trip: note the arrival, and look for the tenants.
RECEIVE = """
    WITH arrived AS (INSERT INTO shipments (id) VALUES (%s) ON CONFLICT DO NOTHING RETURNING id)
    SELECT EXISTS (SELECT FROM arrived),
           ARRAY(SELECT id::text FROM tenants WHERE id::text = ANY(%s))
"""
# The lock per tenant, taken in order and held to the commit, makes seq the order of commits; a
# sequence alone would give the order of allocation.
LOCK_TENANTS = """
    SELECT pg_advisory_xact_lock(hashtextextended('log_batches ' || tenant, 0))
    FROM (SELECT unnest(%s) AS tenant ORDER BY 1) AS tenants
"""
SET_ASIDE = """
    INSERT INTO late_records (tenant_id, kind, id, created_at, payload, shipment_id)
    VALUES %s ON CONFLICT DO NOTHING
"""
ADD_BATCHES = """
    INSERT INTO log_batches
        (tenant_id, id, kind, row_count, min_created_at, max_created_at, summary)
    VALUES %s
"""


class Unstorable(Exception):
    """Postgres refuses these records for what they hold; repeating cannot help."""


class LetterGone(LookupError):
    """The dead letter is not there any more."""


class AlreadyStored(Exception):
    """Some of these records are in the ledger."""


class PartitionMissing(Exception):
    """The partition these records belong in is gone; it has to be made again."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What RECEIVE says: whether the shipment is new, and which of its tenants exist."""

    new: bool
    tenant_ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records of one tenant and kind that become visible together; times as Postgres reads them."""

    id: UUID
    tenant_id: str
    kind: Kind
    row_count: int
    min_created_at: str
    max_created_at: str
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that cannot be stored, as it came, and why."""

    payload: bytes
    reason: str
    tenant_id: UUID | None = None
    kind: Kind | None = None
    record_id: UUID | None = None


class LedgerWriter:
    """The write side of one transaction, as the worker role."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection = session.connection()
        self._cursor: Any = self._connection.connection.cursor()

    def receive(self, shipment_id: UUID, tenant_ids: Iterable[str]) -> Arrival:
        """Note the shipment as arrived, and look for its tenants.

        A second delivery at the same time waits here until the first has committed, but not long.
        """
        limits = LIMITS.format(idle=IDLE_S_MAX, lock=LOCK_WAIT_S_MAX)
        self._cursor.execute(limits + RECEIVE, (str(shipment_id), list(tenant_ids)))
        new, found = self._cursor.fetchone()
        return Arrival(new, frozenset(found))

    def copy(self, partition: str, kind: Kind, lines: str) -> None:
        """Insert rows, all of them new; the transaction is over if they are not.

        Raises:
            AlreadyStored: one of them is there.
            Unstorable: Postgres refuses one of them.
            PartitionMissing: the partition does not exist.
        """
        with _translated():
            self._copy(partition, kind, lines)

    def insert_missing(self, partition: str, kind: Kind, lines: str) -> set[tuple[str, str]]:
        """Insert the rows that are not there, and go on from before it if it fails.

        Returns:
            The tenant and id of each that was not there yet.

        Raises:
            Unstorable: Postgres refuses one of them; none was inserted.
            PartitionMissing: the partition does not exist; nothing was inserted.
        """
        # A savepoint of the connection: the session would make its own only at its first statement,
        # and these go by the cursor.
        with _translated(), self._connection.begin_nested():
            self._cursor.execute(f"CREATE TEMP TABLE arrived ({DEFINITIONS[kind]}) ON COMMIT DROP")
            self._copy("arrived", kind, lines)
            self._cursor.execute(
                f"INSERT INTO {partition} ({WRITTEN[kind]}) SELECT {WRITTEN[kind]} FROM arrived"  # noqa: S608
                " ORDER BY tenant_id, id ON CONFLICT DO NOTHING RETURNING tenant_id::text, id::text"
            )
            inserted = set(self._cursor)
            self._cursor.execute("DROP TABLE arrived")
        return inserted

    def set_aside(self, heads: Sequence[Head], shipment_id: UUID) -> int:
        """Keep late records as they came, each once.

        Returns:
            How many were not there yet.

        Raises:
            Unstorable: Postgres refuses one of them; none was kept.
        """
        values = [
            (head.tenant_id, head.kind.value, head.id, head.created_at, head.line, str(shipment_id))
            for head in heads
        ]
        with _translated(), self._connection.begin_nested():
            execute_values(self._cursor, SET_ASIDE, values, page_size=len(values))
        return int(self._cursor.rowcount)

    def add_batches(self, batches: Sequence[Batch]) -> None:
        """Write the batch rows, last in the transaction; their tenants are held to by key."""
        self._cursor.execute(LOCK_TENANTS, (sorted({batch.tenant_id for batch in batches}),))
        values = [
            (
                batch.tenant_id,
                str(batch.id),
                batch.kind.value,
                batch.row_count,
                batch.min_created_at,
                batch.max_created_at,
                dump_json(batch.summary).decode(),
            )
            for batch in sorted(batches, key=lambda batch: (batch.tenant_id, batch.kind))
        ]
        execute_values(self._cursor, ADD_BATCHES, values)

    def bury(self, letters: Sequence[DeadLetter], shipment_id: UUID) -> None:
        """Keep records that cannot be stored, with their bytes and reasons."""
        for letter in letters:
            values = {name: getattr(letter, name) for name in DeadLetter.__slots__}
            values["reason"] = _storable(letter.reason)
            # Inline: the worker may add dead letters and not read them, not even their new id.
            self._session.execute(
                insert(DeadLetterRow).values(**values, shipment_id=shipment_id).inline()
            )

    def answer_letter(self, letter_id: int, dead: Sequence[DeadLetter]) -> None:
        """Delete a letter whose record is stored; one that is dead again gets its new reason.

        Raises:
            LetterGone: somebody else deleted it; nothing of this transaction may stay.
        """
        if dead:
            reason = _storable(dead[0].reason)
            statement = "UPDATE dead_letters SET reason = %s WHERE id = %s"
            self._cursor.execute(statement, (reason, letter_id))
        else:
            self._cursor.execute("DELETE FROM dead_letters WHERE id = %s", (letter_id,))
        if self._cursor.rowcount != 1:
            raise LetterGone

    def _copy(self, table: str, kind: Kind, lines: str) -> None:
        self._cursor.copy_expert(f"COPY {table} ({WRITTEN[kind]}) FROM STDIN", io.StringIO(lines))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg2.errors.UniqueViolation as error:
        raise AlreadyStored from error
    except psycopg2.errors.UndefinedTable as error:
        raise PartitionMissing from error
    except UNSTORABLE as error:
        raise Unstorable(_reason(error)) from error


def _reason(error: psycopg2.Error) -> str:
    """What Postgres says, with the column where it tells; its details may quote the payload."""
    column = COPIED_COLUMN.search(error.diag.context or "")
    message = error.diag.message_primary or str(error).split("\n")[0]
    return f"{column[1]}: {message}" if column else message


def _storable(reason: str) -> str:
    """A reason may quote the very characters that the record was refused for."""
    safe = reason.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return safe[:REASON_CHARS_MAX]


def confirmed_shipments(session: Session, shipment_ids: list[UUID]) -> set[UUID]:
    """Those of the shipments whose records Postgres holds."""
    found = session.execute(select(ShipmentRow.id).where(ShipmentRow.id.in_(shipment_ids)))
    return set(found.scalars())
