"""Records older than the hot window: set aside as they came, once, and without a partition."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.domain.codec import decode, encode
from app.domain.identity import redated
from app.domain.records import Kind, Record
from app.pipeline.persist import Outcome, Persister
from app.store.partitions import list_partitions, partition_name
from app.store.session import Database
from tests.support.ledger import batches, check_batches, letters, received, rows
from tests.support.samples import metric
from tests.support.world import World, action, audit, lines_of, record_id

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=4_000)
MILLISECOND = timedelta(milliseconds=1)

Late = Callable[[UUID], list[Any]]


@pytest.fixture
def database(environment: dict[str, str]) -> Iterator[Database]:
    """The worker role's pool."""
    found = Database.connect(environment["WORKER_DATABASE_URL"])
    yield found
    found.close()


@pytest.fixture
def persister(database: Database) -> Persister:
    """A worker's persister with a clock that stands still."""
    return Persister(database, hot_days=90, clock=lambda: NOW)


@pytest.fixture
def late(maintenance: Database) -> Late:
    """Tells a tenant's late records."""
    return lambda tenant: rows(maintenance, "late_records", tenant)


@pytest.fixture
def tenant(world: World) -> UUID:
    """A new tenant."""
    return world.settle().tenant_id


def partitions(maintenance: Database) -> set[str]:
    """The names of all partitions."""
    with maintenance.unrestricted_unsafe() as session:
        return {name for name, _ in list_partitions(session)}


def shipped(persister: Persister, *records: Record) -> Outcome:
    """What became of records in a shipment of their own."""
    return persister.persist(uuid4(), lines_of(*records))


def test_a_late_record_is_set_aside_as_it_came(
    persister: Persister, maintenance: Database, tenant: UUID, late: Late
) -> None:
    """With its line, its shipment and the time of its arrival; no partition is made for it."""
    before = partitions(maintenance)
    counted = metric("opsledger_persisted_total", outcome="late")
    records = [
        action(tenant, at=LONG_AGO, request_payload={"a": "tab\t and \\N"}),
        audit(tenant, at=LONG_AGO - timedelta(weeks=1)),
    ]
    shipment = uuid4()
    assert persister.persist(shipment, lines_of(*records)) == Outcome(late=2)
    found = {row.id: row for row in late(tenant)}
    for record in records:
        row = found[record.id]
        assert (row.kind, row.created_at, row.shipment_id) == (
            record.kind.value,
            record.created_at,
            shipment,
        )
        assert bytes(row.payload) == encode(record)
        assert decode(bytes(row.payload)) == record
        assert abs(row.received_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert partitions(maintenance) == before
    assert partition_name(Kind.ACTION, LONG_AGO) not in before
    assert received(maintenance, shipment)
    assert batches(maintenance, tenant) == []
    assert metric("opsledger_persisted_total", outcome="late") == counted + 2


def test_the_edge_of_the_hot_window_is_exact(
    persister: Persister, maintenance: Database, tenant: UUID, late: Late
) -> None:
    """90 days old is hot, a millisecond more is late."""
    edge = NOW - timedelta(days=90)
    hot, over = action(tenant, at=edge), action(tenant, at=edge - MILLISECOND)
    hot, over = (
        action(tenant, id=redated(hot.id, edge)),
        action(tenant, id=redated(over.id, edge - MILLISECOND)),
    )
    assert shipped(persister, hot, over) == Outcome(inserted=1, late=1)
    assert [row.id for row in rows(maintenance, "action_logs", tenant)] == [hot.id]
    assert [row.id for row in late(tenant)] == [over.id]


def test_late_and_hot_records_of_a_shipment_commit_together(
    persister: Persister, maintenance: Database, tenant: UUID, late: Late
) -> None:
    """Batches and their summaries count what is in the log, and nothing else."""
    records = [make(tenant, at=at) for make in (action, audit) for at in (NOW, LONG_AGO) * 3]
    assert shipped(persister, *records) == Outcome(inserted=6, late=6)
    assert len(late(tenant)) == 6
    assert sum(batch.row_count for batch in batches(maintenance, tenant)) == 6
    check_batches(maintenance, tenant)


def test_a_repeated_late_record_is_kept_once(
    persister: Persister, tenant: UUID, late: Late
) -> None:
    """In the same shipment delivered again, in another one, and within one."""
    first, second = action(tenant, at=LONG_AGO), audit(tenant, at=LONG_AGO)
    shipment, body = uuid4(), lines_of(first, first)
    assert persister.persist(shipment, body) == Outcome(late=1)
    assert persister.persist(shipment, body) == Outcome(duplicates=1)
    assert shipped(persister, first, second) == Outcome(duplicates=1, late=1)
    assert {row.id for row in late(tenant)} == {first.id, second.id}


def test_late_records_of_one_id_are_told_apart_by_tenant_and_kind(
    persister: Persister, world: World, late: Late
) -> None:
    """Callers choose ids; nobody's record may be taken for another's."""
    one = record_id(LONG_AGO)
    tenants = [world.settle().tenant_id for _ in range(2)]
    records = [make(tenant, id=one) for tenant in tenants for make in (action, audit)]
    assert shipped(persister, *records) == Outcome(late=4)
    assert all(len(late(tenant)) == 2 for tenant in tenants)


def test_hot_records_of_one_id_are_told_apart_by_tenant_and_kind(
    persister: Persister, world: World, maintenance: Database
) -> None:
    """Also where one of them is there already, so that batches count their own alone."""
    one = record_id(NOW)
    mine, theirs = (world.settle().tenant_id for _ in range(2))
    assert shipped(persister, action(mine, id=one)) == Outcome(inserted=1)
    records = [make(tenant, id=one) for tenant in (mine, theirs) for make in (action, audit)]
    assert shipped(persister, *records) == Outcome(inserted=3, duplicates=1)
    for tenant in (mine, theirs):
        assert len(rows(maintenance, "action_logs", tenant)) == 1
        assert len(rows(maintenance, "audit_logs", tenant)) == 1
        check_batches(maintenance, tenant)


def test_a_late_record_that_cannot_be_kept_dies_alone(
    persister: Persister, maintenance: Database, tenant: UUID, late: Late
) -> None:
    """An unknown tenant, or an id that is none: to the dead letters, whole, with the reason."""
    good = [action(tenant, at=LONG_AGO) for _ in range(5)]
    homeless = action(uuid4(), at=LONG_AGO)
    lines = lines_of(*good, homeless).replace(str(good[2].id).encode(), b"no-id")
    shipment = uuid4()
    outcome = persister.persist(shipment, lines)
    assert outcome == Outcome(late=4, dead=2)
    assert {row.id for row in late(tenant)} == {good[i].id for i in (0, 1, 3, 4)}
    reasons = {bytes(letter.payload): letter.reason for letter in letters(maintenance, shipment)}
    assert "no tenant" in reasons[encode(homeless)]
    assert any("no-id" in reason for reason in reasons.values())


def test_without_a_hot_window_nothing_is_late(
    database: Database, maintenance: Database, tenant: UUID
) -> None:
    """As for tools that restore what was archived."""
    moment = NOW - timedelta(days=91)
    assert shipped(Persister(database), action(tenant, at=moment)) == Outcome(inserted=1)


def test_what_is_late_is_judged_when_it_arrives(
    database: Database, tenant: UUID, late: Late
) -> None:
    """The clock is asked for each shipment."""
    now = [NOW]
    persister = Persister(database, hot_days=90, clock=lambda: now[0])
    first, second = (action(tenant, at=NOW - timedelta(days=1)) for _ in range(2))
    assert shipped(persister, first) == Outcome(inserted=1)
    now[0] += timedelta(days=90)
    assert shipped(persister, second) == Outcome(late=1)


@pytest.mark.parametrize(
    ("setting", "statement"),
    [
        ("DATABASE_URL", "SELECT 1 FROM late_records"),
        ("DATABASE_URL", "INSERT INTO late_records DEFAULT VALUES"),
        ("WORKER_DATABASE_URL", "SELECT payload FROM late_records"),
        ("WORKER_DATABASE_URL", "SELECT id FROM late_records"),
        ("WORKER_DATABASE_URL", "UPDATE late_records SET id = id"),
        ("WORKER_DATABASE_URL", "DELETE FROM late_records"),
        ("MAINTENANCE_DATABASE_URL", "UPDATE late_records SET id = id"),
        ("MAINTENANCE_DATABASE_URL", "INSERT INTO late_records DEFAULT VALUES"),
    ],
)
def test_each_role_may_do_just_what_it_needs(
    environment: dict[str, str], setting: str, statement: str
) -> None:
    """The worker inserts, maintenance reads and deletes, web sees nothing."""
    database = Database.connect(environment[setting])
    with pytest.raises(ProgrammingError) as denied, database.unrestricted_unsafe() as session:
        session.execute(text(statement))
    assert isinstance(denied.value.orig, psycopg2.errors.InsufficientPrivilege)
    database.close()
