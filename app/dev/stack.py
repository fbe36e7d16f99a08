"""`make run`, step by step: servers, schema, demo tenant, processes, ready. Invariant: however far
it got, and however it ends, down() leaves no process.
"""

import base64
import hashlib
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import files, process
from .broker import EmbeddedBroker, count_consumers
from .errors import PortTaken, StepFailed
from .interrupts import Interrupts
from .locks import DirectoryLock
from .postgres import EmbeddedPostgres
from .procfile import read_procfile
from .program import Program
from .screen import Screen
from .server import EmbeddedServer, free_port, is_port_free
from .settings import RunSettings, as_shell, children_environment
from .supervisor import Supervisor, describe

PROGRAMS = ("web", "worker", "beat", "stream")
STOP_ORDER = ("web", "stream", "beat", "worker", "broker", "postgres")
GRACE_SECONDS = {"web": 10.0, "stream": 5.0, "beat": 5.0, "worker": 15.0}
CREDENTIAL_KEYS = "OPSLEDGER_CREDENTIAL_KEYS"
PLATFORM_KEYS = (
    CREDENTIAL_KEYS,
    "OPSLEDGER_EXTERNAL_ID_KEY",
    "OPSLEDGER_REDACTION_KEY",
    "OPSLEDGER_SESSION_KEY",
)
SETUP_SECONDS_MAX = 600.0
SETUP_GRACE_SECONDS = 5.0
READY_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
TEND_SECONDS = 0.1
ANSWER_SECONDS_MAX = 5.0


class Stack:
    """Everything the product needs, running on this machine."""

    def __init__(self, settings: RunSettings, screen: Screen, interrupts: Interrupts) -> None:
        self._settings = settings
        self._screen = screen
        self._interrupts = interrupts
        self._supervisor = Supervisor(screen)
        self._lock = DirectoryLock(settings.data_dir)
        self._logs = settings.data_dir / "logs"
        self._env_path = settings.data_dir / "env"

    def up(self) -> None:
        """Start everything; return when it serves.

        Raises:
            DevError: something cannot start; its text says what to do.
            Stopped: somebody lost patience.
        """
        commands = self._claim()
        database_urls, redis_url = self._start_servers()
        settings = {
            **self._settings.children_settings(database_urls, redis_url, os.environ),
            **self._platform_keys(),
        }
        files.write_private(self._env_path, as_shell(settings))
        env = children_environment(settings, os.environ)
        self._set_up("schema", ["db", "upgrade"], "migrated", env)
        self._set_up("demo", ["demo"], "tenant and key are there", env)
        broker_url = self._settings.broker_url or redis_url
        others = count_consumers(broker_url)
        for name, command in commands.items():
            self._start_program(name, command, env)
        self._await("web", self._answers, f"answers on http://localhost:{self._settings.port}")
        if others is not None:
            self._await(
                "worker", lambda: (count_consumers(broker_url) or 0) > others, "takes tasks"
            )

    def tend_until_stopped(self) -> None:
        """Keep everything running until someone asks us to stop."""
        while not self._interrupts.requested():
            self._supervisor.tend()
            time.sleep(TEND_SECONDS)

    def down(self) -> None:
        """Stop everything in order."""
        self._supervisor.stop(STOP_ORDER, self._interrupts.hurried)
        if self._lock.held:
            self._env_path.unlink(missing_ok=True)
            self._lock.release()

    def _claim(self) -> dict[str, str]:
        """Check, before anything starts, what would fail later; return the commands to run."""
        files.make_directory(self._settings.data_dir)
        self._lock.acquire()
        files.make_directory(self._logs)
        if not is_port_free(self._settings.port):
            raise PortTaken(port=self._settings.port, other=free_port(prefer=8001))
        return read_procfile(self._settings.root / "Procfile", PROGRAMS)

    def _start_servers(self) -> tuple[Mapping[str, str], str]:
        """Start the servers that were not given; return all URLs."""
        database_urls, redis_url = self._settings.database_urls, self._settings.redis_url
        if not database_urls:
            data_dir = self._settings.data_dir / "postgres"
            postgres = EmbeddedPostgres(data_dir, log_path=self._logs / "postgres.log")
            self._start_server(postgres, "a new database" if not data_dir.exists() else "")
            database_urls = postgres.urls()
        if not redis_url and not self._settings.broker_url:
            data_dir = self._settings.data_dir / "broker"
            broker = EmbeddedBroker(data_dir, log_path=self._logs / "broker.log")
            self._start_server(broker)
            redis_url = broker.url
        return database_urls, redis_url

    def _start_server(self, server: EmbeddedServer, remark: str = "") -> None:
        if remark:
            self._screen.step(server.name, f"making {remark}")
        self._supervisor.start(server)
        self._screen.step(server.name, f"accepts clients on 127.0.0.1:{server.port}")
        self._interrupts.check()

    def _platform_keys(self) -> dict[str, str]:
        """The platform's secrets: those given, and for the others our own, which are kept."""
        given = {name: os.environ[name] for name in PLATFORM_KEYS if os.environ.get(name)}
        own = [name for name in PLATFORM_KEYS if name not in given]
        kept = files.keep_passwords(self._settings.data_dir / "secrets.json", own) if own else {}
        if CREDENTIAL_KEYS in kept:  # such a key has a form of its own: 32 bytes as URL-safe base64
            digest = hashlib.sha256(kept[CREDENTIAL_KEYS].encode()).digest()
            kept[CREDENTIAL_KEYS] = base64.urlsafe_b64encode(digest).decode()
        return {**kept, **given}

    def _set_up(
        self, name: str, arguments: Sequence[str], done: str, env: Mapping[str, str]
    ) -> None:
        """Run a command of the product to its end; its output is shown only if it fails."""
        log_path = self._logs / f"{name}.log"
        start = files.size_of(log_path)
        command = process.spawn(
            [sys.executable, "-m", "flask", "--app", "wsgi", *arguments],
            log_path=log_path,
            env=env,
            cwd=self._settings.root,
        )
        process.wait_until(
            lambda: command.poll() is not None or self._interrupts.requested(), SETUP_SECONDS_MAX
        )
        status = command.poll()
        process.stop(command, [(signal.SIGTERM, SETUP_GRACE_SECONDS)])
        self._interrupts.check()
        if status != 0:
            reason = describe(status) if status else f"no end after {SETUP_SECONDS_MAX:.0f} s"
            raise StepFailed(
                step="flask " + " ".join(arguments),
                reason=reason,
                log=log_path,
                tail=files.tail(log_path, start=start),
            )
        self._screen.step(name, done)

    def _start_program(self, name: str, command: str, env: Mapping[str, str]) -> None:
        program = Program(
            name,
            command,
            env=env,
            cwd=self._settings.root,
            log_path=self._logs / f"{name}.log",
            grace_seconds=GRACE_SECONDS[name],
        )
        self._supervisor.start(program)

    def _await(self, name: str, happened: Callable[[], bool], text: str) -> None:
        """Wait until a process serves; the first one to die before that ends the start."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not happened():
            self._interrupts.check()
            for service in self._supervisor.dead():
                self._fail(service.name, service.log_path, describe(service.poll() or 0))
            if time.monotonic() >= deadline:
                reason = f"not ready after {READY_SECONDS_MAX:.0f} s"
                self._fail(name, self._logs / f"{name}.log", reason)
            time.sleep(POLL_SECONDS)
        self._screen.step(name, text)

    def _fail(self, name: str, log_path: Path, reason: str) -> None:
        raise StepFailed(
            step=f"the start of {name}", reason=reason, log=log_path, tail=files.tail(log_path)
        )

    def _answers(self) -> bool:
        url = f"http://127.0.0.1:{self._settings.port}/health/ready"
        try:
            with OPENER.open(url, timeout=ANSWER_SECONDS_MAX) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


# A proxy meant for the world outside must not be asked for our own port.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
