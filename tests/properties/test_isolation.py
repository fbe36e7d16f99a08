"""Tenants on one pooled connection, in any order and with any mishap, never see each other."""

import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from app.domain.filters import ActionFilter, AuditFilter, Page
from app.errors import QueryTimeout
from app.store.action_logs import ActionLogRepository
from app.store.analytics import ActionAnalytics
from app.store.audit_logs import AuditLogRepository
from app.store.contacts import ContactRepository
from app.store.fold import fold
from app.store.session import Database
from tests.support.world import World, action, audit

TENANTS = 3
INTERLEAVINGS = 1_000  # of which no two are the same
SEED = 7
TABLES = (
    *("action_logs", "audit_logs", "log_batches", "sandbox_contacts", "tenants"),
    *("action_rollups", "audit_rollups", "user_rollups", "rollup_cells"),
)
OF_ALL_TABLES = text(
    " UNION ALL ".join(
        f"SELECT {'id' if table == 'tenants' else 'tenant_id'} FROM {table}" for table in TABLES
    )
)
STEPS = ("list", "raw", "repository of another", "write", "break", "time out", "unscoped")

steps = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, TENANTS - 1)), min_size=2, max_size=12
)


class Mishap(Exception):
    """What goes wrong in the middle of a transaction."""


@pytest.fixture(scope="module")
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """A database of these tests alone: in the shared one, each statement on all tables plans for
    all the weeks that other tests have made.
    """
    return own_environment


@pytest.fixture(scope="module")
def maintenance(own_maintenance: Database) -> Database:
    """All tenants of that database."""
    return own_maintenance


@pytest.fixture
def one_connection(environment: dict[str, str]) -> Iterator[Database]:
    """The web role's pool with a single connection, which everyone has after everyone else."""
    engine = create_engine(environment["DATABASE_URL"], pool_size=1, max_overflow=0)
    database = Database(engine, statement_timeout_s=5)
    yield database
    database.close()


@pytest.fixture
def tenants(world: World) -> list[UUID]:
    """Tenants with a few records each."""
    found = [world.settle().tenant_id for _ in range(TENANTS)]
    world.put(*(make(tenant) for tenant in found for make in (action, action, audit)))
    with world.maintenance.unrestricted_unsafe() as session:
        assert all(fold(session, tenant) for tenant in found)
    return found


def seen(database: Database, tenant: UUID | None) -> set[UUID]:
    """The tenants whose rows a transaction of this tenant, or of none, sees in any table."""
    scope = database.tenant(tenant) if tenant else database.unrestricted_unsafe()
    with scope as session:
        return set(session.execute(OF_ALL_TABLES).scalars())


def take(step: str, database: Database, tenant: UUID, other: UUID) -> None:
    """One step of a tenant; every step asserts what it sees."""
    if step == "list":
        with database.tenant(tenant) as session:
            found = ActionLogRepository(session, tenant).search(ActionFilter(), Page(100))
            assert [row["tenant_id"] for row in found] == [str(tenant)] * 2
            (row,) = AuditLogRepository(session, tenant).search(AuditFilter(), Page(100))
            assert row["tenant_id"] == str(tenant)
    elif step == "raw":
        assert seen(database, tenant) == {tenant}
    elif step == "repository of another":  # the bug that row-level security is there for
        with database.tenant(tenant, snapshot=True) as session:
            confused = ActionLogRepository(session, other)
            assert confused.search(ActionFilter(), Page(100)) == []
            assert ActionAnalytics(session, other).statistics(None, None).total_actions == 0
            assert ContactRepository(session, other).list(limit=100, after=None) == []
    elif step == "write":
        with database.tenant(tenant) as session:
            ContactRepository(session, tenant).add(uuid4(), {"email": f"{tenant.hex}@example.com"})
    elif step == "break":
        with suppress(Mishap), database.tenant(tenant) as session:
            session.execute(text("SELECT 1"))
            raise Mishap
    elif step == "time out":
        with suppress(QueryTimeout), database.tenant(tenant) as session:
            session.execute(text("SET LOCAL statement_timeout = '1ms'"))
            session.execute(text("SELECT pg_sleep(1)"))
    else:
        assert seen(database, None) == set()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_interleaved_tenants_on_one_connection_see_only_themselves(
    one_connection: Database, tenants: list[UUID], steps: list[tuple[str, int]]
) -> None:
    """A scope ends with its transaction, whichever way that ends."""
    backend = backend_of(one_connection)
    interleave(steps, one_connection, tenants)
    assert backend_of(one_connection) == backend


def test_a_thousand_interleavings_on_one_connection_show_no_foreign_row(
    one_connection: Database, tenants: list[UUID]
) -> None:
    """Each another one, of every kind of step, two tenants and more, on the same server process."""
    chance, tried = random.Random(SEED), set[tuple[tuple[str, int], ...]]()
    backend = backend_of(one_connection)
    while len(tried) < INTERLEAVINGS:
        steps = tuple(
            (chance.choice(STEPS), chance.randrange(TENANTS)) for _ in range(chance.randint(2, 4))
        )
        if steps in tried or len({number for _, number in steps}) < 2:
            continue
        interleave(steps, one_connection, tenants)
        tried.add(steps)
    assert len(tried) >= 1_000
    assert {step for steps in tried for step, _ in steps} == set(STEPS)
    assert backend_of(one_connection) == backend


def interleave(steps: Iterable[tuple[str, int]], database: Database, tenants: list[UUID]) -> None:
    """Steps of several tenants, one after the other, and nothing of them is left."""
    for step, number in steps:
        take(step, database, tenants[number], tenants[(number + 1) % TENANTS])
    assert seen(database, None) == set()


def backend_of(database: Database) -> int:
    """The server process behind the one connection."""
    with database.unrestricted_unsafe() as session:
        return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
