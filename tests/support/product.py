"""The product as processes: web, worker and beat of the Procfile, on servers of one's own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from app.dev.process import wait_until
from app.dev.procfile import read_procfile
from app.dev.program import Program
from app.dev.server import free_port
from app.dev.settings import children_environment
from tests.support.keys import CREDENTIAL_KEY

ROOT = Path(__file__).parents[2]
APPLICATION = "wsgi:application"  # as the Procfile names it
START_S = 40.0
ARRIVE_S = 40.0
CONTACT = {"email": "test@example.com", "first_name": "Test", "last_name": "User"}


def environment_of(
    database_urls: Mapping[str, str], broker: Mapping[str, str], folder: Path
) -> dict[str, str]:
    """The settings of a product on these servers."""
    return {
        **os.environ,
        **database_urls,
        **broker,
        "OPSLEDGER_DATA_DIR": str(folder / "data"),
        "OPSLEDGER_DEMO": "1",
        "OPSLEDGER_CREDENTIAL_KEYS": CREDENTIAL_KEY,
        "OPSLEDGER_CONFIRM_TIMEOUT_S": "2",  # so that a test need not wait the usual 15 s
    }


def migrated_environment(
    database_urls: Mapping[str, str], broker: Mapping[str, str], folder: Path
) -> dict[str, str]:
    """The same on an empty database: migrated by the real commands, with the demo tenant."""
    env = environment_of(database_urls, broker, folder)
    for command in (["db", "upgrade"], ["demo"]):
        argv = [sys.executable, "-m", "flask", "--app", "wsgi", *command]
        subprocess.run(argv, cwd=ROOT, env=env, check=True, capture_output=True)
    return env


class Product:
    """Programs of the Procfile that run until the with-block ends.

    Args:
        env: the environment, which names servers that are migrated and have the demo tenant.
        folder: where the logs go.
        names: which programs.
        application: what web serves.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        folder: Path,
        names: tuple[str, ...],
        *,
        application: str = APPLICATION,
    ) -> None:
        self._application = application
        self.port = free_port()
        settings = {**env, "PORT": str(self.port), "OPSLEDGER_HOST": "127.0.0.1"}
        self.env = children_environment(settings, env)  # its PATH leads to our own gunicorn
        self._folder = folder
        self.programs = {name: self._program(name, name) for name in names}
        self.session = requests.Session()
        self.session.headers["X-API-Key"] = "test-api-key-12345"

    def __enter__(self) -> Self:
        for program in self.programs.values():
            program.start()
        if not wait_until(self.answers, START_S):
            self._stop()
            raise RuntimeError(self.programs["web"].log_path.read_text())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def start_another(self, name: str) -> Program:
        """A second program of the kind, which the caller stops."""
        program = self._program(name, f"{name}2")
        program.start()
        return program

    def answers(self) -> bool:
        """Whether web serves."""
        try:
            return self.get("/health/live").ok
        except requests.ConnectionError:
            return False

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET a path with the demo key."""
        return self.session.get(f"http://127.0.0.1:{self.port}{path}", timeout=30, **options)

    def call_crm(self) -> float:
        """Make a contact, which makes a record; returns the milliseconds it took."""
        started = time.perf_counter()
        url = f"http://127.0.0.1:{self.port}/api/v1/crm/contacts"
        answer = self.session.post(url, json=CONTACT, timeout=30)
        assert answer.status_code == 201, answer.text
        return (time.perf_counter() - started) * 1000

    def recorded(self) -> list[str]:
        """The contact of every crm_create on record, through the API, page by page."""
        found: list[str] = []
        path: str | None = "/api/v1/logs/actions?action_type=crm_create&limit=1000"
        while path:
            answer = self.get(path)
            found += [record["id"] for record in answer.json()]
            following = answer.links.get("next", {}).get("url", "")
            path = following.partition(str(self.port))[2] or None
        return found

    def all_arrive(self, expected: int, seconds: float = ARRIVE_S) -> bool:
        """Wait until the API shows as many records as calls; they must not become more."""
        arrived = self.wait_for(lambda: len(self.recorded()) >= expected, seconds)
        found = self.recorded()
        return arrived and len(set(found)) == len(found) == expected

    def wait_for(self, happened: Callable[[], bool], seconds: float = ARRIVE_S) -> bool:
        """Wait until something happened; says whether it did in time."""
        return wait_until(happened, seconds)

    def _program(self, kind: str, name: str) -> Program:
        command = read_procfile(ROOT / "Procfile", (kind,))[kind]
        command = command.replace(APPLICATION, self._application)
        log_path = self._folder / f"{name}.log"
        return Program(name, command, env=self.env, cwd=ROOT, log_path=log_path)

    def _stop(self) -> None:
        self.session.close()
        for program in self.programs.values():
            program.stop()
