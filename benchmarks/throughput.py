"""What logging costs an application's visitors: requests per second without it and with it.

The application is an adapter on Flask, marshmallow, SQLAlchemy and requests: its view looks the
caller's key up, judges the request by a schema, reads the tenant's connection from its own table,
asks the provider over HTTP, and tells its answer by another schema. The bare ways have a view of
plain JSON work instead, a third of that, so that logging weighs more.

Each way stands beside the one without logging, and both are loaded in turns of less than a second:
what the machine does besides, and how fast it is at the moment, falls on both.

One gunicorn worker with four threads, four clients in a process of their own, the provider, and the
Celery worker that persists what is logged: all on the same machine, so that nobody's share is
hidden.
"""

import http.client
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import Queue

import psutil
from sqlalchemy import text

from app.dev import process
from app.dev.server import free_port
from app.store.session import Database
from tests.support.product import Product

from .provider import provider
from .sites.work import KEY, prepare
from .support import ROOT, Bench, median, payload, percentile, servers

# Each way, the module that serves it, and the way without logging that it is compared with.
MODULES = {
    "none": "none",
    "ours": "ours",
    "task": "task",
    "orm": "orm",
    "django": "django",
    "auditlog": "django",
    "bare_none": "none",
    "bare_ours": "ours",
}
BASES = {
    **dict.fromkeys(("ours", "task", "orm"), "none"),
    "auditlog": "django",
    "bare_ours": "bare_none",
}
BARE = ("bare_none", "bare_ours")
CLIENTS = 4
SETTLE_S = 0.25  # after each turn, so that what it left to persist falls on nobody else


def run(smoke: bool) -> dict[str, float]:
    """Throughput ratios to no logging, and latencies, of turns taken side by side."""
    turns, seconds = (2, 0.3) if smoke else (24, 0.75)
    bases = {way: base for way, base in BASES.items() if base != "django" or _has_auditlog()}
    figures: dict[str, float] = {}
    with (
        servers() as bench,
        Product(bench.env, bench.folder, ("web", "worker")) as product,
        provider() as url,
    ):
        env = {**bench.env, "BENCH_TENANT": _tenant(bench), "PROVIDER_URL": url}
        prepare(bench.env["OWNER_DATABASE_URL"])
        naive = _naive_worker(bench, env)
        try:
            for way, base in bases.items():
                with _site(bench, env, base) as without, _site(bench, env, way) as with_it:
                    sides = {base: without.port, way: with_it.port}
                    measured = _in_turns(sides, turns, seconds)
                    resident = {base: without.resident_mib(), way: with_it.resident_mib()}
                for side in (base, way):
                    if f"throughput.{side}.p50_ms" not in figures:
                        figures |= _summed_up(side, measured[side], resident[side])
                pairs = zip(measured[way], measured[base], strict=True)
                figures[f"throughput.{way}.ratio"] = median(
                    [mine.rate / its.rate for mine, its in pairs]
                )
            persisting = product.programs["worker"].process
            assert persisting is not None
            workers = {"ours": _resident_mib(persisting.pid), "task": _resident_mib(naive.pid)}
        finally:
            process.kill(naive)
    figures |= {f"memory.{way}.worker_mib": mib for way, mib in workers.items()}
    figures["capture.throughput_ratio"] = figures["throughput.ours.ratio"]
    return figures


@dataclass(frozen=True, slots=True)
class _Turn:
    """One way, for a moment: requests per second, and the milliseconds of each."""

    rate: float
    times: list[float]


@dataclass(frozen=True, slots=True)
class _Site:
    """One way, served."""

    port: int
    pid: int

    def resident_mib(self) -> float:
        """What it needs of memory."""
        return _resident_mib(self.pid)


def _summed_up(way: str, turns: list[_Turn], web_mib: float) -> dict[str, float]:
    times = [time for turn in turns for time in turn.times]
    return {
        f"throughput.{way}.requests_per_s": median([turn.rate for turn in turns]),
        f"throughput.{way}.p50_ms": percentile(times, 0.5),
        f"throughput.{way}.p99_ms": percentile(times, 0.99),
        f"memory.{way}.web_mib": web_mib,
    }


def _has_auditlog() -> bool:
    if find_spec("auditlog") is not None:
        return True
    print("django-auditlog is not installed here (make bench installs it), so it is left out")
    return False


def _resident_mib(pid: int) -> float:
    """Of the largest process of a program: a master has its workers beside it."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return max(float(one.memory_info().rss) for one in tree) / 2**20


@contextmanager
def _site(bench: Bench, env: dict[str, str], way: str) -> Iterator[_Site]:
    port = free_port()
    site = process.spawn(
        [
            *(sys.executable, "-m", "gunicorn", f"benchmarks.sites.{MODULES[way]}:create()"),
            *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"),
            *("--threads", "4", "--no-control-socket", "--log-level", "warning"),
            *("--keep-alive", "60"),
        ],
        log_path=bench.folder / f"site-{way}.log",
        env={**env, "SITE": way, **({"PROVIDER_URL": ""} if way in BARE else {})},
        cwd=ROOT,
    )
    try:
        if not process.wait_until(lambda: _answers(port), 30):
            raise RuntimeError((bench.folder / f"site-{way}.log").read_text())
        yield _Site(port, site.pid)
    finally:
        process.kill(site)


def _in_turns(sides: dict[str, int], turns: int, seconds: float) -> dict[str, list[_Turn]]:
    """Load each of two sides for a moment, again and again, now the one and now the other first:
    what else the machine does meanwhile falls on both.
    """
    results: Queue[dict[str, list[_Turn]]] = multiprocessing.Queue()
    load = multiprocessing.Process(target=_load, args=(sides, turns, seconds, results))
    load.start()
    measured = results.get(timeout=60 + 4 * turns * (seconds + SETTLE_S))
    load.join()
    return measured


def _answers(port: int) -> bool:
    try:
        _post(http.client.HTTPConnection("127.0.0.1", port, timeout=5), json.dumps(payload()))
    except OSError:
        return False
    return True


def _load(
    sides: dict[str, int],
    turns: int,
    seconds: float,
    results: "Queue[dict[str, list[_Turn]]]",
) -> None:
    measured: dict[str, list[_Turn]] = {way: [] for way in sides}
    visitors = {
        way: [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(CLIENTS)]
        for way, port in sides.items()
    }
    for turn in range(-1, turns):  # the first warms up
        for way in sides if turn % 2 else reversed(sides):
            taken = _turn(visitors[way], seconds)
            if turn >= 0:
                measured[way].append(taken)
            time.sleep(SETTLE_S)
    results.put(measured)


def _turn(visitors: list[http.client.HTTPConnection], seconds: float) -> _Turn:
    times: list[float] = []
    body = json.dumps(payload(1000))
    started = time.perf_counter()

    def visit(connection: http.client.HTTPConnection) -> None:
        while (asked := time.perf_counter()) < started + seconds:
            _post(connection, body)
            times.append((time.perf_counter() - asked) * 1000)

    threads = [threading.Thread(target=visit, args=(one,)) for one in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _Turn(len(times) / (time.perf_counter() - started), times)


def _post(connection: http.client.HTTPConnection, body: str) -> None:
    connection.request("POST", "/", body, {"Content-Type": "application/json", "X-API-Key": KEY})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"answered {answer.status}")


def _naive_worker(bench: Bench, env: dict[str, str]) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "celery", "--quiet", "-A", "benchmarks.task_per_record", "worker"]
    argv += ["--pool", "threads", "--concurrency", "2", "--loglevel", "WARNING", "-Q", "celery"]
    return process.spawn(
        argv, log_path=bench.folder / "naive.log", env={**os.environ, **env}, cwd=ROOT
    )


def _tenant(bench: Bench) -> str:
    database = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
    with database.unrestricted_unsafe() as session:
        return str(session.execute(text("SELECT id FROM tenants WHERE slug = 'demo'")).scalar_one())
