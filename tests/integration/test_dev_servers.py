"""The embedded servers, for real: started, stopped, killed, orphaned."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from app.dev import EmbeddedBroker, EmbeddedPostgres, process
from app.dev.broker import connect
from app.dev.errors import AlreadyRunning, CredentialsLost, ServerFailed

ROOT = Path(__file__).parents[2]
WAIT_SECONDS_MAX = 15.0
PARENT = """
import sys, time
from pathlib import Path
from app.dev import EmbeddedBroker, EmbeddedPostgres
server = {cls}(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server whose data lie behind a directory closed to other users."""
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    with EmbeddedPostgres(closed / "postgres") as server:
        yield server


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker with an empty queue."""
    with EmbeddedBroker(tmp_path / "broker") as server:
        yield server


def ask(url: str, statement: str) -> object:
    """Run one statement; return the first value of its answer, if it has one."""
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    finally:
        connection.close()


def run_parent(cls: type, data_dir: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a process that starts a server; return it and the server's pid."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(cls=cls.__name__), str(data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def test_postgres_never_runs_as_root(postgres: EmbeddedPostgres) -> None:
    """Though its data lie where only we may pass."""
    cluster = (postgres.data_dir / "cluster").stat()
    assert cluster.st_uid != 0
    assert stat.S_IMODE(cluster.st_mode) == 0o700


def test_each_role_logs_in_and_none_is_above_row_security(postgres: EmbeddedPostgres) -> None:
    """The four URLs name four different roles."""
    urls = postgres.urls()
    roles = {ask(url, "SELECT current_user") for url in urls.values()}
    assert roles == {f"opsledger_{r}" for r in ("web", "worker", "maintenance", "owner")}
    for url in urls.values():
        privileged = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert ask(url, privileged) is False


def test_a_wrong_password_is_refused(postgres: EmbeddedPostgres) -> None:
    """SCRAM, not trust, also on the loopback."""
    url = postgres.superuser_url.replace("postgres:", "postgres:no", 1)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        ask(url.replace("postgresql+psycopg2", "postgresql"), "SELECT 1")
    assert ask(postgres.superuser_url, "SHOW password_encryption") == "scram-sha-256"


def test_a_database_is_made_once_owned_by_the_owner_and_dropped(
    postgres: EmbeddedPostgres,
) -> None:
    """The owner may make tables in it; dropping cuts off who is still connected."""
    postgres.ensure_database("extra")
    postgres.ensure_database("extra")
    url = postgres.urls("extra")["OWNER_DATABASE_URL"]
    ask(url, "CREATE TABLE t (a int)")
    client = psycopg2.connect(url.replace("+psycopg2", ""))
    postgres.drop_database("extra")
    client.close()
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        ask(url, "SELECT 1")


def test_a_commit_survives_kill_9_and_the_port_stays(postgres: EmbeddedPostgres) -> None:
    """Whatever was acknowledged is there after the next start, at the same address."""
    url = postgres.urls()["OWNER_DATABASE_URL"]
    ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    family = process.descendants(postgres.pid or 0)
    postgres.kill()
    assert postgres.pid is None
    assert postgres.poll() == -signal.SIGKILL
    assert not any(process.is_alive(pid) for pid in family)
    postgres.start()
    assert ask(url, "SELECT answer FROM kept") == 42


def test_a_lock_file_naming_an_unrelated_live_process_does_not_block(
    postgres: EmbeddedPostgres,
) -> None:
    """After a reboot the old process id may be another program's."""
    lock = postgres.data_dir / "cluster" / "postmaster.pid"
    postgres.kill()
    lines = lock.read_text().splitlines(keepends=True)
    stranger = process.spawn(
        ["/bin/sleep", "600"],
        log_path=postgres.log_path,
        identity=postgres._identity(),
    )
    try:
        lock.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        postgres.start()
        assert ask(postgres.superuser_url, "SELECT 1") == 1
    finally:
        process.kill(stranger)


def test_a_second_server_on_the_same_data_is_refused(postgres: EmbeddedPostgres) -> None:
    """The sentence names the process that has it."""
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        EmbeddedPostgres(postgres.data_dir).start()
    assert postgres.pid is not None


def test_lost_passwords_are_told_and_nothing_is_overwritten(postgres: EmbeddedPostgres) -> None:
    """New ones would not be those of the database."""
    postgres.stop()
    path = postgres.data_dir / "passwords.json"
    aside = path.rename(path.with_suffix(".aside"))
    with pytest.raises(CredentialsLost, match="put the file back"):
        postgres.start()
    assert not path.exists()
    aside.rename(path)
    postgres.start()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """And leaves no process."""
    server = EmbeddedPostgres(tmp_path / "p", settings={"shared_buffers": "nonsense"})
    with pytest.raises(ServerFailed, match=r'(?s)postgres did not start.*"shared_buffers"'):
        server.start()
    assert server.pid is None


def test_stop_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    """Neither the server nor its children; clients are cut off, not waited for."""
    server = EmbeddedPostgres(tmp_path / "p")
    server.start()
    family = [server.pid or 0, *process.descendants(server.pid or 0)]
    socket_dir = ask(server.superuser_url, "SHOW unix_socket_directories")
    client = psycopg2.connect(server.superuser_url.replace("+psycopg2", ""))
    server.stop()
    client.close()
    assert not any(process.is_alive(pid) for pid in family)
    assert not Path(str(socket_dir)).exists()
    server.stop()


@pytest.mark.parametrize("cls", [EmbeddedPostgres, EmbeddedBroker])
def test_a_server_dies_with_its_parent_and_starts_again(
    cls: type[EmbeddedPostgres] | type[EmbeddedBroker], tmp_path: Path
) -> None:
    """kill -9 of the parent; the next start finds nothing in its way."""
    parent, pid = run_parent(cls, tmp_path / "s")
    try:
        assert process.is_alive(pid)
    finally:
        parent.kill()
        parent.wait()
    if sys.platform == "linux":
        assert process.wait_until(lambda: not process.is_alive(pid), WAIT_SECONDS_MAX)
    with cls(tmp_path / "s") as server:
        assert server.pid is not None


@pytest.mark.parametrize("cls", [EmbeddedPostgres, EmbeddedBroker])
def test_an_orphan_that_still_runs_is_stopped_first(
    cls: type[EmbeddedPostgres] | type[EmbeddedBroker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no kernel ties a child to its parent, as on macOS."""
    # The signal 0 asks the kernel for nothing: this server outlives its owner.
    monkeypatch.setattr(cls, "death_signal", 0)
    owner = cls(tmp_path / "s")
    owner.start()
    orphan = owner.pid or 0
    owner._lock.release()
    with cls(tmp_path / "s") as server:
        assert not process.is_alive(orphan)
        assert server.pid not in (None, orphan)
    owner.poll()


def test_the_broker_keeps_its_queue_and_port_over_kill_9(broker: EmbeddedBroker) -> None:
    """What was pushed is in the file; nobody enters without the password."""
    client = redis.Redis.from_url(broker.url)
    client.rpush("queue", "task")
    url = broker.url
    broker.kill()
    broker.start()
    assert broker.url == url
    assert redis.Redis.from_url(url).lrange("queue", 0, -1) == [b"task"]
    with pytest.raises(redis.AuthenticationError):
        connect(url.replace("redis://:", "redis://:no")).ping()


def test_the_broker_refuses_writes_rather_than_forget_tasks(broker: EmbeddedBroker) -> None:
    """No eviction, append-only file on, one address."""
    client = redis.Redis.from_url(broker.url)
    wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "bind": "127.0.0.1"}
    assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_stopping_the_broker_leaves_no_process(broker: EmbeddedBroker) -> None:
    """Also when it was killed before."""
    pid = broker.pid or 0
    broker.stop()
    assert not process.is_alive(pid)
    broker.start()
    broker.kill()
    broker.stop()
    assert broker.pid is None


def test_a_port_taken_meanwhile_is_left_to_its_new_user(broker: EmbeddedBroker) -> None:
    """The server moves to another one."""
    port = broker.port
    broker.stop()
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", port))
        taker.listen()
        broker.start()
        assert broker.port != port
