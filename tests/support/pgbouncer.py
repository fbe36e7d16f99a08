"""A PgBouncer of one's own, where it is installed: before a Postgres that runs, on 127.0.0.1, in
transaction mode, with one server connection for each role. It is no part of the product.
"""

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor
from sqlalchemy import make_url

from app.dev.cluster import give
from app.dev.identity import server_identity
from app.dev.process import Identity
from app.dev.server import EmbeddedServer
from tests.support.servers import ROLES

ADMIN = "opsledger_test_admin"
CONFIGURATION = """\
[databases]
{database} = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {home}/users
admin_users = {admin}
pool_mode = transaction
default_pool_size = 1
max_client_conn = 200
query_wait_timeout = 30
"""


def find_pgbouncer() -> Path | None:
    """The program; None where it is not installed."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


class PgBouncer(EmbeddedServer):
    """A pooler that lends one server connection of each role to whoever has a transaction.

    Args:
        data_dir: for its configuration and log.
        urls: of all roles, by setting, on the Postgres behind it.
    """

    name = "pgbouncer"
    death_signal = signal.SIGTERM
    stop_steps = ((signal.SIGTERM, 5.0),)

    def __init__(self, data_dir: Path, urls: Mapping[str, str]) -> None:
        super().__init__(data_dir)
        self._behind = {name: make_url(urls[name]) for name in ROLES}
        self._home = self.data_dir / "home"
        self._program = find_pgbouncer() or Path()
        self._user: Identity | None = None

    def urls(self) -> dict[str, str]:
        """Those of all roles but the owner, whose migrations hold a lock of their session."""
        return {
            name: url.set(host="127.0.0.1", port=self.port).render_as_string(hide_password=False)
            for name, url in self._behind.items()
            if name != "OWNER_DATABASE_URL"
        }

    def show(self, what: str) -> list[dict[str, Any]]:
        """What its console says: CLIENTS, SERVERS, STATS."""
        url = self._behind["DATABASE_URL"]
        console = psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            dbname="pgbouncer",
            user=ADMIN,
            password=url.password,
            connect_timeout=5,
        )
        console.autocommit = True
        with closing(console), console.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(f"SHOW {what}")
            return [dict(row) for row in cursor.fetchall()]

    def _prepare(self) -> None:
        self._user = server_identity(self._home, [self._program])
        self._home.mkdir(mode=0o700, exist_ok=True)

    def _argv(self) -> Sequence[str]:
        url = self._behind["DATABASE_URL"]
        passwords = {of.username: of.password for of in self._behind.values()}
        users = {**passwords, ADMIN: url.password}
        texts = {
            "users": "".join(f'"{name}" "{password}"\n' for name, password in users.items()),
            "pgbouncer.ini": CONFIGURATION.format(
                database=url.database,
                host=url.host,
                port=url.port or 5432,
                listen_port=self.port,
                home=self._home,
                admin=ADMIN,
            ),
        }
        for name, text in texts.items():
            (self._home / name).write_text(text)
            give(self._home / name, self._user)
        give(self._home, self._user)
        return [str(self._program), str(self._home / "pgbouncer.ini")]

    def _accepts(self) -> bool:
        try:
            self.show("VERSION")
        except psycopg2.OperationalError:
            return False
        return True

    def _marker(self) -> str:
        return str(self._home / "pgbouncer.ini")

    def _identity(self) -> Identity | None:
        return self._user
