"""Runs the migrations as the owner role: one runner at a time, never waiting long for a lock.

A migration that cannot have its lock within a second fails and may be run again; it must not
queue behind a long transaction with every query of the platform queued behind it.
"""

import time
from collections.abc import Callable
from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import Connection, create_engine, text

LOCK_TIMEOUT = "1s"
STATEMENT_TIMEOUT = "60s"
ADVISORY_LOCK = 7_033_187_164  # any fixed number: "Opsledger migrations"
TRY_AGAIN_S = 0.1

database = current_app.extensions["migrate"].db
settings = current_app.extensions["opsledger"].settings


def belongs_to_us(obj: Any, name: str | None, type_: str, reflected: bool, _: Any) -> bool:
    """Leave out the partitions, which are made by ensure_partition() and have no model."""
    if type_ == "table" and reflected:
        return name in database.metadata.tables
    return True


def configure(**options: Any) -> None:
    """Set Alembic up alike for a connection and for printing SQL."""
    context.configure(
        target_metadata=database.metadata,
        include_object=belongs_to_us,
        transaction_per_migration=True,
        compare_type=True,
        **options,
    )


def limit_waits(execute: Callable[[str], object]) -> None:
    """Give up rather than wait long, for a lock or for a statement."""
    execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")


def wait_for_others(connection: Connection) -> None:
    """Take the lock of the one runner, in tries that end.

    Who waits inside of pg_advisory_lock() has a snapshot, and CREATE INDEX CONCURRENTLY of the
    runner at work waits for snapshots: the two would wait for each other.
    """
    tried = text("SELECT pg_try_advisory_lock(:key)")
    while not connection.execute(tried, {"key": ADVISORY_LOCK}).scalar_one():
        connection.rollback()
        time.sleep(TRY_AGAIN_S)


def run_offline() -> None:
    """Print the SQL, for review and for the linter."""
    configure(
        url=settings.url_of("owner"),
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},  # or every % would be printed twice
    )
    with context.begin_transaction():
        limit_waits(context.execute)
        context.run_migrations()


def run_online() -> None:
    """Run the migrations on the owner's connection."""
    engine = create_engine(settings.url_of("owner"))
    try:
        with engine.connect() as connection:
            wait_for_others(connection)
            limit_waits(lambda statement: connection.execute(text(statement)))
            connection.commit()
            configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
