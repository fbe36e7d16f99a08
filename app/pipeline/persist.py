"""Persisting: one shipment becomes rows, exactly once, in one transaction.

A record that can never be stored goes to the dead letters with its reason, one whose time has left
the hot window to the late records; its neighbours commit.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from ..domain.codec import Head, line_time
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
from .batch_counts import BatchCounts
from .shipment import identity, letter_of, look_closer, read_shipment

log = get_logger(__name__)

BatchKey = tuple[str, Kind]
DAY_CHARS = 10  # of a created_at: 2026-11-23

Insert = Callable[["_Work", LedgerWriter, str, Kind, list[Head]], None]
Settle = Callable[[LedgerWriter, list[DeadLetter]], None]


@dataclass(slots=True)
class Outcome:
    """What became of a shipment's records, and whose they were that were inserted."""

    inserted: int = 0
    duplicates: int = 0
    dead: int = 0
    late: int = 0
    tenant_ids: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(slots=True)
class _Work:
    """One try to commit a shipment."""

    inserted: list[Head] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    late: int = 0
    batch_ids: dict[BatchKey, UUID] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)

    def lines(self, kind: Kind, heads: list[Head]) -> str:
        """The rows as COPY takes them, each with the batch of its tenant and kind."""
        ends = {
            tenant_id: f"\t{self.batch_ids.setdefault((tenant_id, kind), uuid7())}\n"
            for tenant_id in {head.tenant_id for head in heads}
        }
        return "".join([head.row + ends[head.tenant_id] for head in heads])

    def kill(self, head: Head, reason: str) -> None:
        """Set a record aside."""
        self.dead.append(letter_of(head, reason))


class Persister:
    """Commits shipments to Postgres, as the worker role.

    Args:
        hot_days: the age, in days, past which a record is late; None if none ever is.
        clock: tells the present time.
        tenants_shown: how many tenants are counted one by one.
    """

    def __init__(
        self,
        database: Database,
        *,
        hot_days: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        tenants_shown: int = 0,
    ) -> None:
        self._database = database
        self._partitions = Partitions(database)
        self._hot_days = hot_days
        self._clock = clock
        self._counts = BatchCounts(tenants_shown)

    def persist(self, shipment_id: UUID, body: bytes) -> Outcome:
        """Commit the records of a shipment, one a line; harmless to repeat.

        Raises:
            StoreUnavailable: nothing was committed; deliver the shipment again.
        """
        with PERSIST_SECONDS.time():
            work, outcome = self._deliver(
                shipment_id, body, lambda writer, dead: writer.bury(dead, shipment_id)
            )
        _report(work, outcome, shipment_id)
        self._counts.count(work.batches, self._clock())
        return outcome

    def retry(self, letter_id: int, line: bytes) -> Outcome:
        """Try a dead letter again: its record is stored and the letter gone, in one commit, or it
        stays a letter, with the reason of this time.

        Raises:
            LookupError: the letter is gone; nothing was stored.
            StoreUnavailable: nothing was committed.
        """
        return self._deliver(
            uuid4(), line, lambda writer, dead: writer.answer_letter(letter_id, dead)
        )[1]

    def _deliver(self, shipment_id: UUID, body: bytes, settle: Settle) -> tuple[_Work, Outcome]:
        heads, broken = read_shipment(body)
        try:
            try:
                return self._commit(shipment_id, heads, broken, _copy, settle)
            except (AlreadyStored, Unstorable, ValueError):
                # Seldom, so that there is time for a closer look, which also names what is wrong.
                sound, refused = look_closer(heads)
                dead = [*broken, *refused]
                return self._commit(shipment_id, sound, dead, _insert_carefully, settle)
        except PartitionMissing as error:
            self._partitions.forget()
            raise StoreUnavailable from error

    def _commit(
        self,
        shipment_id: UUID,
        heads: list[Head],
        dead: list[DeadLetter],
        insert: Insert,
        settle: Settle,
    ) -> tuple[_Work, Outcome]:
        work = _Work(dead=list(dead))
        hot, late = self._by_age(heads)
        groups, archived = self._by_partition(hot)
        late = [*late, *archived]
        with self._database.unrestricted_unsafe() as session:
            writer = LedgerWriter(session)
            arrival = writer.receive(shipment_id, {head.tenant_id for head in heads})
            if not arrival.new:
                return _Work(), Outcome(duplicates=len(heads) + len(dead))
            for (partition, kind), group in sorted(groups.items()):
                known = _known(group, arrival.tenant_ids, work)
                if known:
                    insert(work, writer, partition, kind, known)
            _set_aside(work, writer, shipment_id, _known(late, arrival.tenant_ids, work))
            settle(writer, work.dead)
            work.batches = _batches(work)
            if work.batches:
                writer.add_batches(work.batches)
        outcome = Outcome(inserted=len(work.inserted), dead=len(work.dead), late=work.late)
        outcome.tenant_ids = frozenset(tenant_id for tenant_id, _ in work.batch_ids)
        arrived = len(heads) + len(dead)
        outcome.duplicates = arrived - outcome.inserted - outcome.dead - outcome.late
        return work, outcome

    def _by_age(self, heads: list[Head]) -> tuple[list[Head], list[Head]]:
        """The hot records and the late ones, told apart before any partition is made."""
        if self._hot_days is None:
            return heads, []
        edge = line_time(self._clock() - timedelta(days=self._hot_days))
        late = [head for head in heads if head.created_at < edge]
        return [head for head in heads if head.created_at >= edge] if late else heads, late

    def _by_partition(
        self, heads: list[Head]
    ) -> tuple[dict[tuple[str, Kind], list[Head]], list[Head]]:
        """Records by the partition they belong in, and those whose week is archived already."""
        groups: dict[tuple[str, Kind], list[Head]] = defaultdict(list)
        for head in sorted(heads, key=lambda head: (head.tenant_id, head.id)):
            groups[head.created_at[:DAY_CHARS], head.kind].append(head)
        named: dict[tuple[str, Kind], list[Head]] = defaultdict(list)
        archived: list[Head] = []
        for (day, kind), found in groups.items():
            name = self._partitions.ensure(kind, _day(day))
            if name is None:
                archived += found
            else:
                named[name, kind] += found
        return named, archived


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


def _set_aside(work: _Work, writer: LedgerWriter, shipment_id: UUID, heads: list[Head]) -> None:
    """Keep late records, halving around what Postgres refuses; in the order of their key, so that
    two workers never wait for each other.
    """
    if not heads:
        return
    try:
        work.late += writer.set_aside(sorted(heads, key=identity), shipment_id)
    except Unstorable as error:
        if len(heads) == 1:
            work.kill(heads[0], str(error))
            return
        half = len(heads) // 2
        _set_aside(work, writer, shipment_id, heads[:half])
        _set_aside(work, writer, shipment_id, heads[half:])


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


def _report(work: _Work, outcome: Outcome, shipment_id: UUID) -> None:
    for name in ("inserted", "duplicates", "dead", "late"):
        PERSISTED.labels(name).inc(getattr(outcome, name))
    for letter in work.dead:
        log.error(
            "dead letter",
            reason=letter.reason,
            record=str(letter.record_id),
            shipment=str(shipment_id),
        )


@lru_cache(maxsize=64)
def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
