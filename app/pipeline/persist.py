"""Persisting: one shipment becomes rows, exactly once, in one transaction.

A record that can never be stored goes to the dead letters with its reason; its neighbours commit.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from uuid_utils.compat import uuid7

from ..domain.codec import Head, read_head
from ..domain.records import Kind
from ..domain.summary import summarize
from ..errors import StoreUnavailable
from ..store.batches import (
    AlreadyStored,
    Batch,
    DeadLetter,
    LedgerWriter,
    PartitionMissing,
    Unstorable,
)
from ..store.partitions import Partitions
from ..store.session import Database
from ..telemetry import PERSIST_SECONDS, PERSISTED, get_logger

log = get_logger(__name__)

BatchKey = tuple[str, Kind]
RecordKey = tuple[Kind, str, str]  # kind, tenant and id: an id alone could be another tenant's
DAY_CHARS = 10  # of a created_at: 2026-11-23

Insert = Callable[["_Work", LedgerWriter, str, Kind, list[Head]], None]


@dataclass(slots=True)
class Outcome:
    """What became of a shipment's records."""

    inserted: int = 0
    duplicates: int = 0
    dead: int = 0


@dataclass(slots=True)
class _Work:
    """One try to commit a shipment."""

    inserted: list[Head] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    batch_ids: dict[BatchKey, UUID] = field(default_factory=dict)

    def lines(self, kind: Kind, heads: list[Head]) -> str:
        """The rows as COPY takes them, each with the batch of its tenant and kind."""
        ends = {
            tenant_id: f"\t{self.batch_ids.setdefault((tenant_id, kind), uuid7())}\n"
            for tenant_id in {head.tenant_id for head in heads}
        }
        return "".join([head.row + ends[head.tenant_id] for head in heads])

    def kill(self, head: Head, reason: str) -> None:
        """Set a record aside."""
        letter = "a" if head.kind is Kind.ACTION else "u"
        payload = f"{letter}\t{head.row}".encode()
        tenant_id, record_id = _uuid(head.tenant_id), _uuid(head.id)
        self.dead.append(
            DeadLetter(
                payload=payload,
                reason=reason,
                tenant_id=tenant_id,
                kind=head.kind,
                record_id=record_id,
            )
        )


class Persister:
    """Commits shipments to Postgres, as the worker role."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partitions = Partitions(database)

    def persist(self, shipment_id: UUID, body: bytes) -> Outcome:
        """Commit the records of a shipment, one a line; harmless to repeat.

        Raises:
            StoreUnavailable: nothing was committed; deliver the shipment again.
        """
        heads, broken = _read(body)
        groups = self._by_partition(heads)
        with PERSIST_SECONDS.time():
            try:
                return self._commit(shipment_id, groups, broken, _copy)
            except (AlreadyStored, Unstorable):
                return self._commit(shipment_id, groups, broken, _insert_carefully)
            except PartitionMissing as error:
                self._partitions.forget()
                raise StoreUnavailable from error

    def _commit(
        self,
        shipment_id: UUID,
        groups: dict[tuple[str, Kind], list[Head]],
        broken: list[DeadLetter],
        insert: Insert,
    ) -> Outcome:
        work = _Work(dead=list(broken))
        count = sum(map(len, groups.values()))
        with self._database.unrestricted_unsafe() as session:
            writer = LedgerWriter(session)
            tenants = {head.tenant_id for heads in groups.values() for head in heads}
            arrival = writer.receive(shipment_id, tenants)
            if not arrival.new:
                return Outcome(duplicates=count)
            for (partition, kind), heads in sorted(groups.items()):
                known = _known(heads, arrival.tenant_ids, work)
                if known:
                    insert(work, writer, partition, kind, known)
            writer.bury(work.dead, shipment_id)
            batches = _batches(work)
            if batches:
                writer.add_batches(batches)
        return _report(work, count + len(broken), shipment_id)

    def _by_partition(self, heads: list[Head]) -> dict[tuple[str, Kind], list[Head]]:
        groups: dict[tuple[str, Kind], list[Head]] = defaultdict(list)
        for head in sorted(heads, key=lambda head: (head.tenant_id, head.id)):
            groups[head.created_at[:DAY_CHARS], head.kind].append(head)
        named: dict[tuple[str, Kind], list[Head]] = defaultdict(list)
        for (day, kind), found in groups.items():
            named[self._partitions.ensure(kind, _day(day)), kind] += found
        return named


def _copy(work: _Work, writer: LedgerWriter, partition: str, kind: Kind, heads: list[Head]) -> None:
    """Insert records that are all new and sound, which nearly all are."""
    writer.copy(partition, kind, work.lines(kind, heads))
    work.inserted += heads


def _insert_carefully(
    work: _Work, writer: LedgerWriter, partition: str, kind: Kind, heads: list[Head]
) -> None:
    """Insert what is new, halving around what Postgres refuses until the refused stands alone."""
    try:
        new = writer.insert_missing(partition, kind, work.lines(kind, heads))
    except Unstorable as error:
        if len(heads) == 1:
            work.kill(heads[0], str(error))
            return
        half = len(heads) // 2
        _insert_carefully(work, writer, partition, kind, heads[:half])
        _insert_carefully(work, writer, partition, kind, heads[half:])
        return
    work.inserted += [head for head in heads if (head.tenant_id, head.id) in new]


def _read(body: bytes) -> tuple[list[Head], list[DeadLetter]]:
    heads: dict[RecordKey, Head] = {}
    broken: list[DeadLetter] = []
    for line in body.split(b"\n"):
        try:
            head = read_head(line.decode())
            _day(head.created_at[:DAY_CHARS])
        except ValueError as error:
            broken.append(DeadLetter(payload=line, reason=str(error)))
            continue
        heads.setdefault((head.kind, head.tenant_id, head.id), head)
    return list(heads.values()), broken


def _known(heads: list[Head], tenant_ids: frozenset[str], work: _Work) -> list[Head]:
    if all(head.tenant_id in tenant_ids for head in heads):
        return heads
    for head in heads:
        if head.tenant_id not in tenant_ids:
            work.kill(head, f"tenant_id: no tenant {head.tenant_id}")
    return [head for head in heads if head.tenant_id in tenant_ids]


def _batches(work: _Work) -> list[Batch]:
    """One batch for each tenant and kind of which a record was really inserted."""
    groups: dict[BatchKey, list[Head]] = defaultdict(list)
    for head in work.inserted:
        groups[head.tenant_id, head.kind].append(head)
    return [
        Batch(
            id=work.batch_ids[key],
            tenant_id=key[0],
            kind=key[1],
            row_count=len(heads),
            min_created_at=min(head.created_at for head in heads),
            max_created_at=max(head.created_at for head in heads),
            summary=summarize(key[1], heads),
        )
        for key, heads in groups.items()
    ]


def _report(work: _Work, count: int, shipment_id: UUID) -> Outcome:
    outcome = Outcome(inserted=len(work.inserted), dead=len(work.dead))
    outcome.duplicates = count - outcome.inserted - outcome.dead
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


@lru_cache(maxsize=64)
def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
