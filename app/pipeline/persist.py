"""Persisting: one shipment becomes rows, exactly once, in one transaction.

A record that can never be stored goes to the dead letters with its reason; its neighbours commit.
"""

import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID

from uuid_utils.compat import uuid7

from ..domain.codec import decode
from ..domain.records import Kind, Record
from ..errors import StoreUnavailable
from ..store.batches import Batch, DeadLetter, LedgerWriter, PartitionMissing, Unstorable
from ..store.partitions import Partitions
from ..store.session import Database
from ..telemetry import PERSIST_SECONDS, PERSISTED, get_logger

log = get_logger(__name__)

BatchKey = tuple[UUID, Kind]
RecordKey = tuple[Kind, UUID, UUID]  # kind, tenant and id: an id alone could be another tenant's

# What Python reads though it is no JSON, and what JSON can write but no float can hold. Rare
# enough to look twice: written on, each would silently become null.
PERHAPS_NOT_FINITE = re.compile(r"NaN|Infinity|[0-9][eE]\+?[0-9]{3}")


@dataclass(slots=True)
class Outcome:
    """What became of a shipment's records."""

    inserted: int = 0
    duplicates: int = 0
    dead: int = 0


@dataclass(slots=True)
class _Work:
    """One shipment on its way into the ledger."""

    records: list[Record] = field(default_factory=list)
    lines: dict[RecordKey, bytes] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    inserted: list[Record] = field(default_factory=list)
    batch_ids: dict[BatchKey, UUID] = field(default_factory=dict)

    def kill(self, record: Record, reason: str) -> None:
        self.dead.append(
            DeadLetter(
                payload=self.lines[_key(record)],
                reason=reason,
                tenant_id=record.tenant_id,
                kind=record.kind,
                record_id=record.id,
            )
        )


class Persister:
    """Commits shipments to Postgres, as the worker role."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partitions = Partitions(database)

    def persist(self, shipment_id: UUID, lines: str) -> Outcome:
        """Commit the records of a shipment (JSON, one a line); harmless to repeat.

        Raises:
            StoreUnavailable: nothing was committed; deliver the shipment again.
        """
        work = _parse(lines)
        partitioned = self._by_partition(work.records)
        with PERSIST_SECONDS.time(), self._database.unrestricted_unsafe() as session:
            writer = LedgerWriter(session)
            if not writer.receive(shipment_id):
                return Outcome(duplicates=len(work.records))
            tenants = writer.existing_tenants({record.tenant_id for record in work.records})
            # Always in the same order, so that shipments with the same records do not deadlock.
            for (partition, kind), records in sorted(partitioned.items()):
                known = [r for r in records if r.tenant_id in tenants]
                self._insert(writer, partition, kind, known, work)
            for record in work.records:
                if record.tenant_id not in tenants:
                    work.kill(record, f"tenant_id: no tenant {record.tenant_id}")
            writer.bury(work.dead, shipment_id)
            batches = _batches(work)
            if batches:
                writer.add_batches(batches)
        return _report(work, shipment_id)

    def _by_partition(self, records: list[Record]) -> dict[tuple[str, Kind], list[Record]]:
        groups: dict[tuple[str, Kind], list[Record]] = defaultdict(list)
        for record in sorted(records, key=lambda record: (record.tenant_id, record.id)):
            name = self._partitions.ensure(record.kind, record.created_at)
            groups[name, record.kind].append(record)
        return groups

    def _insert(
        self, writer: LedgerWriter, partition: str, kind: Kind, records: list[Record], work: _Work
    ) -> None:
        """Insert, halving around what Postgres refuses until the refused stands alone."""
        if not records:
            return
        rows = [(r, work.batch_ids.setdefault((r.tenant_id, kind), uuid7())) for r in records]
        try:
            new = writer.insert(partition, kind, rows)
        except PartitionMissing as error:
            self._partitions.forget()
            raise StoreUnavailable from error
        except Unstorable as error:
            if len(records) == 1:
                work.kill(records[0], str(error))
                return
            half = len(records) // 2
            self._insert(writer, partition, kind, records[:half], work)
            self._insert(writer, partition, kind, records[half:], work)
            return
        work.inserted += [record for record in records if (record.tenant_id, record.id) in new]


def _parse(lines: str) -> _Work:
    work = _Work()
    for line in lines.split("\n"):
        payload = line.encode("utf-8", "replace")
        try:
            if PERHAPS_NOT_FINITE.search(line):
                json.loads(line, parse_constant=_finite, parse_float=_finite)
            record = decode(line)
        except (ValueError, RecursionError) as error:
            work.dead.append(DeadLetter(payload=payload, reason=str(error)))
            continue
        if _key(record) not in work.lines:
            work.records.append(record)
            work.lines[_key(record)] = payload
    return work


def _key(record: Record) -> RecordKey:
    return (record.kind, record.tenant_id, record.id)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is not a number that JSON and Postgres can hold")
    return float(text)


def _batches(work: _Work) -> list[Batch]:
    """One batch for each tenant and kind of which a record was really inserted."""
    groups: dict[BatchKey, list[Record]] = defaultdict(list)
    for record in work.inserted:
        groups[record.tenant_id, record.kind].append(record)
    return [
        Batch(
            id=work.batch_ids[key],
            tenant_id=key[0],
            kind=key[1],
            row_count=len(records),
            min_created_at=min(record.created_at for record in records),
            max_created_at=max(record.created_at for record in records),
        )
        for key, records in groups.items()
    ]


def _report(work: _Work, shipment_id: UUID) -> Outcome:
    outcome = Outcome(inserted=len(work.inserted), dead=len(work.dead))
    outcome.duplicates = len(work.lines) + sum(d.record_id is None for d in work.dead)
    outcome.duplicates -= outcome.inserted + outcome.dead
    for name in ("inserted", "duplicates", "dead"):
        PERSISTED.labels(name).inc(getattr(outcome, name))
    for letter in work.dead:
        log.error(
            "dead letter",
            reason=letter.reason,
            record=str(letter.record_id),
            shipment=str(shipment_id),
        )
    return outcome
