"""The archive: how fast a week is exported beside COPY TO STDOUT, in how much memory, what a drop
and a cold list take, and what is left of ingest meanwhile.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from app.config import load_settings
from app.domain.archive import TenantDay
from app.domain.codec import encode
from app.domain.filters import ActionFilter, Page
from app.domain.identity import redated
from app.domain.records import ActionRecord, Kind
from app.pipeline.folding import fold_waiting
from app.pipeline.persist import Persister
from app.store.archives import copy_day, list_cold
from app.store.cold import ColdStore
from app.store.cold_log import ColdLog
from app.store.objects import LocalObjects
from app.store.partitions import week_of
from app.store.segment_file import selected, writing
from app.store.session import Database
from app.store.tenants import add_tenant

from .query.load import connect
from .support import ROOT, Bench, action, median, servers

SHIPMENT_ROWS = 500
WEEK = week_of(datetime.now(UTC) - timedelta(days=120))
DAYS = 7
BODIES = 500
RUN = """
import time
from app.config import load_settings
from app.pipeline import archiving
from app.store.objects import LocalObjects
from app.store.session import Database
settings, drop, drops = load_settings(), archiving.Archiver._drop, []
def timed(*of):
    started = time.perf_counter()
    reason = drop(*of)
    drops.append(time.perf_counter() - started)
    return reason
archiving.Archiver._drop = timed
archiver = archiving.Archiver(
    Database.connect(settings.url_of("maintenance")),
    LocalObjects(settings.archive_dir),
    hot_days=90,
)
report = archiver.run()
assert report.finished, report
# Not ru_maxrss, which begins with what the process that started this one had.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024, drops[0] * 1000)
"""


class Nothing:
    """Takes what COPY gives, and forgets it."""

    def write(self, row: bytes) -> int:
        """Take a row."""
        return len(row)


def run(smoke: bool) -> dict[str, float]:
    """Rows per second, ratios, MB and milliseconds."""
    rows = 7_000 if smoke else 420_000
    with servers() as bench, _databases(bench) as (worker, maintenance):
        tenant_id = _tenant(maintenance)
        persister = Persister(worker)
        _load(persister, tenant_id, rows)
        plain = connect(bench)
        plain.cursor().execute("VACUUM ANALYZE")  # as is a week of 90 days ago
        plain.close()
        fold_waiting(maintenance, batches=1, age_s=0)
        figures = _exports(maintenance, tenant_id, bench.folder)
        figures |= _run_beside_ingest(bench, persister, tenant_id, rows)
        figures |= _cold_lists(bench, maintenance, tenant_id, 3 if smoke else 30)
    return {f"archive.{name}": value for name, value in figures.items()}


@contextmanager
def _databases(bench: Bench) -> Iterator[tuple[Database, Database]]:
    names = ("WORKER_DATABASE_URL", "MAINTENANCE_DATABASE_URL")
    worker, maintenance = (Database.connect(bench.env[name]) for name in names)
    yield worker, maintenance
    worker.close()
    maintenance.close()


def _tenant(maintenance: Database) -> UUID:
    tenant_id = uuid7()
    with maintenance.unrestricted_unsafe() as session:
        add_tenant(session, tenant_id=tenant_id, name="T", slug=f"t-{tenant_id.hex}")
    return tenant_id


def _load(persister: Persister, tenant_id: UUID, rows: int) -> None:
    step = timedelta(days=DAYS) / rows
    for start in range(0, rows, SHIPMENT_ROWS):
        lines = []
        for row in range(start, min(start + SHIPMENT_ROWS, rows)):
            made = action(tenant_id)
            lines.append(encode(_at(made, WEEK + row * step)))
        persister.persist(uuid4(), b"\n".join(lines))


def _at(record: ActionRecord, moment: datetime) -> ActionRecord:
    return replace(record, id=redated(record.id, moment))


def _exports(maintenance: Database, tenant_id: UUID, folder: Path) -> dict[str, float]:
    """A day after the other: copied, and exported, in turn."""
    ratios, speeds = [], []
    for number in range(DAYS):
        day = TenantDay(tenant_id, Kind.ACTION, (WEEK + timedelta(days=number)).date())
        copied, exported = _both(maintenance, day, folder)
        if number:  # the first one warms up
            ratios.append(copied[0] / exported[0])
            speeds.append(exported[1] / exported[0])
    return {"export_rows_per_s": median(speeds), "export_ratio_to_copy": median(ratios)}


def _both(
    maintenance: Database, day: TenantDay, folder: Path
) -> tuple[tuple[float, int], tuple[float, int]]:
    """Seconds and rows of COPY TO STDOUT, and of an export."""
    columns = selected(day.kind)
    with maintenance.unrestricted_unsafe() as session:
        plain = _seconds(lambda: copy_day(session, day, "*", Nothing()))
        started = time.perf_counter()
        path = folder / f"{uuid7()}.parquet"
        with writing(path, day, 100_000) as writer:
            copy_day(session, day, columns, writer)
            content = writer.close()
        exported = time.perf_counter() - started
    path.unlink()
    return (plain, content.row_count), (exported, content.row_count)


def _run_beside_ingest(
    bench: Bench, persister: Persister, tenant_id: UUID, rows: int
) -> dict[str, float]:
    """A whole run in a process of its own while records of now are committed; then without it."""
    bodies = [
        b"\n".join(encode(action(tenant_id)) for _ in range(SHIPMENT_ROWS)) for _ in range(BODIES)
    ]
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        env={**os.environ, **bench.env},
        stdout=subprocess.PIPE,
    )
    during = _ingested(persister, bodies[::2], lambda: child.poll() is None)
    seconds = time.perf_counter() - started
    said, _ = child.communicate()
    if child.returncode:
        raise RuntimeError("the run failed")
    until = time.perf_counter() + max(seconds, 1)
    without = _ingested(persister, bodies[1::2], lambda: time.perf_counter() < until)
    peak_mb, drop_ms = map(float, said.split())
    return {
        "run_rows_per_s": rows / seconds,
        "run_peak_mb": peak_mb,
        "drop_ms": drop_ms,
        "ingest_ratio_during_run": during / without,
    }


def _ingested(persister: Persister, bodies: list[bytes], go_on: Callable[[], bool]) -> float:
    """Records a second that one worker commits, as long as there are bodies."""
    started, count = time.perf_counter(), 0
    while bodies and go_on():
        persister.persist(uuid4(), bodies.pop())
        count += 1
    return count * SHIPMENT_ROWS / (time.perf_counter() - started)


def _cold_lists(
    bench: Bench, maintenance: Database, tenant_id: UUID, rounds: int
) -> dict[str, float]:
    """What the first and the median list of 100 of one tenant's day take."""
    settings = load_settings(bench.env)
    store = ColdStore(LocalObjects(settings.archive_dir), timeout_s=10)
    start = WEEK + timedelta(days=3)
    filters = ActionFilter(since=start, until=start + timedelta(days=1))

    def ask() -> None:
        with maintenance.unrestricted_unsafe() as session:
            window = (filters.since, filters.until)
            segments = list_cold(session, tenant_id, Kind.ACTION, *window)
        found = ColdLog(store, tenant_id, Kind.ACTION, segments).search(filters, Page(100))
        if len(found) != 100:
            raise RuntimeError(f"{len(found)} records")

    first = _seconds(ask)
    return {
        "cold_list_first_ms": first * 1000,
        "cold_list_ms": median([_seconds(ask) for _ in range(rounds)]) * 1000,
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
