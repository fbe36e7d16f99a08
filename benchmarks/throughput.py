"""What logging costs an application's visitors: requests per second without it and with it.

The application is an adapter on Flask, marshmallow, SQLAlchemy and requests: its view looks the
caller's key up, judges the request by a schema, reads the tenant's connection from its own table,
asks the provider over HTTP, and tells its answer by another schema. The bare ways have a view of
plain JSON work instead, a third of that, so that logging weighs more.

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


def run(smoke: bool) -> dict[str, float]:
    """Throughput ratios to no logging, and latencies, medians over rounds in turn."""
    rounds, seconds = (1, 1.0) if smoke else (5, 6.0)
    ways = [way for way, module in MODULES.items() if module != "django" or _has_auditlog()]
    measured: dict[str, list[_Round]] = {way: [] for way in ways}
    with (
        servers() as bench,
        Product(bench.env, bench.folder, ("web", "worker")) as product,
        provider() as url,
    ):
        env = {**bench.env, "BENCH_TENANT": _tenant(bench), "PROVIDER_URL": url}
        prepare(bench.env["OWNER_DATABASE_URL"])
        naive = _naive_worker(bench, env)
        try:
            for _ in range(rounds):
                for way in ways:
                    measured[way].append(_measure(bench, env, way, seconds))
            persisting = product.programs["worker"].process
            assert persisting is not None
            workers = {"ours": _resident_mib(persisting.pid), "task": _resident_mib(naive.pid)}
        finally:
            process.kill(naive)
    figures = {f"memory.{way}.worker_mib": mib for way, mib in workers.items()}
    for way, found in measured.items():
        figures |= _summed_up(way, found, measured.get(BASES.get(way, "")))
    figures["capture.throughput_ratio"] = figures["throughput.ours.ratio"]
    return figures


@dataclass(frozen=True, slots=True)
class _Round:
    """One way, measured once: requests per second, milliseconds of each, memory at the end."""

    rate: float
    times: list[float]
    web_mib: float


def _summed_up(way: str, rounds: list[_Round], base: list[_Round] | None) -> dict[str, float]:
    times = [time for found in rounds for time in found.times]
    figures = {
        f"throughput.{way}.requests_per_s": median([found.rate for found in rounds]),
        f"throughput.{way}.p50_ms": percentile(times, 0.5),
        f"throughput.{way}.p99_ms": percentile(times, 0.99),
        f"memory.{way}.web_mib": median([found.web_mib for found in rounds]),
    }
    if base is not None:
        ratios = [mine.rate / none.rate for mine, none in zip(rounds, base, strict=True)]
        figures[f"throughput.{way}.ratio"] = median(ratios)
    return figures


def _has_auditlog() -> bool:
    if find_spec("auditlog") is not None:
        return True
    print("django-auditlog is not installed here (make bench installs it), so it is left out")
    return False


def _resident_mib(pid: int) -> float:
    """Of the largest process of a program: a master has its workers beside it."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return max(float(one.memory_info().rss) for one in tree) / 2**20


def _measure(bench: Bench, env: dict[str, str], way: str, seconds: float) -> _Round:
    port = free_port()
    site = process.spawn(
        [
            *(sys.executable, "-m", "gunicorn", f"benchmarks.sites.{MODULES[way]}:create()"),
            *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"),
            *("--threads", "4", "--no-control-socket", "--log-level", "warning"),
        ],
        log_path=bench.folder / f"site-{way}.log",
        env={**env, "SITE": way, **({"PROVIDER_URL": ""} if way in BARE else {})},
        cwd=ROOT,
    )
    try:
        if not process.wait_until(lambda: _answers(port), 30):
            raise RuntimeError((bench.folder / f"site-{way}.log").read_text())
        results: Queue[tuple[float, list[float]]] = multiprocessing.Queue()
        load = multiprocessing.Process(target=_load, args=(port, seconds, results))
        load.start()
        rate, times = results.get()
        load.join()
        return _Round(rate, times, _resident_mib(site.pid))
    finally:
        process.kill(site)


def _answers(port: int) -> bool:
    try:
        _post(http.client.HTTPConnection("127.0.0.1", port, timeout=5), json.dumps(payload()))
    except OSError:
        return False
    return True


def _load(port: int, seconds: float, results: "Queue[tuple[float, list[float]]]") -> None:
    times: list[float] = []
    body = json.dumps(payload(1000))
    until = time.perf_counter() + seconds

    def visit() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.perf_counter() < until:
            started = time.perf_counter()
            _post(connection, body)
            times.append((time.perf_counter() - started) * 1000)

    visitors = [threading.Thread(target=visit) for _ in range(CLIENTS)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    results.put((len(times) / seconds, times))


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
