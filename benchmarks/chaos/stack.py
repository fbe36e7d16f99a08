"""The stack under test: servers behind links, and the Procfile's programs, kept alive.

All of it is made, tended and stopped by the main thread, since a child dies with the thread that
started it.
"""

import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from app.dev import process
from app.dev.procfile import read_procfile
from app.dev.program import Program
from app.dev.server import free_port
from app.dev.settings import DATABASE_SETTINGS, children_environment
from app.dev.supervisor import describe
from benchmarks.support import ROOT, Bench

from .link import Link

WEBS = ("web1", "web2")
WORKERS = ("worker1", "worker2")
PROGRAMS = {"web1": "web", "web2": "web", "worker1": "worker", "worker2": "worker", "beat": "beat"}
START_SECONDS_MAX = 60.0
RESTART_PAUSE_S = 0.5  # of the supervisor, before it starts again what died
TEND_S = 0.05
GRACE_S = 15.0
# No proxy meant for the world outside may come between.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stack:
    """Two web programs that share one spool, two workers, beat; a link to each server."""

    def __init__(self, bench: Bench) -> None:
        self.broker, self.postgres = bench.broker, bench.postgres
        self.broker_link = Link(lambda: bench.broker.port)
        self.database_link = Link(lambda: bench.postgres.port)
        self.spool = Path(bench.env["OPSLEDGER_DATA_DIR"]) / "spool"
        self.ports = {name: free_port() for name in WEBS}
        commands = read_procfile(ROOT / "Procfile", set(PROGRAMS.values()))
        env = self._through_links(bench.env)
        self.programs = {
            name: Program(
                name,
                commands[kind],
                env={**env, "PORT": str(self.ports.get(name, 0))},
                cwd=ROOT,
                log_path=bench.folder / f"{name}.log",
                grace_seconds=GRACE_S,
            )
            for name, kind in PROGRAMS.items()
        }
        self.unasked_exits: Counter[str] = Counter()
        self._asked: set[int] = set()
        self._restart_at: dict[str, float] = {}

    def start(self) -> None:
        """Start all and wait until they serve.

        Raises:
            TimeoutError: they do not within START_SECONDS_MAX.
        """
        self.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.broker_link.start()
        self.database_link.start()
        for program in self.programs.values():
            program.start()
        if not self.wait_for_web() or not process.wait_until(self._consumed, START_SECONDS_MAX):
            raise TimeoutError(f"the stack does not serve; its logs: {self._logs()}")

    def wait_for_web(self) -> bool:
        """Tend until every web program answers; whether they do in time."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while not all(map(self._answers, self.ports.values())):
            if time.monotonic() >= deadline:
                return False
            self.tend_for(0.1)
        return True

    def tend_for(self, seconds: float) -> None:
        """Let time pass as a supervisor does: what died starts again."""
        deadline = time.monotonic() + seconds
        while True:
            self._tend()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(TEND_S, left))

    def pid(self, name: str) -> int:
        """The first process of a program, started if it just died."""
        while self.programs[name].poll() is not None:
            self.tend_for(TEND_S)
        running = self.programs[name].process
        assert running is not None
        return running.pid

    def end(self, name: str, signum: signal.Signals) -> None:
        """Signal a program's first process so that it ends."""
        pid = self.pid(name)
        self._asked.add(pid)
        process.send(pid, signum)

    def web_workers(self, name: str) -> list[int]:
        """The gunicorn workers below a web program, in order."""
        return sorted(process.descendants(self.pid(name)))

    def spool_bytes(self) -> int:
        """What lies in the spool and is not confirmed."""
        sizes = []
        for path in self.spool.glob("*.seg"):
            try:
                sizes.append(path.stat().st_size)
            except FileNotFoundError:
                continue
        return sum(sizes)

    def stop(self) -> None:
        """Stop every program and both links."""
        for program in self.programs.values():
            if program.process:
                process.send(program.process.pid, signal.SIGTERM)
        for program in self.programs.values():
            program.stop()
        self.broker_link.stop()
        self.database_link.stop()

    def _tend(self) -> None:
        now = time.monotonic()
        for name, program in self.programs.items():
            if program.poll() is None:
                continue
            if name not in self._restart_at:
                ended = program.process
                if ended is not None and ended.pid not in self._asked:
                    self.unasked_exits[f"{name}: {describe(program.poll() or 0)}"] += 1
            if now >= self._restart_at.setdefault(name, now + RESTART_PAUSE_S):
                del self._restart_at[name]
                program.start()

    def _through_links(self, env: dict[str, str]) -> dict[str, str]:
        ways = {
            f":{self.postgres.port}/": f":{self.database_link.port}/",
            f":{self.broker.port}/": f":{self.broker_link.port}/",
        }
        changed = {}
        for name in {*DATABASE_SETTINGS, *self.broker.env} & env.keys():
            changed[name] = env[name]
            for old, new in ways.items():
                changed[name] = changed[name].replace(old, new)
        return children_environment(changed, env)

    def _consumed(self) -> bool:
        self._tend()
        return self.broker.consumers() >= len(WORKERS)

    def _logs(self) -> str:
        return ", ".join(str(program.log_path) for program in self.programs.values())

    @staticmethod
    def _answers(port: int) -> bool:
        try:
            with OPENER.open(f"http://127.0.0.1:{port}/health/live", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
