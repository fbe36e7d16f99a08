"""Persisting: a shipment becomes rows exactly once; what can never be stored is set aside."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg2
import pytest
from sqlalchemy import make_url

from app.domain.records import Kind, Record
from app.errors import StoreUnavailable
from app.pipeline.persist import Outcome, Persister
from app.store.partitions import partition_name
from app.store.session import Database
from tests.support.ledger import batches, check_batches, received, rows
from tests.support.line import Line
from tests.support.world import World, action, audit, lines_of, record_id

START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=8)


@pytest.fixture
def persister(environment: dict[str, str]) -> Iterator[Persister]:
    """A worker's persister, with connections of its own."""
    database = Database.connect(environment["WORKER_DATABASE_URL"])
    yield Persister(database)
    database.close()


def test_a_shipment_becomes_rows_with_one_batch_per_tenant_and_kind(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """Several tenants, both kinds and two partitions, in one transaction."""
    tenants = [world.settle().tenant_id for _ in range(3)]
    records = [
        make(tenant, at=START + timedelta(days=day))
        for tenant in tenants
        for make in (action, audit)
        for day in (0, 7)
        for _ in range(3)
    ]
    shipment = uuid4()
    outcome = persister.persist(shipment, lines_of(*records))
    assert outcome == Outcome(inserted=36)
    assert received(maintenance, shipment)
    for tenant in tenants:
        assert [batch.kind for batch in batches(maintenance, tenant)] == ["action", "audit"]
        check_batches(maintenance, tenant)
        assert len(rows(maintenance, "action_logs", tenant)) == 6


def test_every_field_of_a_record_is_kept(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """Through COPY's text format, whatever characters stand in it."""
    tenant = world.settle().tenant_id
    awkward = "\\N \\. \t tab \n line \r \x01 \x7f \\ ü 日本 \U0001f600 \u2028 ' \" $1 %s {} \\t"
    one = action(
        tenant,
        at=START + timedelta(milliseconds=7),
        action_type="email_send",
        provider_name="\\N",
        request_payload={awkward: [awkward, 1.5, 10**30, True, None]},
        response_data=awkward,
        status="retry",
        error_message=awkward,
        execution_time_ms=2**31 - 1,
        operation_id="\\.",
        metadata={"a": awkward},
    )
    other = audit(
        tenant,
        action="\\.",
        resource_type="\t",
        resource_id=awkward[:50],
        user_id="\\N",
        changes={"after": {"x": awkward}},
        user_agent=awkward,
        metadata={},
    )
    persister.persist(uuid4(), lines_of(one, other))
    (row,) = rows(maintenance, "action_logs", tenant)
    assert row.id == one.id
    assert row.created_at == START + timedelta(milliseconds=7)
    for name in one.__slots__:
        assert getattr(row, name) == getattr(one, name), name
    (row,) = rows(maintenance, "audit_logs", tenant)
    assert row.metadata is None
    for name in set(other.__slots__) - {"metadata"}:
        assert getattr(row, name) == getattr(other, name), name


def test_a_repeated_shipment_changes_nothing(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """The broker delivers again after a worker died late."""
    tenant, shipment = world.settle().tenant_id, uuid4()
    lines = lines_of(*(action(tenant) for _ in range(5)))
    assert persister.persist(shipment, lines) == Outcome(inserted=5)
    assert persister.persist(shipment, lines) == Outcome(duplicates=5)
    assert len(rows(maintenance, "action_logs", tenant)) == 5
    assert len(batches(maintenance, tenant)) == 1


def test_records_in_several_shipments_are_rows_once(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """A spool ships again under a new id what it cannot know to be there; counts stay exact."""
    tenant = world.settle().tenant_id
    records = [make(tenant, at=START) for make in (action, audit) for _ in range(6)]
    outcomes = [
        persister.persist(uuid4(), lines_of(*records[:4])),
        persister.persist(uuid4(), lines_of(*records[2:9])),
        persister.persist(uuid4(), lines_of(*records)),
        persister.persist(uuid4(), lines_of(*records)),
    ]
    assert [(o.inserted, o.duplicates, o.dead) for o in outcomes] == [
        *((4, 0, 0), (5, 2, 0), (3, 9, 0), (0, 12, 0))
    ]
    check_batches(maintenance, tenant)
    for table, kind in (("action_logs", Kind.ACTION), ("audit_logs", Kind.AUDIT)):
        found = rows(maintenance, table, tenant)
        assert [row.id for row in found] == sorted(r.id for r in records if r.kind is kind)
    assert sum(batch.row_count for batch in batches(maintenance, tenant)) == 12


def test_a_record_twice_in_one_shipment_is_a_row_once(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """Also beside others, and when it was there before."""
    tenant = world.settle().tenant_id
    first, second = action(tenant), action(tenant)
    persister.persist(uuid4(), lines_of(first, first, second, first))
    persister.persist(uuid4(), lines_of(second, second, first))
    assert len(rows(maintenance, "action_logs", tenant)) == 2
    check_batches(maintenance, tenant)


def test_one_id_under_two_tenants_or_kinds_is_a_row_for_each(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """A record's identity begins with its tenant: nobody can take another's place."""
    tenants = [world.settle().tenant_id for _ in range(2)]
    shared = record_id()
    records = [make(tenant, id=shared) for tenant in tenants for make in (action, audit)]
    assert persister.persist(uuid4(), lines_of(*records)).inserted == 4
    newcomer = world.settle().tenant_id
    again = persister.persist(uuid4(), lines_of(*records, action(newcomer, id=shared)))
    assert (again.inserted, again.duplicates) == (1, 4)
    for tenant in (*tenants, newcomer):
        assert [row.id for row in rows(maintenance, "action_logs", tenant)] == [shared]
        check_batches(maintenance, tenant)


def test_one_shipment_delivered_twice_at_once_is_kept_once(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """Two workers at the same instant, ten times over."""
    tenant = world.settle().tenant_id
    for _ in range(10):
        shipment, lines = uuid4(), lines_of(*(action(tenant) for _ in range(50)))
        together = threading.Barrier(2)

        def deliver(
            shipment: UUID = shipment, lines: str = lines, together: threading.Barrier = together
        ) -> Outcome:
            together.wait()
            return persister.persist(shipment, lines)

        with ThreadPoolExecutor(2) as pool:
            outcomes = [future.result() for future in [pool.submit(deliver) for _ in range(2)]]
        assert sorted(outcome.inserted for outcome in outcomes) == [0, 50]
    assert len(rows(maintenance, "action_logs", tenant)) == 500
    assert [batch.row_count for batch in batches(maintenance, tenant)] == [50] * 10


def test_overlapping_shipments_at_once_are_kept_once(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """The same records under different shipment ids, from four workers, without a deadlock."""
    tenants = [world.settle().tenant_id for _ in range(2)]
    records = [
        action(tenant, at=START + timedelta(days=day))
        for tenant in tenants
        for day in (0, 7)
        for _ in range(50)
    ]
    slices = [records, records[::-1], records[50:150], records[100:] + records[:50]]
    together = threading.Barrier(4)

    def deliver(part: list[Record]) -> Outcome:
        together.wait()
        return persister.persist(uuid4(), lines_of(*part))

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(deliver, slices))
    assert sum(outcome.inserted for outcome in outcomes) == 200
    for tenant in tenants:
        assert len(rows(maintenance, "action_logs", tenant)) == 100
        check_batches(maintenance, tenant)


def test_seq_is_the_order_of_commits_of_a_tenant(
    world: World, maintenance: Database, environment: dict[str, str]
) -> None:
    """Who reads up to a seq has seen all before it: none with a lower one becomes visible later."""
    tenants = [world.settle().tenant_id for _ in range(3)]
    done = threading.Event()
    late: list[str] = []

    def work(worker: int) -> None:
        database = Database.connect(environment["WORKER_DATABASE_URL"])
        own = Persister(database)
        for number in range(15):
            some = tenants if number % 2 else tenants[::-1][: 1 + worker % 3]
            own.persist(uuid4(), lines_of(*(make(t) for t in some for make in (action, audit))))
        database.close()

    def watch() -> None:
        seen: dict[UUID, set[int]] = {tenant: set() for tenant in tenants}
        last_look = False
        while not last_look:
            last_look = done.is_set()
            for tenant in tenants:
                visible = {batch.seq for batch in batches(maintenance, tenant)}
                new = visible - seen[tenant]
                if new and seen[tenant] and min(new) < max(seen[tenant]):
                    late.append(f"{min(new)} appeared after {max(seen[tenant])}")
                seen[tenant] = visible

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        workers = [pool.submit(work, worker) for worker in range(4)]
        wait(workers)
        done.set()
        for future in (*workers, watcher):
            future.result()
    assert late == []
    for tenant in tenants:
        found = batches(maintenance, tenant)
        assert len({batch.seq for batch in found}) == len(found) >= 60
        assert [b.committed_at for b in found] == sorted(b.committed_at for b in found)


def drop_leaf(environment: dict[str, str], name: str) -> None:
    """Drop a partition, as an archive run of another process does."""
    owner = make_url(environment["OWNER_DATABASE_URL"]).set(drivername="postgresql")
    connection = psycopg2.connect(owner.render_as_string(hide_password=False))
    with connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name}")
    connection.close()


def test_a_missing_partition_is_made(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """A record of a week that nobody thought of is kept all the same."""
    tenant = world.settle().tenant_id
    records = [action(tenant, at=START - timedelta(weeks=weeks)) for weeks in range(20, 24)]
    assert persister.persist(uuid4(), lines_of(*records)).inserted == 4
    assert len(rows(maintenance, "action_logs", tenant)) == 4


def test_a_partition_dropped_behind_its_back_is_made_again(
    world: World, maintenance: Database, persister: Persister, environment: dict[str, str]
) -> None:
    """The first delivery fails whole and says to deliver again; the second succeeds."""
    tenant = world.settle().tenant_id
    moment = START - timedelta(weeks=40)
    persister.persist(uuid4(), lines_of(action(tenant, at=moment)))
    drop_leaf(environment, partition_name(Kind.ACTION, moment))

    shipment = uuid4()
    lines = lines_of(action(tenant, at=moment), action(tenant), audit(tenant))
    with pytest.raises(StoreUnavailable):
        persister.persist(shipment, lines)
    assert not received(maintenance, shipment)
    assert rows(maintenance, "audit_logs", tenant) == []
    assert persister.persist(shipment, lines) == Outcome(inserted=3)
    assert len(rows(maintenance, "action_logs", tenant)) == 2


def test_while_postgres_is_away_nothing_is_kept_and_later_all_is(
    world: World, maintenance: Database, environment: dict[str, str]
) -> None:
    """StoreUnavailable says to deliver again, and the pool recovers by itself."""
    tenant, shipment = world.settle().tenant_id, uuid4()
    lines = lines_of(*(action(tenant) for _ in range(3)))
    line = Line(environment["WORKER_DATABASE_URL"])
    database = Database.connect(line.url)
    persister = Persister(database)
    persister.persist(uuid4(), lines_of(action(tenant)))  # its connection is in the pool
    line.cut()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            persister.persist(shipment, lines)
    assert not received(maintenance, shipment)
    line.mend()
    assert persister.persist(shipment, lines) == Outcome(inserted=3)
    database.close()
    line.close()
    assert len(rows(maintenance, "action_logs", tenant)) == 4


def test_a_tenant_that_has_records_cannot_be_deleted(
    world: World, persister: Persister, environment: dict[str, str]
) -> None:
    """Not even by the owner of the tables: leaving is an act of its own, not a cascade."""
    tenant = world.settle().tenant_id
    persister.persist(uuid4(), lines_of(action(tenant)))
    owner = make_url(environment["OWNER_DATABASE_URL"]).set(drivername="postgresql")
    connection = psycopg2.connect(owner.render_as_string(hide_password=False))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM api_keys WHERE tenant_id = %s", (str(tenant),))
        with pytest.raises(psycopg2.errors.ForeignKeyViolation) as refusal:
            cursor.execute("DELETE FROM tenants WHERE id = %s", (str(tenant),))
    assert "log_batches" in str(refusal.value)
    connection.close()
