"""What bringing records to the platter costs an append: never, once a second, or every time."""

import tempfile
import threading
import time
from pathlib import Path

from app.spool import Spool

from .support import percentile

PAYLOAD = b"x" * 700
MODES = ("off", "interval", "always")
THREADS = (1, 4, 16)


def run(smoke: bool) -> dict[str, float]:
    """Microseconds an append of 700 bytes, alone and among threads; records a second."""
    seconds = 0.1 if smoke else 3.0
    figures: dict[str, float] = {}
    for mode in MODES:
        for threads in THREADS:
            times, elapsed = _measure(mode, threads, seconds)
            key = f"durability.{mode}.threads_{threads}"
            figures[f"{key}.p50_us"] = percentile(times, 0.5)
            figures[f"{key}.p99_us"] = percentile(times, 0.99)
            figures[f"{key}.max_ms"] = max(times) / 1000
            figures[f"{key}.records_per_s"] = len(times) / elapsed
    return figures


def _measure(mode: str, threads: int, seconds: float) -> tuple[list[float], float]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # /tmp may be memory
        spool = Spool(
            Path(folder),
            bytes_max=2**32,
            reserve_bytes=0,
            segment_bytes_max=8 * 2**20,
            fsync=mode,
        )
        times: list[list[float]] = [[] for _ in range(threads)]
        stop = threading.Event()
        workers = [threading.Thread(target=_append, args=(spool, own, stop)) for own in times]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        while (elapsed := time.perf_counter() - started) < seconds:
            stop.wait(min(1.0, seconds - elapsed))
            spool.sync()  # as the shipper does
        stop.set()
        for worker in workers:
            worker.join()
        elapsed = time.perf_counter() - started
        spool.close()
    return [value for own in times for value in own], elapsed


def _append(spool: Spool, times: list[float], stop: threading.Event) -> None:
    while not stop.is_set():
        started = time.perf_counter()
        spool.append(PAYLOAD)
        times.append((time.perf_counter() - started) * 1e6)
