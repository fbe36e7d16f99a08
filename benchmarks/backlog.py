"""A long outage: a million records appended with the broker away, then drained beside fresh ones.

Broker and database are stand-ins that take shipments at the pace of one worker; what is measured is
the spool and the shipper.
"""

import tempfile
import threading
import time
from pathlib import Path
from uuid import UUID

from app.config import Settings
from app.pipeline.shipper import Shipper
from app.spool import Spool

from .support import percentile

PAYLOAD = b"x" * 700
WORKER_ROWS_PER_S = 60_000
FRESH_EVERY_S = 0.02
DRAIN_S_MAX = 300.0


class World:
    """A broker that is away, then back, with a worker behind it."""

    def __init__(self) -> None:
        self.away = True
        self.receipts: set[UUID] = set()

    def publish(self, shipment_id: UUID, payloads: tuple[bytes, ...]) -> None:
        """Take a shipment, as fast as a worker persists it."""
        if self.away:
            raise ConnectionError("away")
        time.sleep(len(payloads) / WORKER_ROWS_PER_S)
        self.receipts.add(shipment_id)

    def confirmed(self, shipment_ids: list[UUID]) -> set[UUID]:
        """What was persisted."""
        return self.receipts & set(shipment_ids)


def run(smoke: bool) -> dict[str, float]:
    """Microseconds an append, resident memory, drain rate, and how long fresh records wait."""
    records = 5_000 if smoke else 1_000_000
    world = World()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        spool = Spool(Path(folder), bytes_max=2**31, reserve_bytes=0, segment_bytes_max=8 * 2**20)
        shipper = Shipper(
            spool,
            publish=world.publish,
            confirmed=world.confirmed,
            learn=lambda: None,
            settings=Settings(),
        )
        before = _resident_mib()
        times, peak = _append(spool, shipper, records)
        world.away = False
        started = time.perf_counter()
        waits, drain_peak = _drain(spool, shipper)
        drained_s = time.perf_counter() - started
        shipper.stop(grace_s=5)
    return {
        "backlog.records": records,
        "backlog.append_p50_us": percentile(times, 0.5),
        "backlog.append_p99_us": percentile(times, 0.99),
        "backlog.rss_before_mib": before,
        "backlog.rss_appending_mib": peak,
        "backlog.rss_draining_mib": drain_peak,
        "backlog.drain_s": drained_s,
        "backlog.drain_rows_per_s": records / drained_s,
        "backlog.fresh_p50_ms": percentile(waits, 0.5),
        "backlog.fresh_p99_ms": percentile(waits, 0.99),
        "backlog.fresh_max_ms": max(waits),
    }


def _append(spool: Spool, shipper: Shipper, records: int) -> tuple[list[float], float]:
    # A fixed sample, so that what is measured is not the memory of the measurement.
    times, peak = [0.0] * 10_000, 0.0
    for number in range(records):
        started = time.perf_counter()
        spool.append(PAYLOAD)
        shipper.notify()
        times[number % len(times)] = (time.perf_counter() - started) * 1e6
        if number % 50_000 == 0:
            peak = max(peak, _resident_mib())
    return times[: min(records, len(times))], peak


def _drain(spool: Spool, shipper: Shipper) -> tuple[list[float], float]:
    """Milliseconds that records appended meanwhile wait for their receipts."""
    backlog = threading.Event()
    oldest = spool.status().bytes
    waits: list[float] = []
    peak, deadline = 0.0, time.monotonic() + DRAIN_S_MAX
    while not backlog.is_set() and time.monotonic() < deadline:
        receipt, started = threading.Event(), time.perf_counter()
        spool.append(PAYLOAD, receipt=receipt)
        shipper.notify()
        receipt.wait(DRAIN_S_MAX)
        waits.append((time.perf_counter() - started) * 1000)
        peak = max(peak, _resident_mib())
        if spool.status().bytes < min(oldest, 2**20):
            backlog.set()
        time.sleep(FRESH_EVERY_S)
    return waits, peak


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20
