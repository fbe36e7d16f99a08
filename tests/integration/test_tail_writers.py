"""A tail under concurrent writers whose commits are out of order: each record exactly once."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, text
from uuid_utils.compat import uuid7

from app.domain.codec import encode, read_head
from app.domain.records import Kind, Record
from app.store.batches import Batch, LedgerWriter
from app.store.partitions import partition_name
from app.store.session import Database
from tests.support.delayed import DelayedPersister, RawWriter
from tests.support.tails import MAKERS, NOW, Reader, ids, made
from tests.support.world import Inhabitant, World, eventually

# 100,000 by OPSLEDGER_TEST_TAIL_RECORDS=100000, about a minute for each kind.
RECORDS = int(os.environ.get("OPSLEDGER_TEST_TAIL_RECORDS", "12000"))
WRITERS = 4
BATCH_ROWS_MAX = 400
kinds = pytest.mark.parametrize("kind", list(Kind))


def batches_of(who: Inhabitant, kind: Kind, count: int) -> list[list[Record]]:
    """Records in batches of any size, whose times overlap, and now and then of last month."""
    found: list[list[Record]] = []
    while count:
        size = min(count, random.randint(1, BATCH_ROWS_MAX))
        age = timedelta(days=random.choice((0, 0, 0, 9, 30)), seconds=random.randint(0, 3600))
        at = [NOW - age - timedelta(milliseconds=random.randint(0, 60_000)) for _ in range(size)]
        week = at[0].isocalendar()[:2]
        batch = [
            MAKERS[kind](who.tenant_id, at=at[0] if t.isocalendar()[:2] != week else t) for t in at
        ]
        found.append(batch)
        count -= size
    return found


@kinds
@pytest.mark.timeout(600)
def test_a_tail_under_concurrent_writers_reads_each_record_once(
    world: World, kind: Kind, environment: dict[str, str]
) -> None:
    """Four writers, two by the workers' code and two by plain SQL, all with random delays."""
    who = world.settle()
    url = environment["WORKER_DATABASE_URL"]
    made_here = [batches_of(who, kind, RECORDS // WRITERS) for _ in range(WRITERS)]
    failures: list[BaseException] = []

    def write(
        make: Callable[[str], DelayedPersister | RawWriter], todo: list[list[Record]]
    ) -> None:
        writer = make(url)
        try:
            for batch in todo:
                writer.commit(batch)
        except BaseException as error:
            failures.append(error)
        finally:
            writer.close()

    makers = (DelayedPersister, RawWriter, DelayedPersister, RawWriter)
    threads = [
        threading.Thread(target=write, args=pair) for pair in zip(makers, made_here, strict=True)
    ]
    reader = Reader(who, kind, "&limit=700")
    polls = 0
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        reader.poll()
        polls += 1
        time.sleep(0.005)
    for thread in threads:
        thread.join()
    assert not failures
    during = len(reader.seen)
    reader.catch_up()
    expected = {each for todo in made_here for batch in todo for each in ids(*batch)}
    assert len(reader.seen) == len(set(reader.seen)), "repeated"
    assert set(reader.seen) == expected, "missed"
    assert during > 0, "nothing was read while writers wrote"
    assert polls > 10
    assert Reader(who, kind, "&limit=1000").catch_up() == reader.seen, "read again, in that order"


def batch_of(records: list[Record]) -> Batch:
    """The batch row of records that are about to be committed."""
    moments = [encode(record).decode().split("\t")[2] for record in records]
    return Batch(
        id=uuid7(),
        tenant_id=str(records[0].tenant_id),
        kind=records[0].kind,
        row_count=len(records),
        min_created_at=min(moments),
        max_created_at=max(moments),
        summary={},
    )


@pytest.fixture
def worker_role(environment: dict[str, str]) -> Iterator[Database]:
    """The shared database as the worker role, for a transaction taken step by step."""
    database = Database.connect(environment["WORKER_DATABASE_URL"])
    yield database
    database.close()


@kinds
def test_a_commit_in_time_overtakes_one_that_wrote_first(
    world: World, kind: Kind, worker_role: Database
) -> None:
    """Rows that are in place and not committed are not passed by: they come when they commit."""
    who = world.settle()
    slow, fast = made(who, kind, 3, NOW - timedelta(seconds=60)), made(who, kind, 3)
    world.put(*made(who, kind, 1))  # its week's partition
    reader = Reader(who, kind)
    seen = list(reader.catch_up())
    batch = batch_of(slow)
    with worker_role.unrestricted_unsafe() as session:
        writer = LedgerWriter(session)
        writer.receive(uuid7(), [batch.tenant_id])
        rows = "".join(f"{read_head(encode(r).decode()).row}\t{batch.id}\n" for r in slow)
        writer.copy(partition_name(kind, slow[0].created_at), kind, rows)
        world.put(*fast)
        assert reader.catch_up() == [*seen, *ids(*fast)]
        writer.add_batches([batch])
        assert reader.catch_up() == [*seen, *ids(*fast)]
    assert reader.catch_up() == [*seen, *ids(*fast, *slow)]


@kinds
def test_a_seq_once_drawn_is_overtaken_by_no_commit(
    world: World, kind: Kind, worker_role: Database
) -> None:
    """Who comes later waits for it, or a reader that saw the later one would never go back."""
    who = world.settle()
    slow, fast = made(who, kind, 3, NOW - timedelta(seconds=60)), made(who, kind, 3)
    world.put(*made(who, kind, 1))
    reader = Reader(who, kind)
    seen = list(reader.catch_up())
    batch = batch_of(slow)
    with ThreadPoolExecutor(1) as pool:
        with worker_role.unrestricted_unsafe() as session:
            writer = LedgerWriter(session)
            rows = "".join(f"{read_head(encode(r).decode()).row}\t{batch.id}\n" for r in slow)
            writer.copy(partition_name(kind, slow[0].created_at), kind, rows)
            writer.add_batches([batch])
            later = pool.submit(world.put, *fast)
            eventually(lambda: somebody_waits(world))
            assert reader.catch_up() == seen
            assert not later.done()
        later.result(20)
    assert reader.catch_up() == [*seen, *ids(*slow, *fast)]


def somebody_waits(world: World) -> bool:
    """Whether a transaction waits for a tenant's lock."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with world.maintenance.unrestricted_unsafe() as session:
        return bool(session.execute(waiting).scalar_one())


@pytest.mark.parametrize("there_before", [0, 1])
@kinds
def test_a_commit_between_any_two_statements_of_a_first_page_is_not_passed_by(
    world: World, kind: Kind, there_before: int
) -> None:
    """Be the log empty before or not, and the commit's partition so new that none has seen it."""
    engine = world.app.extensions["opsledger-service"].database.engine
    statements = 0

    def count_then_commit(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements == at_statement:
            world.put(*meanwhile)

    event.listen(engine, "after_cursor_execute", count_then_commit)
    try:
        at_statement = 1
        while True:
            who, statements = world.settle(), 0
            before = made(who, kind, there_before)
            world.put(*before)
            weeks = timedelta(weeks=100 + 20 * there_before + at_statement)
            meanwhile = made(who, kind, 2, NOW - weeks)
            reader = Reader(who, kind)
            reader.poll()
            if statements < at_statement:
                break
            assert reader.catch_up() == ids(*before, *meanwhile), f"after {at_statement}"
            at_statement += 1
    finally:
        event.remove(engine, "after_cursor_execute", count_then_commit)
    assert at_statement > 4
