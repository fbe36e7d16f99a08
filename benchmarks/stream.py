"""500 readers of one stream process at 200 records/s: how late records are, and what it costs.

The API is asked all the while, with and without the readers, in turn.
"""

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import psutil
import requests

from app.dev.server import free_port
from tests.support.product import ROOT, Product

from .support import Bench, median, percentile, servers

KEY = "test-api-key-12345"
RATE, PER_REQUEST = 200, 10  # records a second, and in each request to ingest
SAMPLED = 25
SETTLE_S = 3.0
MIB = 1 << 20


def run(smoke: bool) -> dict[str, float]:
    """Delays and the API's p99 in milliseconds, the process's memory in MiB."""
    readers, seconds, rounds = (20, 2, 1) if smoke else (500, 15, 3)
    with servers() as bench, _product(bench) as product:
        _load(product, 1.0)
        without, beside, delays, memory = [], [], [], 0.0
        for _ in range(rounds):
            without.append(_asked(product, seconds))
            found = _beside_readers(product, readers, seconds)
            beside.append(found["api_p99"])
            delays += found["delays"]
            memory = max(memory, found["memory"])
    return {
        "stream.delay_p50_ms": percentile(sorted(delays), 0.5),
        "stream.delay_p99_ms": percentile(sorted(delays), 0.99),
        "stream.api_p99_ms_without": median(without),
        "stream.api_p99_ms_beside": median(beside),
        "stream.memory_mib": memory,
    }


def _product(bench: Bench) -> Product:
    env = {**bench.env, "OPSLEDGER_STREAM_PORT": str(free_port())}
    return Product(env, bench.folder, ("web", "worker", "stream"))


def _beside_readers(product: Product, number: int, seconds: float) -> dict[str, Any]:
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    address = f"http://127.0.0.1:{product.env['OPSLEDGER_STREAM_PORT']}"
    url = f"{address}/api/v1/logs/stream?provider_name=load&since={since}"
    argv = [sys.executable, "-m", "benchmarks.readers", url, KEY, str(number), str(SAMPLED)]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(SETTLE_S)
        api_p99 = _asked(product, seconds)
        time.sleep(SETTLE_S)
        memory = _memory_of(product)
        told, _ = process.communicate()
    found = json.loads(told)
    if len(set(found["records"])) != 1 or not found["records"][0]:
        raise RuntimeError(f"readers got {sorted(set(found['records']))} records")
    return {"delays": found["delays"], "api_p99": api_p99, "memory": memory}


def _asked(product: Product, seconds: float) -> float:
    """The 99th percentile of a list's time, in milliseconds, under the load."""
    loader = threading.Thread(target=_load, args=(product, seconds))
    loader.start()
    times, end = [], time.monotonic() + seconds
    session = requests.Session()
    session.headers["X-API-Key"] = KEY
    while time.monotonic() < end:
        started = time.perf_counter()
        session.get(f"{_web(product)}/api/v1/logs/actions?limit=50", timeout=30).raise_for_status()
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(0.02)
    loader.join()
    return percentile(times, 0.99)


def _load(product: Product, seconds: float) -> None:
    """Records at a steady rate, over HTTP."""
    record = {"action_type": "crm_get", "provider_name": "load", "status": "success"}
    body = [{**record, "execution_time_ms": 5}] * PER_REQUEST
    session = requests.Session()
    session.headers["X-API-Key"] = KEY
    started, pause = time.monotonic(), PER_REQUEST / RATE
    for tick in range(round(seconds / pause)):
        url = f"{_web(product)}/api/v1/ingest/actions"
        session.post(url, json=body, timeout=30).raise_for_status()
        time.sleep(max(0.0, started + (tick + 1) * pause - time.monotonic()))


def _web(product: Product) -> str:
    return f"http://127.0.0.1:{product.port}"


def _memory_of(product: Product) -> float:
    """Of the stream's workers together: what is theirs alone."""
    process = product.programs["stream"].process
    assert process is not None
    workers = psutil.Process(process.pid).children(recursive=True)
    return sum(one.memory_full_info().uss for one in workers) / MIB
