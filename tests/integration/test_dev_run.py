"""`make run` with a small application in the product's place: order, failures, signals."""

import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.dev import EmbeddedBroker, EmbeddedPostgres, process
from app.dev.interrupts import Interrupts, Stopped
from app.dev.server import free_port
from app.vault import Vault
from benchmarks.rabbitmq import RabbitMQ, find_rabbitmq

ROOT = Path(__file__).parents[2]
WAIT_SECONDS_MAX = 60.0
WSGI = """
import os
from flask import Flask
from flask.cli import AppGroup
application = Flask(__name__)
database = AppGroup("db")
application.cli.add_command(database)

@application.get("/health/ready")
def ready():
    return os.environ["OPSLEDGER_DEMO"]

@database.command("upgrade")
def upgrade():
    if os.path.exists("broken"):
        raise SystemExit("the schema is broken")
    import psycopg2
    psycopg2.connect(os.environ["OWNER_DATABASE_URL"].replace("+psycopg2", "")).close()

@application.cli.command("demo")
def demo():
    print("demo")
"""
WORKER = """
import os
from celery import Celery
celery = Celery("mini", broker=os.environ["OPSLEDGER_BROKER_URL"] or os.environ["REDIS_URL"])
"""
PROCFILE = """
web: python -m gunicorn -b ${OPSLEDGER_HOST}:${PORT} wsgi:application
stream: python -m gunicorn -b ${OPSLEDGER_HOST}:${OPSLEDGER_STREAM_PORT} wsgi:application
worker: python -m celery -A worker worker -c 1 -l info
beat: python -m celery -A worker beat -s ${OPSLEDGER_DATA_DIR}/beat
"""


class Run:
    """One `python -m app.dev`, what it printed, and its address."""

    def __init__(self, root: Path, port: int, given: dict[str, str]) -> None:
        self.port = port
        self.output = ""
        self._log = root / "output"
        clean = {k: v for k, v in os.environ.items() if not k.endswith("_URL")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.dev"],
                cwd=root,
                env=clean | {"PORT": str(port), "OPSLEDGER_DATA_DIR": str(root / ".data")} | given,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, text: str) -> None:
        """Wait until a text was printed."""

        def printed() -> bool:
            self.output = self._log.read_text()
            return text in self.output or self.process.poll() is not None

        process.wait_until(printed, WAIT_SECONDS_MAX)
        assert text in self.output, self.output

    def end(self, signum: signal.Signals = signal.SIGINT) -> int:
        """Signal it and return its exit status."""
        self.process.send_signal(signum)
        status = self.process.wait(WAIT_SECONDS_MAX)
        self.output = self._log.read_text()
        return status

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask the running application."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout closed to other users, with the development stack and a tiny application."""
    root = tmp_path / "checkout"
    root.mkdir(mode=0o700)
    (root / "app").symlink_to(ROOT / "app")
    (root / "wsgi.py").write_text(WSGI)
    (root / "worker.py").write_text(WORKER)
    (root / "Procfile").write_text(PROCFILE)
    return root


@pytest.fixture
def run(checkout: Path) -> Iterator[Callable[..., Run]]:
    """Start runs, and end what a failed test leaves."""
    runs: list[Run] = []

    def start(port: int | None = None, **given: str) -> Run:
        runs.append(Run(checkout, port or free_port(), given))
        return runs[-1]

    yield start
    for one in runs:
        one.process.kill()
        one.process.wait()


def serving(run: Run) -> bool:
    """Tell whether the application answers."""
    try:
        return run.get("/health/ready") == (200, b"1")
    except OSError:
        return False


def leader(run: Run, text: str) -> int:
    """Return the process of a run whose command line has a text and which leads its group."""
    for pid in process.descendants(run.process.pid):
        if text in process.command_line(pid) and os.getpgid(pid) == pid:
            return pid
    return 0


def test_a_run_serves_says_how_to_try_it_and_stops_in_order(
    checkout: Path, run: Callable[..., Run]
) -> None:
    """The whole life: steps, block, settings for other shells, restarts, Ctrl-C, nothing left."""
    first = run()
    first.wait_for("Ctrl-C stops")
    assert serving(first)
    assert (
        f"curl -X POST localhost:{first.port}/api/v1/crm/contacts "
        '-H "X-API-Key: test-api-key-12345" -H "Content-Type: application/json" '
        '-d \'{"email":"test@example.com","first_name":"Test","last_name":"User"}\''
    ) in first.output
    settings = checkout / ".data" / "env"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert f"PORT={first.port}\n" in settings.read_text()
    assert re.search(r"^OPSLEDGER_EXTERNAL_ID_KEY=\w{48}$", settings.read_text(), re.MULTILINE)
    key = re.search(r"^OPSLEDGER_CREDENTIAL_KEYS='?([^'\n]+)", settings.read_text(), re.MULTILINE)
    assert key is not None
    tenant_id = uuid4()
    locked = Vault(key[1]).lock(tenant_id, "crm", {"token": "pat-1"})
    assert Vault(key[1]).unlock(tenant_id, "crm", locked) == {"token": "pat-1"}

    os.kill(leader(first, "gunicorn"), signal.SIGKILL)
    first.wait_for("web        ended by signal 9; starting again")
    assert process.wait_until(lambda: serving(first), WAIT_SECONDS_MAX)
    os.kill(leader(first, "/postgres -D"), signal.SIGKILL)
    first.wait_for("postgres   ended by signal 9; starting again")
    assert process.wait_until(lambda: bool(leader(first, "/postgres -D")), WAIT_SECONDS_MAX)

    family = process.descendants(first.process.pid)
    assert first.end() == 0
    stopping = re.findall(r"^(\w+) +stopping$", first.output, re.MULTILINE)
    assert stopping == ["web", "stream", "beat", "worker", "broker", "postgres"]
    assert not any(process.is_alive(pid) for pid in family)
    assert not settings.exists()


def test_a_second_run_in_the_same_checkout_names_the_first(run: Callable[..., Run]) -> None:
    """It changes nothing for the first."""
    first = run()
    first.wait_for("accepts clients")
    second = run()
    second.process.wait(WAIT_SECONDS_MAX)
    second.wait_for(f"already in use by process {first.process.pid}")
    assert second.process.returncode == 1
    assert first.end(signal.SIGTERM) == 0
    assert first.output.endswith("stopped\n")


def test_a_taken_port_is_told_before_anything_starts(run: Callable[..., Run]) -> None:
    """The sentence names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = run(port)
        assert refused.process.wait(WAIT_SECONDS_MAX) == 1
    refused.wait_for(f"Port {port} of 127.0.0.1 is in use by another program")
    assert "PORT=" in refused.output
    assert "postgres" not in refused.output


def test_a_failing_migration_shows_its_output_and_stops_everything(
    checkout: Path, run: Callable[..., Run]
) -> None:
    """The servers are not left running for a product that cannot start."""
    (checkout / "broken").touch()
    broken = run()
    assert broken.process.wait(WAIT_SECONDS_MAX) == 1
    broken.wait_for("the schema is broken")
    assert "flask db upgrade failed (ended with status 1)" in broken.output
    assert "postgres   stopping" in broken.output


def test_a_process_that_dies_before_it_serves_ends_the_start(
    checkout: Path, run: Callable[..., Run]
) -> None:
    """With the end of its log, since restarting would not help."""
    (checkout / "Procfile").write_text(PROCFILE.replace("worker worker", "nonsense worker"))
    broken = run()
    assert broken.process.wait(WAIT_SECONDS_MAX) == 1
    broken.wait_for("the start of worker failed")
    assert "nonsense" in broken.output.split("the start of worker failed")[1]


def test_servers_that_are_given_are_used_and_none_is_started(
    tmp_path: Path, checkout: Path, run: Callable[..., Run]
) -> None:
    """The role URLs given with them are passed on, no others are made up."""
    with EmbeddedPostgres(tmp_path / "p") as postgres, EmbeddedBroker(tmp_path / "b") as broker:
        given = {**postgres.urls(), "REDIS_URL": broker.url}
        del given["WORKER_DATABASE_URL"]
        first = run(**given)
        first.wait_for("Ctrl-C stops")
        settings = (checkout / ".data" / "env").read_text()
        assert first.end() == 0
        assert postgres.pid
        assert broker.pid
    assert "postgres" not in first.output
    assert f"REDIS_URL={broker.url}\n" in settings
    assert "MAINTENANCE_DATABASE_URL" in settings
    assert "WORKER_DATABASE_URL" not in settings


@pytest.mark.skipif(find_rabbitmq() is None, reason="RabbitMQ is not installed")
def test_a_given_rabbitmq_is_used_and_no_valkey_is_started(
    tmp_path: Path, checkout: Path, run: Callable[..., Run]
) -> None:
    """Its workers cannot be counted as those of Valkey can, so nobody waits for one."""
    with RabbitMQ(tmp_path / "rabbitmq") as broker:
        first = run(**broker.env)
        first.wait_for("Ctrl-C stops")
        settings = (checkout / ".data" / "env").read_text()
        assert first.end() == 0
        assert broker.pid
    assert "broker" not in first.output
    assert f"OPSLEDGER_BROKER_URL={broker.url}\n" in settings


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties children to their parent")
def test_nothing_outlives_a_run_that_is_killed(run: Callable[..., Run]) -> None:
    """And the next run starts on the same data."""
    first = run()
    first.wait_for("Ctrl-C stops")
    family = process.descendants(first.process.pid)
    first.process.kill()
    first.process.wait()
    assert process.wait_until(
        lambda: not any(process.is_alive(pid) for pid in family), WAIT_SECONDS_MAX
    )
    second = run()
    second.wait_for("Ctrl-C stops")
    assert "making a new database" not in second.output
    assert second.end() == 0


def test_a_signal_right_after_the_first_is_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """make passes on the Ctrl-C that the terminal has sent us already."""
    former = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    interrupts = Interrupts()
    interrupts.check()
    monkeypatch.setattr("app.dev.interrupts.HURRY_AFTER_SECONDS", 60.0)
    try:
        interrupts.listen()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.requested()
        assert not interrupts.hurried()
        monkeypatch.setattr("app.dev.interrupts.HURRY_AFTER_SECONDS", 0.0)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.hurried()
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)
    with pytest.raises(Stopped):
        interrupts.check()
