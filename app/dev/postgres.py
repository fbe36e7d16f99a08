"""The embedded Postgres: a cluster in a directory, its roles and databases made, as an
unprivileged user. Invariant: an acknowledged commit survives kill -9 of everything (fsync is on),
and no role that serves clients is a superuser or bypasses row-level security.
"""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from . import cluster, files, process
from .binaries import find_postgres
from .errors import CredentialsLost, ServerFailed
from .identity import server_identity
from .process import Identity
from .server import EmbeddedServer

SUPERUSER = "postgres"
OWNER = "opsledger_owner"
URL_ROLES = {
    "DATABASE_URL": "opsledger_web",
    "WORKER_DATABASE_URL": "opsledger_worker",
    "MAINTENANCE_DATABASE_URL": "opsledger_maintenance",
    "OWNER_DATABASE_URL": OWNER,
}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "password_encryption": "scram-sha-256",  # nosec B105
    "unix_socket_permissions": "0700",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
CONNECT_SECONDS_MAX = 2
SCRATCH_PREFIX = "opsledger-"


class EmbeddedPostgres(EmbeddedServer):
    """A Postgres server with the four roles of Opsledger, on 127.0.0.1 and a Unix socket.

    Args:
        data_dir: where everything of it is kept; made if missing.
        log_path: default `postgres.log` in data_dir.
        settings: Postgres settings by name, over SETTINGS.
    """

    name = "postgres"
    # Fast shutdown: clients are cut off, what they committed is kept; then immediate shutdown.
    death_signal = signal.SIGINT
    stop_steps = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

    def __init__(
        self,
        data_dir: Path,
        *,
        log_path: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data_dir, log_path=log_path)
        self._cluster = self.data_dir / "cluster"
        self._settings = {**SETTINGS, **(settings or {})}
        self._passwords: dict[str, str] = {}
        self._programs = Path()
        self._user: Identity | None = None
        self._scratch: Path | None = None

    @property
    def superuser_url(self) -> str:
        """Where the superuser finds the database `postgres`."""
        return self._url(SUPERUSER, "postgres")

    def urls(self, database: str = "opsledger") -> dict[str, str]:
        """Return each database setting of the application with its URL."""
        return {name: self._url(role, database) for name, role in URL_ROLES.items()}

    def stop(self, hurried: Callable[[], bool] = process.never) -> None:
        """End it in good order, and let others have the data directory."""
        super().stop(hurried)
        if self._scratch:
            self._remove_scratch(self._scratch)

    def ensure_database(self, name: str) -> None:
        """Make a database owned by opsledger_owner, unless it is there."""
        with self._cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                statement = sql.SQL("CREATE DATABASE {} OWNER {}")
                cursor.execute(statement.format(sql.Identifier(name), sql.Identifier(OWNER)))

    def drop_database(self, name: str) -> None:
        """Remove a database and cut off its clients; nothing if there is none."""
        with self._cursor() as cursor:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            cursor.execute(statement.format(sql.Identifier(name)))

    def _prepare(self) -> None:
        self._programs = find_postgres()
        programs = [self._programs / "postgres", self._programs / "initdb"]
        self._user = server_identity(self._cluster, programs)
        self._passwords = self._load_passwords()
        self._make_scratch()
        if self._cluster.exists():
            cluster.unblock(self._cluster, self._is_ours)
        else:
            self._initialize()

    def _load_passwords(self) -> dict[str, str]:
        path = self.data_dir / "passwords.json"
        roles = [SUPERUSER, *URL_ROLES.values()]
        if self._cluster.exists() and not files.read_json(path).keys() >= set(roles):
            raise CredentialsLost(path=path, directory=self.data_dir)
        return files.keep_passwords(path, roles)

    def _make_scratch(self) -> None:
        """Make the directory of the Unix socket, whose path may have only some 107 bytes."""
        # After a kill -9 the state file still knows where the last one was; in a copy of a data
        # directory it may name that of a server which runs elsewhere.
        state = self._state()
        if not process.is_alive(int(state.get("pid", 0))):
            self._remove_scratch(Path(state.get("scratch", "")))
        base = "/tmp" if Path("/tmp").is_dir() else None  # nosec B108
        self._scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=base))
        cluster.give(self._scratch, self._user)

    def _remove_scratch(self, path: Path) -> None:
        if path.name.startswith(SCRATCH_PREFIX):
            shutil.rmtree(path, ignore_errors=True)

    def _extra_state(self) -> dict[str, str]:
        return {"scratch": str(self._scratch)}

    def _initialize(self) -> None:
        assert self._scratch is not None  # nosec B101
        log_start = files.size_of(self.log_path)
        status = cluster.create(
            self._cluster,
            programs=self._programs,
            superuser=SUPERUSER,
            password_file=self._scratch / "password",
            password=self._passwords[SUPERUSER],
            user=self._user,
            log_path=self.log_path,
            env=self._env(),
        )
        if status != 0:
            reason = f"initdb ended with status {status}"
            said = files.tail(self.log_path, start=log_start)
            raise ServerFailed(name=self.name, reason=reason, tail=said)

    def _marker(self) -> str:
        return f"-D {self._cluster} "

    def _argv(self) -> Sequence[str]:
        settings = {
            **self._settings,
            "port": str(self.port),
            "unix_socket_directories": str(self._scratch),
        }
        arguments = [text for item in settings.items() for text in ("-c", "=".join(item))]
        return [str(self._programs / "postgres"), "-D", str(self._cluster), *arguments]

    def _identity(self) -> Identity | None:
        return self._user

    def _accepts(self) -> bool:
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def _launch(self) -> None:
        super()._launch()
        with self._cursor() as cursor:
            cursor.execute("SELECT rolname FROM pg_roles")
            present = {row[0] for row in cursor.fetchall()}
            for role in set(URL_ROLES.values()) - present:
                statement = sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD {}")
                password = sql.Literal(self._passwords[role])
                cursor.execute(statement.format(sql.Identifier(role), password))
        self.ensure_database("opsledger")

    def _connect(self) -> Connection:
        return psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            password=self._passwords[SUPERUSER],
            dbname="postgres",
            connect_timeout=CONNECT_SECONDS_MAX,
        )

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        """Open a connection of the superuser for a few statements, each its own transaction."""
        opened = self._connect()
        opened.autocommit = True
        try:
            with opened.cursor() as cursor:
                yield cursor
        finally:
            opened.close()

    def _url(self, role: str, database: str) -> str:
        address = f"{role}:{self._passwords[role]}@127.0.0.1:{self.port}/{database}"
        return f"postgresql+psycopg2://{address}"
