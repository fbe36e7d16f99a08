"""Transactions: every one is scoped to a tenant, or says loudly that it is not.

Row-level security reads the setting app.tenant, which lives exactly as long as the transaction,
so that a pooled connection (or PgBouncer in transaction mode) never carries a tenant over.
"""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any
from uuid import UUID

import psycopg2
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from ..errors import QueryTimeout, StoreUnavailable
from .memory import Memory

CONNECT_TIMEOUT_S = 5
# How long a connection to a host that vanished without a word is waited for: half a minute at most,
# instead of the two hours of the system's keepalive.
KEEPALIVE = {
    "keepalives_idle": 10,  # s
    "keepalives_interval": 5,  # s
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # ms; of what was sent and not acknowledged
}
QUERY_CANCELED = "57014"  # SQLSTATE query_canceled: statement_timeout ended it

SET_LOCAL = "set_config(%s, %s, true)"
ROLLUP_CACHE = "rollup_cache"  # the key in a session's info; of a tenant's snapshots alone
# Taken before a snapshot, so that the snapshot and the partitions agree until its end: archiving,
# which drops one and says so in the register, waits for those who hold it.
STAND = "LOCK TABLE ONLY action_logs, ONLY audit_logs IN ACCESS SHARE MODE"

ENGINE_OPTIONS: dict[str, Any] = {
    "pool_size": 10,
    "max_overflow": 10,
    "pool_timeout": 5,
    "hide_parameters": True,  # an error's text ends in a log
    "pool_pre_ping": True,  # a restarted Postgres must not cost a caller an error
    "connect_args": {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "opsledger",
        **KEEPALIVE,
    },
}


class Database:
    """A pool of connections of one role."""

    def __init__(
        self, engine: Engine, *, statement_timeout_s: float = 0, rollup_cache_bytes: int = 0
    ) -> None:
        self.engine = engine
        self._timeout_ms = round(statement_timeout_s * 1000)
        self.rollups = Memory(rollup_cache_bytes)
        _drop_after_fork(engine, self.rollups)
        event.listen(engine, "handle_error", self._forget_if_disconnected)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        statement_timeout_s: float = 0,
        connect_timeout_s: int = CONNECT_TIMEOUT_S,
        rollup_cache_bytes: int = 0,
    ) -> "Database":
        """A pool for a URL; connections are made at first use.

        Args:
            statement_timeout_s: longest statement, in seconds; 0 for no bound.
            connect_timeout_s: how long a host that does not answer is waited for.
            rollup_cache_bytes: how much is remembered of rollups, for all tenants together.
        """
        arguments = {**ENGINE_OPTIONS["connect_args"], "connect_timeout": connect_timeout_s}
        engine = create_engine(url, **{**ENGINE_OPTIONS, "connect_args": arguments})
        return cls(
            engine, statement_timeout_s=statement_timeout_s, rollup_cache_bytes=rollup_cache_bytes
        )

    @contextmanager
    def tenant(self, tenant_id: UUID, *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction that sees and writes one tenant's rows only; commits at the end.

        Args:
            snapshot: whether all its statements shall see the ledger at one and the same moment.

        Raises:
            StoreUnavailable: Postgres cannot be reached.
            QueryTimeout: a statement took longer than the pool allows.
        """
        with self._transaction(snapshot, {"app.tenant": str(tenant_id)}) as session:
            if snapshot:
                session.info[ROLLUP_CACHE] = self.rollups
            yield session

    @contextmanager
    def unrestricted_unsafe(self, *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction without tenant scope: sees what the role may, which may be every tenant.

        Args:
            snapshot: whether all its statements shall see the ledger at one and the same moment.

        Raises:
            StoreUnavailable: Postgres cannot be reached.
            QueryTimeout: a statement took longer than the pool allows.
        """
        with self._transaction(snapshot, {}) as session:
            yield session

    @contextmanager
    def _transaction(self, snapshot: bool, settings: dict[str, str]) -> Iterator[Session]:
        """A transaction under settings that end with it."""
        if self._timeout_ms:
            settings["statement_timeout"] = str(self._timeout_ms)
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                if snapshot:
                    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                    # SET takes no snapshot; the lock, too, is waited for no longer than a query.
                    bound = f"SET LOCAL statement_timeout = {self._timeout_ms}"
                    session.connection().exec_driver_sql(f"{bound}; {STAND}")
                if settings:
                    session.connection().exec_driver_sql(
                        f"SELECT {', '.join([SET_LOCAL] * len(settings))}",
                        tuple(chain.from_iterable(settings.items())),
                    )
                yield session
        except (DBAPIError, psycopg2.Error) as error:
            raise _translated(error) from error
        except PoolTimeout as error:
            raise StoreUnavailable from error

    def answers(self) -> bool:
        """Whether Postgres can be reached."""
        try:
            with self.unrestricted_unsafe() as session:
                session.execute(text("SELECT 1"))
        except (StoreUnavailable, QueryTimeout):
            return False
        return True

    def close(self) -> None:
        """Close all idle connections."""
        self.engine.dispose()

    def _forget_if_disconnected(self, context: ExceptionContext) -> None:
        """Another server may answer next, whose transactions have the numbers of lost ones."""
        if context.is_disconnect:
            self.rollups.clear()


def _drop_after_fork(engine: Engine, rollups: Memory) -> None:
    """A child must not speak on its parent's connections, which stay open there, nor wait for a
    lock that a thread of its parent holds.
    """
    engine_of, rollups_of = weakref.ref(engine), weakref.ref(rollups)

    def after_in_child() -> None:
        if (living := engine_of()) is not None:
            living.dispose(close=False)
        if (remembered := rollups_of()) is not None:
            remembered.after_fork()

    os.register_at_fork(after_in_child=after_in_child)


def _translated(error: Exception) -> Exception:
    """The store's own exception for what a driver says; COPY's errors come from the bare driver."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError):
        return error
    return QueryTimeout() if cause.pgcode == QUERY_CANCELED else StoreUnavailable()
