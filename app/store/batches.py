"""Writing: what one worker transaction does to the ledger, step by step.

The steps are safe to repeat: a shipment is received once, a record inserted once by its id.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2.errors
from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from ..domain.records import Kind, Record
from .columns import COLUMN_TYPES, copy_line
from .models import DeadLetterRow, LogBatchRow, ShipmentRow, TenantRow

UNSTORABLE = (  # SQLSTATE classes 22, 23 and 54: about the data, whatever is tried again
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.errors.ProgramLimitExceeded,
    psycopg2.errors.StatementTooComplex,
)


REASON_CHARS_MAX = 1_000
COLUMN = re.compile(r", column (\w+)")


class Unstorable(Exception):
    """Postgres refuses these records for what they hold; repeating cannot help."""


class PartitionMissing(Exception):
    """The partition these records belong in is gone; it has to be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records of one tenant and kind that become visible together."""

    id: UUID
    tenant_id: UUID
    kind: Kind
    row_count: int
    min_created_at: datetime
    max_created_at: datetime


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

    def receive(self, shipment_id: UUID) -> bool:
        """Note the shipment as arrived; False if it was already.

        A second delivery at the same time waits here until the first has committed.
        """
        statement = upsert(ShipmentRow).values(id=shipment_id).on_conflict_do_nothing()
        return self._session.execute(statement.returning(ShipmentRow.id)).first() is not None

    def existing_tenants(self, tenant_ids: Iterable[UUID]) -> set[UUID]:
        """Those of the tenants that exist; add_batches() holds them to it by foreign key."""
        found = self._session.execute(select(TenantRow.id).where(TenantRow.id.in_(tenant_ids)))
        return set(found.scalars())

    def insert(
        self, partition: str, kind: Kind, rows: Sequence[tuple[Record, UUID]]
    ) -> set[tuple[UUID, UUID]]:
        """Insert records, each with its batch id, sorted by tenant and id.

        Returns:
            The tenant and id of each that was not there yet.

        Raises:
            Unstorable: Postgres refuses one of them; none was inserted.
            PartitionMissing: the partition does not exist; nothing was inserted.
        """
        try:
            lines = "".join(copy_line(record, batch_id) for record, batch_id in rows).encode()
        except (TypeError, UnicodeEncodeError) as error:
            raise Unstorable(str(error)) from error
        try:
            with self._savepoint():
                self._copy(partition, kind, lines)
            return {(record.tenant_id, record.id) for record, _ in rows}
        except psycopg2.errors.UniqueViolation:
            with self._savepoint():
                return self._insert_missing(partition, kind, lines)

    def add_batches(self, batches: Sequence[Batch]) -> None:
        """Write the batch rows, last in the transaction.

        The lock per tenant, taken in order and held to the commit, makes seq the order of
        commits; a sequence alone would give the order of allocation.
        """
        ordered = sorted(batches, key=lambda batch: (batch.tenant_id, batch.kind))
        for tenant_id in sorted({batch.tenant_id for batch in ordered}):
            self._session.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
                {"key": f"log_batches {tenant_id}"},
            )
        values: list[dict[str, Any]] = [
            {name: getattr(batch, name) for name in Batch.__slots__} for batch in ordered
        ]
        self._session.execute(insert(LogBatchRow), values)

    def bury(self, letters: Sequence[DeadLetter], shipment_id: UUID) -> None:
        """Keep records that cannot be stored, with their bytes and reasons."""
        for letter in letters:
            values = {name: getattr(letter, name) for name in DeadLetter.__slots__}
            values["reason"] = _storable(letter.reason)[:REASON_CHARS_MAX]
            # Inline: the worker may add dead letters and not read them, not even their new id.
            self._session.execute(
                insert(DeadLetterRow).values(**values, shipment_id=shipment_id).inline()
            )

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        try:
            with self._session.begin_nested():
                yield
        except psycopg2.errors.UniqueViolation:
            raise
        except psycopg2.errors.UndefinedTable as error:
            raise PartitionMissing from error
        except UNSTORABLE as error:
            raise Unstorable(_reason(error)) from error

    def _insert_missing(self, partition: str, kind: Kind, lines: bytes) -> set[tuple[UUID, UUID]]:
        cursor = self._cursor()
        types = ", ".join(f"{name} {type_}" for name, type_ in COLUMN_TYPES[kind].items())
        cursor.execute(f"CREATE TEMP TABLE arrived ({types}) ON COMMIT DROP")
        self._copy("arrived", kind, lines)
        columns = ", ".join(COLUMN_TYPES[kind])
        cursor.execute(
            f"INSERT INTO {partition} ({columns}) SELECT {columns} FROM arrived"  # noqa: S608
            " ORDER BY tenant_id, id ON CONFLICT DO NOTHING RETURNING tenant_id, id"
        )
        inserted = {(UUID(str(tenant_id)), UUID(str(record_id))) for tenant_id, record_id in cursor}
        cursor.execute("DROP TABLE arrived")
        return inserted

    def _copy(self, table: str, kind: Kind, lines: bytes) -> None:
        self._cursor().copy_expert(
            f"COPY {table} ({', '.join(COLUMN_TYPES[kind])}) FROM STDIN", io.BytesIO(lines)
        )

    def _cursor(self) -> Any:
        return self._session.connection().connection.cursor()


def _reason(error: psycopg2.Error) -> str:
    """What Postgres has against the data, in one line, with the column if it names one."""
    column = COLUMN.search(error.diag.context or "")
    # The detail of an integrity error is the whole row, which the dead letter holds anyway.
    detail = error.diag.message_detail if isinstance(error, psycopg2.DataError) else None
    parts = (column.group(1) if column else None, error.diag.message_primary, detail)
    return ": ".join(part for part in parts if part)


def _storable(reason: str) -> str:
    """A reason may quote the very characters that the record was refused for."""
    return reason.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def confirmed_shipments(session: Session, shipment_ids: list[UUID]) -> set[UUID]:
    """Those of the shipments whose records Postgres holds."""
    found = session.execute(select(ShipmentRow.id).where(ShipmentRow.id.in_(shipment_ids)))
    return set(found.scalars())


def prune_shipments(session: Session, *, older_than_hours: int) -> int:
    """Delete receipts that no spool can still ask for; returns how many."""
    result = session.execute(
        text("DELETE FROM shipments WHERE committed_at < now() - make_interval(hours => :hours)"),
        {"hours": older_than_hours},
    )
    return int(result.rowcount)  # type: ignore[attr-defined]
