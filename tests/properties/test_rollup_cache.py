"""What a process remembers of rollups never shows: answers are those of the snapshot that asks."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Thread
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session

from app.domain.filters import ActionFilter, Page
from app.domain.records import ActionRecord, Kind
from app.store import fold as fold_module
from app.store import rollup_map, scan
from app.store.action_logs import ActionLogRepository
from app.store.analytics import ActionAnalytics
from app.store.fold import fold
from app.store.rollup_map import find_windows
from app.store.session import Database
from tests.support.statistics import recomputed
from tests.support.world import World, action

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BYTES = 1 << 24
FEW_BYTES = 6_000  # some of a tenant's units at a time
TENANTS = 2
HELD_MAX = 2  # snapshots, while others are taken

moments = st.builds(
    lambda days, minutes, ms: MIDNIGHT - timedelta(days=days, minutes=minutes, milliseconds=ms),
    st.sampled_from([0, 1, 20, 40]),
    st.integers(0, 3),
    st.integers(0, 60_000),
)
batches = st.lists(
    st.fixed_dictionaries(
        {
            "at": moments,
            "action_type": st.sampled_from(["crm_create", "email_send"]),
            "provider_name": st.sampled_from(["hubspot", "gmail"]),
            "execution_time_ms": st.sampled_from([5, 500, 5000]),
        }
    ),
    min_size=1,
    max_size=6,
)
# What happens to which tenant, and what is asked for afterwards.
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put and fold", "put and fold", "fold", "rebuild", "hold"]),
        st.sampled_from([0, 0, 1]),
        batches,
        st.tuples(st.none() | moments, moments),
        st.sampled_from([(), ("gmail",), ("hubspot", "gmail"), ("nobody",)]),
    ),
    min_size=4,
    max_size=10,
)


@pytest.fixture(scope="module")
def owner(environment: dict[str, str]) -> Iterator[Engine]:
    """Who may do anything."""
    engine = create_engine(environment["OWNER_DATABASE_URL"])
    yield engine
    engine.dispose()


def remembering(url: str, bytes_max: int) -> Database:
    """The web role's database with a memory."""
    return Database.connect(url, rollup_cache_bytes=bytes_max)


def rebuild(owner: Engine, tenant_id: UUID) -> None:
    """Throw the rollups away, so that all there is waits to be folded again."""
    with owner.begin() as connection:
        for statement in (
            "DELETE FROM action_rollups WHERE tenant_id = :tenant",
            "UPDATE rollup_cursors SET folded_seq = 0 WHERE tenant_id = :tenant",
        ):
            connection.execute(text(statement), {"tenant": tenant_id})


def fold_one(world: World, tenant_id: UUID) -> None:
    """Fold what waits of a tenant."""
    with world.maintenance.unrestricted_unsafe() as session:
        fold(session, tenant_id)


def check(
    session: Session,
    tenant_id: UUID,
    records: list[ActionRecord],
    edges: tuple[datetime | None, datetime | None],
    providers: tuple[str, ...],
) -> None:
    """Hold statistics, map and list against the records that the session's snapshot has."""
    given = [edge for edge in edges if edge]
    since, until = (min(given), max(given)) if len(given) == 2 else edges
    within = [
        record
        for record in records
        if (since is None or since <= record.created_at)
        and (until is None or record.created_at < until)
    ]
    shown = ActionAnalytics(session, tenant_id).statistics(since, until)
    expected = recomputed(within)
    assert shown.total_actions == expected["total_actions"]
    assert shown.actions_by_provider == expected["actions_by_provider"]
    assert shown.actions_by_type == expected["actions_by_type"]
    matching = [one for one in within if not providers or one.provider_name in providers]
    filters = ActionFilter(provider_name=providers, since=since, until=until)
    listed = ActionLogRepository(session, tenant_id).search(filters, Page(1000))
    assert [row.id for row in listed] == sorted((one.id for one in matching), reverse=True)
    found = list(
        find_windows(session, tenant_id, Kind.ACTION, ((), providers, ()), since=since, until=until)
    )
    assert all(older.last < newer.first for newer, older in pairwise(found))
    for window in found:
        matching = [one for one in matching if not window.first <= one.created_at <= window.last]
    assert matching == []


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    chosen=steps,
    bytes_max=st.sampled_from([0, FEW_BYTES, BYTES]),
    detail_rows=st.sampled_from([1, 3]),
)
def test_every_snapshot_is_answered_as_if_nothing_were_remembered(
    world: World,
    environment: dict[str, str],
    owner: Engine,
    chosen: list[Any],
    bytes_max: int,
    detail_rows: int,
) -> None:
    """Between commits and folds, after a rebuild, in snapshots that are older than what is
    remembered, of two tenants, and with room for all of it or hardly any.
    """
    ids = [world.settle().tenant_id for _ in range(TENANTS)]
    records: list[list[ActionRecord]] = [[] for _ in ids]
    held: list[tuple[int, Session, list[ActionRecord]]] = []
    database = remembering(environment["DATABASE_URL"], bytes_max)
    with (
        patch.object(fold_module, "DETAIL_ROWS", detail_rows),
        patch.multiple(rollup_map, UNIT_ROWS=1, SCAN_ROWS=2),
        patch.multiple(scan, GLANCE_ROWS=1, MAP_LOOK_ROWS=0),
        ExitStack() as open_snapshots,
    ):
        for name, tenant, batch, edges, providers in chosen:
            tenant_id = ids[tenant]
            if name.startswith("put"):
                made = [action(tenant_id, **one) for one in batch]
                world.put(*made)
                records[tenant] += made
            if name.endswith("fold"):
                fold_one(world, tenant_id)
            elif name == "rebuild":
                rebuild(owner, tenant_id)
            elif name == "hold" and len(held) < HELD_MAX:
                session = open_snapshots.enter_context(database.tenant(tenant_id, snapshot=True))
                held.append((tenant, session, list(records[tenant])))
            with database.tenant(tenant_id, snapshot=True) as session:
                check(session, tenant_id, records[tenant], edges, providers)
            for one, session, then in held:
                check(session, ids[one], then, edges, providers)
            assert database.rollups.bytes <= bytes_max
    database.close()


def test_readers_meet_no_half_of_a_fold(world: World, environment: dict[str, str]) -> None:
    """Four threads share a memory while batches arrive and are folded: each snapshot's statistics
    count what its log has.
    """
    tenant_id = world.settle().tenant_id
    database = remembering(environment["DATABASE_URL"], BYTES)
    wrong: list[tuple[int, int]] = []
    reads: list[int] = []
    done = False

    def keep_reading() -> None:
        while not done:
            with database.tenant(tenant_id, snapshot=True) as session:
                shown = ActionAnalytics(session, tenant_id).statistics(None, None).total_actions
                there = session.execute(text("SELECT count(*) FROM action_logs")).scalar_one()
            reads.append(shown)
            if shown != there:
                wrong.append((shown, there))

    threads = [Thread(target=keep_reading) for _ in range(4)]
    for thread in threads:
        thread.start()
    with patch.object(fold_module, "DETAIL_ROWS", 3):
        for number in range(30):
            at = MIDNIGHT - timedelta(minutes=number % 7)
            world.put(*(action(tenant_id, at=at) for _ in range(3)))
            if number % 3 == 2:
                fold_one(world, tenant_id)
    done = True
    for thread in threads:
        thread.join(timeout=30)
    database.close()
    assert wrong == []
    assert len(set(reads)) > 1


def test_what_is_remembered_of_a_tenant_is_not_shown_to_another(
    world: World, environment: dict[str, str]
) -> None:
    """Not even to one who asks in the other's name: the row that proves it cannot be seen."""
    mine, theirs = (world.settle().tenant_id for _ in range(TENANTS))
    world.put(*(action(theirs) for _ in range(5)))
    fold_one(world, theirs)
    world.put(*(action(theirs) for _ in range(2)))
    database = remembering(environment["DATABASE_URL"], BYTES)
    with database.tenant(theirs, snapshot=True) as session:
        assert ActionAnalytics(session, theirs).statistics(None, None).total_actions == 7
    with database.tenant(mine, snapshot=True) as session:
        assert ActionAnalytics(session, theirs).statistics(None, None).total_actions == 0
        assert list(find_windows(session, theirs, Kind.ACTION, ((), (), ()))) == []
    with database.tenant(theirs, snapshot=True) as session:
        assert ActionAnalytics(session, theirs).statistics(None, None).total_actions == 7
    database.close()


def test_only_what_was_folded_since_is_read_again(
    world: World, environment: dict[str, str]
) -> None:
    """Two months are known; one record more, and one path of units comes with its arrays."""
    tenant_id = world.settle().tenant_id
    old = MIDNIGHT - timedelta(days=40)
    with patch.object(fold_module, "DETAIL_ROWS", 3):
        for start in (old, MIDNIGHT - timedelta(days=3)):
            for hours in range(3):
                at = start + timedelta(hours=hours)
                world.put(*(action(tenant_id, at=at + timedelta(minutes=n)) for n in range(4)))
        fold_one(world, tenant_id)
        database = remembering(environment["DATABASE_URL"], BYTES)
        edges = (old + timedelta(minutes=1), MIDNIGHT - timedelta(days=3, minutes=-62))
        assert brought(database, tenant_id, edges) > 0
        assert brought(database, tenant_id, edges) == 0
        world.put(action(tenant_id, at=MIDNIGHT - timedelta(days=3) + timedelta(minutes=61)))
        fold_one(world, tenant_id)
        assert brought(database, tenant_id, edges) == 4  # month, day, hour, minute
    database.close()


def brought(database: Database, tenant_id: UUID, edges: tuple[datetime, datetime]) -> int:
    """How many units come with arrays when statistics of a window are asked for."""
    units: list[Any] = []

    def note(*args: Any) -> None:
        cursor, statement = args[1], args[2]
        if "FROM action_rollups" in statement:
            units.extend(row for row in cursor.fetchall() if row[3] is not None)
            cursor.scroll(0, mode="absolute")

    event.listen(database.engine, "after_cursor_execute", note)
    try:
        with database.tenant(tenant_id, snapshot=True) as session:
            ActionAnalytics(session, tenant_id).statistics(*edges)
    finally:
        event.remove(database.engine, "after_cursor_execute", note)
    return len(units)


def test_a_lost_connection_empties_the_memory(world: World, environment: dict[str, str]) -> None:
    """Another server may have taken over, whose transactions bear the numbers of lost ones."""
    tenant_id = world.settle().tenant_id
    world.put(action(tenant_id))
    fold_one(world, tenant_id)
    database, other = (remembering(environment["DATABASE_URL"], BYTES) for _ in range(2))
    with database.tenant(tenant_id, snapshot=True) as session:
        ActionAnalytics(session, tenant_id).statistics(None, None)
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    assert database.rollups.bytes > 0
    with other.unrestricted_unsafe() as session:
        session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    assert database.answers()
    assert database.rollups.bytes == 0
    database.close()
    other.close()
