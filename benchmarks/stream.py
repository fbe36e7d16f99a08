"""500 readers of one stream process, half of them by WebSocket, at 200 records/s: how late records
are, and what it costs.

The API is asked all the while, with and without the readers, in turn, and takes in the records.
"""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
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
    """Delays and the API's p99 in milliseconds, the process's memory in MiB and processor time in
    seconds per second, the records a second that were sent; all beside the readers.
    """
    readers, seconds, rounds = (20, 2, 1) if smoke else (500, 12, 3)
    with servers() as bench, _product(bench) as product:
        _load(product, 1.0)
        without, beside = [], []
        for _ in range(rounds):
            without.append(_asked(product, seconds)[0])
            beside.append(_beside_readers(product, readers, seconds))
    delays = sorted(delay for found in beside for delay in found["delays"])
    api_p99 = [found["api_p99"] for found in beside]
    return {
        "stream.readers": readers,
        "stream.records_per_s": median([found["rate"] for found in beside]),
        "stream.delay_p50_ms": percentile(delays, 0.5),
        "stream.delay_p99_ms": percentile(delays, 0.99),
        "stream.api_p99_ms_without": median(without),
        "stream.api_p99_ms_beside": median(api_p99),
        "stream.api_p99_ratio": median([b / w for b, w in zip(api_p99, without, strict=True)]),
        "stream.processor": median([found["processor"] for found in beside]),
        "stream.memory_mib": max(found["memory"] for found in beside),
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
        used = _processor_time_of(product)
        api_p99, rate = _asked(product, seconds)
        used = _processor_time_of(product) - used
        time.sleep(SETTLE_S)
        memory = _memory_of(product)
        told, _ = process.communicate()
    found = json.loads(told)
    if len(set(found["records"])) != 1 or not found["records"][0]:
        raise RuntimeError(f"readers got {sorted(set(found['records']))} records")
    told_of = {"rate": rate, "processor": used / seconds, "memory": memory}
    return {"delays": found["delays"], "api_p99": api_p99, **told_of}


def _asked(product: Product, seconds: float) -> tuple[float, float]:
    """The 99th percentile of a list's time, in milliseconds, and the records a second sent."""
    times, end = [], time.monotonic() + seconds
    session = requests.Session()
    session.headers["X-API-Key"] = KEY
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(_load, product, seconds)
        while time.monotonic() < end:
            started = time.perf_counter()
            path = f"{_web(product)}/api/v1/logs/actions?limit=50"
            session.get(path, timeout=30).raise_for_status()
            times.append((time.perf_counter() - started) * 1000)
            time.sleep(0.02)
    return percentile(times, 0.99), load.result()


def _load(product: Product, seconds: float) -> float:
    """Records at a steady rate, over HTTP; how many a second it came to."""
    record = {"action_type": "crm_get", "provider_name": "load", "status": "success"}
    body = [{**record, "execution_time_ms": 5}] * PER_REQUEST
    session = requests.Session()
    session.headers["X-API-Key"] = KEY
    started, pause = time.monotonic(), PER_REQUEST / RATE
    ticks = round(seconds / pause)
    for tick in range(ticks):
        url = f"{_web(product)}/api/v1/ingest/actions"
        session.post(url, json=body, timeout=30).raise_for_status()
        time.sleep(max(0.0, started + (tick + 1) * pause - time.monotonic()))
    return ticks * PER_REQUEST / (time.monotonic() - started)


def _web(product: Product) -> str:
    return f"http://127.0.0.1:{product.port}"


def _memory_of(product: Product) -> float:
    """Of the stream's workers together: what is theirs alone."""
    return sum(one.memory_full_info().uss for one in _workers_of(product)) / MIB


def _processor_time_of(product: Product) -> float:
    """Of the stream's workers together, in seconds since they began."""
    return sum(sum(one.cpu_times()[:2]) for one in _workers_of(product))


def _workers_of(product: Product) -> list[psutil.Process]:
    process = product.programs["stream"].process
    assert process is not None
    return list(psutil.Process(process.pid).children(recursive=True))
