"""Transactions leave nothing behind in their connection, so that PgBouncer may give it to anyone.

In its transaction mode each transaction may run on another server connection: what one leaves there
(a setting, a lock, a prepared statement) is another client's, and what it relies on may be gone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from app.auth import hash_secret
from app.domain.filters import ActionFilter, AuditFilter, Page
from app.domain.paths import PathFilter
from app.pipeline.persist import Persister
from app.store.action_logs import ActionLogRepository
from app.store.action_types import list_action_types
from app.store.analytics import ActionAnalytics
from app.store.audit_logs import AuditLogRepository
from app.store.contacts import ContactRepository
from app.store.fold import fold
from app.store.session import Database
from app.store.task_runs import may_run, stamp
from app.store.tenants import find_principal
from tests.support.world import World, action, audit, lines_of

# What a session can hold beyond a transaction. transaction_isolation is no such thing: it is what
# the BEGIN of the looking transaction says (default_transaction_isolation would be one).
STATE = {
    "settings": "SELECT name, setting FROM pg_settings WHERE source = 'session'"
    " AND name <> 'transaction_isolation'",
    "prepared statements": "SELECT name FROM pg_prepared_statements",
    "cursors": "SELECT name FROM pg_cursors WHERE is_holdable",
    "locks": "SELECT locktype, objid FROM pg_locks WHERE pid = pg_backend_pid()"
    " AND locktype = 'advisory'",
    "channels": "SELECT pg_listening_channels()",
    "temporary tables": "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
    "role": "SELECT current_user WHERE current_user <> session_user",
    "tenant": "SELECT 1 WHERE NULLIF(current_setting('app.tenant', true), '') IS NOT NULL",
}


@contextmanager
def watched(url: str) -> Iterator[Database]:
    """A pool of one connection, which is looked at once everything was done on it."""
    engine = create_engine(url, pool_size=1, max_overflow=0)
    database = Database(engine, statement_timeout_s=5)

    def state() -> dict[str, list[object]]:
        with engine.connect() as connection:
            return {
                name: [tuple(row) for row in connection.execute(text(statement))]
                for name, statement in STATE.items()
            }

    fresh, pid = state(), _pid(database)
    yield database
    assert state() == fresh
    assert _pid(database) == pid, "another connection was looked at"
    database.close()


def _pid(database: Database) -> int:
    with database.unrestricted_unsafe() as session:
        return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())


def test_what_serves_queries_leaves_nothing_in_its_session(
    world: World, environment: dict[str, str]
) -> None:
    """Lists, searches, tails, operations, statistics, keys and the sandbox."""
    tenant = world.settle()
    world.put(action(tenant.tenant_id, operation_id="op"), audit(tenant.tenant_id))
    page, now = Page(limit=10), datetime.now(UTC)
    with watched(environment["DATABASE_URL"]) as database:
        with database.unrestricted_unsafe() as session:
            assert find_principal(session, hash_secret(tenant.secret))
            list_action_types(session)
        with database.tenant(tenant.tenant_id) as session:
            actions = ActionLogRepository(session, tenant.tenant_id)
            path = PathFilter("payload", ("a",), "1")
            actions.search_by_content(ActionFilter(q="x", paths=(path,)), page, seconds=1.0)
            actions.tail(ActionFilter(), None, 10)
            actions.of_operation("op", 10, after=None)
            audits = AuditLogRepository(session, tenant.tenant_id)
            audits.tail(AuditFilter(), None, 10)
        with database.tenant(tenant.tenant_id, snapshot=True) as session:
            actions = ActionLogRepository(session, tenant.tenant_id)
            for asked in (ActionFilter(), ActionFilter(status=("success",))):
                assert len(actions.search(asked, page)) == 1
            audits = AuditLogRepository(session, tenant.tenant_id)
            for looked_for in (AuditFilter(), AuditFilter(action="update")):
                assert len(audits.search(looked_for, page)) == 1
            actions.recent_failures(now - timedelta(hours=1), 10)
            ActionAnalytics(session, tenant.tenant_id).counts_by_type(None, None)
        with database.tenant(tenant.tenant_id) as session:
            ContactRepository(session, tenant.tenant_id).list(limit=10, after=None)


def test_what_writes_leaves_nothing_in_its_session(
    world: World, environment: dict[str, str]
) -> None:
    """A first delivery, a second one, and one with records that Postgres refuses."""
    tenant = world.settle()
    lines = lines_of(*(action(tenant.tenant_id) for _ in range(20)), audit(tenant.tenant_id))
    poison = lines_of(action(uuid4()), action(tenant.tenant_id))
    with watched(environment["WORKER_DATABASE_URL"]) as database:
        persister = Persister(database)
        for shipment in (lines, lines, poison):
            persister.persist(uuid4(), shipment)


def test_what_maintains_leaves_nothing_in_its_session(
    world: World, environment: dict[str, str]
) -> None:
    """The lock of a periodic task ends with its transaction, and so do the limits of a fold."""
    name, tenant = f"task {uuid4()}", world.settle()
    world.put(action(tenant.tenant_id))
    with watched(environment["MAINTENANCE_DATABASE_URL"]) as database:
        for expected in (True, False):
            with database.unrestricted_unsafe() as session:
                assert may_run(session, name, not_within_s=60) == expected
                if expected:
                    stamp(session, name)
        with database.unrestricted_unsafe() as session:
            fold(session, tenant.tenant_id)


def test_the_watch_notices_what_is_left(environment: dict[str, str]) -> None:
    """Or the tests above would say nothing."""
    for statement in (
        "SET work_mem = '8MB'",
        "SET default_transaction_isolation = 'serializable'",
        "PREPARE a AS SELECT 1",
        "SELECT pg_advisory_lock(7)",
        "LISTEN a",
        "SELECT set_config('app.tenant', 'x', false)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    ):
        with (
            pytest.raises(AssertionError),
            watched(environment["DATABASE_URL"]) as database,
            database.unrestricted_unsafe() as session,
        ):
            session.execute(text(statement))
