"""The servers of a test run: embedded ones, or those of DATABASE_URL and REDIS_URL."""

import os
import secrets
from pathlib import Path
from typing import Protocol

import psycopg2
from psycopg2 import sql
from sqlalchemy import make_url

from app.dev import EmbeddedBroker, EmbeddedPostgres

ROLES = {
    "DATABASE_URL": "opsledger_web",
    "WORKER_DATABASE_URL": "opsledger_worker",
    "MAINTENANCE_DATABASE_URL": "opsledger_maintenance",
    "OWNER_DATABASE_URL": "opsledger_owner",
}


class PostgresServer(Protocol):
    """A server on which tests make databases of their own."""

    def ensure_database(self, name: str) -> None: ...

    def copy_database(self, template: str, name: str) -> None: ...

    def drop_database(self, name: str) -> None: ...

    def urls(self, database: str = "opsledger") -> dict[str, str]: ...


class OwnPostgres(EmbeddedPostgres):
    """An embedded server that can copy a database, which is faster than to migrate another."""

    def copy_database(self, template: str, name: str) -> None:
        with self._cursor() as cursor:
            cursor.execute(copying(template, name))


class GivenPostgres:
    """The server of DATABASE_URL, whose role must be allowed to make databases and roles."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._password = secrets.token_hex(16)
        for role in ROLES.values():
            name = sql.Identifier(role)
            self._run(sql.SQL("CREATE ROLE {}").format(name), ignore=True)
            password = sql.Literal(self._password)
            self._run(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, password))

    def ensure_database(self, name: str) -> None:
        owner = sql.Identifier(ROLES["OWNER_DATABASE_URL"])
        self._run(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner))

    def copy_database(self, template: str, name: str) -> None:
        self._run(copying(template, name))

    def drop_database(self, name: str) -> None:
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def urls(self, database: str = "opsledger") -> dict[str, str]:
        return {
            setting: self._url.set(
                drivername="postgresql+psycopg2",
                username=role,
                password=self._password,
                database=database,
            ).render_as_string(hide_password=False)
            for setting, role in ROLES.items()
        }

    def _run(self, statement: sql.Composable, *, ignore: bool = False) -> None:
        connection = psycopg2.connect(self._url.render_as_string(hide_password=False))
        connection.autocommit = True
        try:
            connection.cursor().execute(statement)
        except psycopg2.errors.DuplicateObject:
            if not ignore:
                raise
        finally:
            connection.close()


def copying(template: str, name: str) -> sql.Composable:
    """The statement that makes a database out of one that nobody uses."""
    owner = sql.Identifier(ROLES["OWNER_DATABASE_URL"])
    names = (sql.Identifier(name), sql.Identifier(template))
    return sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(*names, owner)


def start_postgres(data_dir: Path) -> PostgresServer:
    """The server that DATABASE_URL names, or an embedded one, started."""
    given = os.environ.get("DATABASE_URL")
    if given:
        return GivenPostgres(given)
    server = OwnPostgres(data_dir)
    server.start()
    return server


def start_broker(data_dir: Path) -> EmbeddedBroker | None:
    """An embedded broker, started; None if REDIS_URL names one."""
    if os.environ.get("REDIS_URL"):
        return None
    broker = EmbeddedBroker(data_dir)
    broker.start()
    return broker
