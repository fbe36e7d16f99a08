"""What logging costs an application's visitors: requests per second without it and with it.

One gunicorn worker with four threads, four clients in a process of their own, and the Celery worker
that persists what is logged: all on the same machine, so that nobody's share is hidden.
"""

import http.client
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from multiprocessing import Queue

from sqlalchemy import text

from app.dev import process
from app.dev.server import free_port
from app.store.session import Database
from tests.support.product import Product

from .support import ROOT, Bench, median, payload, percentile, servers

WAYS = ("none", "ours", "task", "orm")
CLIENTS = 4


def run(smoke: bool) -> dict[str, float]:
    """Throughput ratios to no logging, and latencies, medians over rounds in turn."""
    rounds, seconds = (1, 1.0) if smoke else (5, 6.0)
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    latencies: dict[str, list[float]] = {way: [] for way in WAYS}
    with servers() as bench, Product(bench.env, bench.folder, ("web", "worker")):
        env = {**bench.env, "BENCH_TENANT": _tenant(bench)}
        naive = _naive_worker(bench, env)
        try:
            for _ in range(rounds):
                for way in WAYS:
                    rate, times = _measure(bench, env, way, seconds)
                    rates[way].append(rate)
                    latencies[way] += times
        finally:
            process.kill(naive)
    figures = {f"throughput.{way}.requests_per_s": median(rates[way]) for way in WAYS}
    for way in WAYS:
        figures[f"throughput.{way}.p50_ms"] = percentile(latencies[way], 0.5)
        figures[f"throughput.{way}.p99_ms"] = percentile(latencies[way], 0.99)
    base = rates["none"]
    for way in WAYS[1:]:
        ratios = [mine / none for mine, none in zip(rates[way], base, strict=True)]
        figures[f"throughput.{way}.ratio"] = median(ratios)
    figures["capture.throughput_ratio"] = figures["throughput.ours.ratio"]
    return figures


def _measure(
    bench: Bench, env: dict[str, str], way: str, seconds: float
) -> tuple[float, list[float]]:
    port = free_port()
    site = process.spawn(
        [
            *(sys.executable, "-m", "gunicorn", "benchmarks.sites:create()"),
            *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"),
            *("--threads", "4", "--no-control-socket", "--log-level", "warning"),
        ],
        log_path=bench.folder / f"site-{way}.log",
        env={**env, "SITE": way},
        cwd=ROOT,
    )
    try:
        if not process.wait_until(lambda: _answers(port), 30):
            raise RuntimeError((bench.folder / f"site-{way}.log").read_text())
        results: Queue[tuple[float, list[float]]] = multiprocessing.Queue()
        load = multiprocessing.Process(target=_load, args=(port, seconds, results))
        load.start()
        figures = results.get()
        load.join()
    finally:
        process.kill(site)
    return figures


def _answers(port: int) -> bool:
    try:
        _post(http.client.HTTPConnection("127.0.0.1", port, timeout=5), json.dumps({}))
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
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
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
