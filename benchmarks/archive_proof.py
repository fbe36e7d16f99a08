"""The archive proved on the whole: records of 120 days, archived in one run, compared before and
after; a million exported and taken in again; a day read by DuckDB without any code of ours.
"""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.config import Settings, load_settings
from app.dev import process
from app.domain.archive import TenantDay
from app.domain.codec import encode
from app.domain.identity import redated
from app.domain.records import AuditRecord, Kind
from app.pipeline.folding import fold_waiting
from app.pipeline.persist import Persister
from app.store.archives import copy_day
from app.store.partitions import WEEK
from app.store.segment_file import selected
from app.store.session import Database
from tests.support.world import Inhabitant, World, opened

from .archive import RUN
from .support import ROOT, Bench, action, servers

ROWS = 2_000_000
DAYS = 120
HOT_DAYS = 90
SHARES = (50, 30, 15, 5)  # percent of the records that each tenant has
SHIPMENT_ROWS = 500
PAGES_MAX = 5  # of each list; the smallest tenant's are followed to their ends
AUDIT_EVERY = 10  # so many actions come with one audit log
RESOURCES = 50  # whose trails are followed, and an operation for every one of them
OF_ONE = 3  # trails, operations and records that are looked up for each tenant
INGEST_ROWS = 1000
FLUSH_ROWS = 50_000  # at most so many wait on this host's disk
SHIP_S_MAX = 600.0
EXPORT = """
from app.config import load_settings
from app.pipeline.exporting import run_exports
from app.store.session import Database
settings = load_settings()
run_exports(Database.connect(settings.url_of("maintenance")), settings)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""
HOT = text(
    "SELECT count(*), min(created_at) FROM (SELECT created_at FROM action_logs"
    " UNION ALL SELECT created_at FROM audit_logs) AS logs"
)
SHELL = """
import duckdb, sys
for row in duckdb.sql(f"SELECT id FROM read_parquet('{sys.argv[1]}') ORDER BY id DESC").fetchall():
    print(row[0])
"""


@dataclass(frozen=True)
class Told:
    """What was loaded, and what there is to ask it by."""

    bench: Bench
    world: World
    maintenance: Database
    tenants: list[Inhabitant]
    now: datetime

    @property
    def settings(self) -> Settings:
        """Of the app."""
        return self.world.opsledger.settings


def run(smoke: bool, rows: int | None = None) -> dict[str, float]:
    """Counts that must be 0 or 1, speeds, MB and milliseconds."""
    with servers() as bench, _told(bench, rows or (24_000 if smoke else ROWS)) as told:
        figures = _archived(told) | _read_by_duckdb(told) | _exported(told)
    return {f"archive_proof.{name}": value for name, value in figures.items()}


@contextmanager
def _told(bench: Bench, rows: int) -> Iterator[Told]:
    maintenance = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
    worker = Database.connect(bench.env["WORKER_DATABASE_URL"])
    settings = replace(load_settings(bench.env), query_timeout_s=120.0)
    with opened(settings, maintenance) as world:
        tenants = [world.settle() for _ in SHARES]
        start = datetime.now(UTC) - timedelta(days=DAYS)
        for tenant, share in zip(tenants, SHARES, strict=True):
            some = rows * share // 100
            load(Persister(worker), tenant.tenant_id, some, start)
            load_audits(Persister(worker), tenant.tenant_id, some // AUDIT_EVERY, start)
        fold_waiting(maintenance, batches=1, age_s=0)
        yield Told(bench, world, maintenance, tenants, datetime.now(UTC))
    maintenance.close()
    worker.close()


def load(
    persister: Persister, tenant_id: UUID, rows: int, start: datetime, days: int = DAYS
) -> None:
    """Records of all days, evenly; the bodies are few, since making them is not what is asked."""
    step = timedelta(days=days) / rows
    bodies = [action(tenant_id) for _ in range(SHIPMENT_ROWS)]
    for first in range(0, rows, SHIPMENT_ROWS):
        lines = [
            encode(replace(body, id=redated(uuid7(), start + number * step)))
            for number, body in enumerate(bodies[: rows - first], first)
        ]
        persister.persist(uuid4(), b"\n".join(lines))


def load_audits(persister: Persister, tenant_id: UUID, rows: int, start: datetime) -> None:
    """Changes of a few resources, evenly over all days."""
    step = timedelta(days=DAYS) / rows
    for first in range(0, rows, SHIPMENT_ROWS):
        lines = [
            encode(_change(tenant_id, redated(uuid7(), start + number * step), number % RESOURCES))
            for number in range(first, min(first + SHIPMENT_ROWS, rows))
        ]
        persister.persist(uuid4(), b"\n".join(lines))


def _change(tenant_id: UUID, record_id: UUID, number: int) -> AuditRecord:
    return AuditRecord(
        id=record_id,
        tenant_id=tenant_id,
        user_id=f"user-{number % 7}",
        action="update",
        resource_type="contact",
        resource_id=f"c/{number}",
        changes={"before": {"stage": "lead"}, "after": {"stage": "customer"}},
        ip_address="192.0.2.1",
        user_agent=None,
        operation_id=f"operation-{number}",
    )


def _archived(told: Told) -> dict[str, float]:
    """One run, with everything compared that there was before it."""
    named = _named(told)
    answers, digests = _answers(told, named), _digests(told)
    total = sum(count for count, _ in digests.values())
    started = time.perf_counter()
    said = _in_process(told.bench, RUN)
    seconds = time.perf_counter() - started
    peak_mb, drop_ms = said
    with told.maintenance.unrestricted_unsafe() as session:
        registered = _registered(session)
        hot, first = session.execute(HOT).one()
    cold = sum(count for count, _ in registered.values())
    after = _answers(told, named)
    days_over = (told.now - first) / timedelta(days=1) - HOT_DAYS
    differing = sum(digests[of] != content for of, content in registered.items())
    return {
        "rows": total,
        "cold_rows": cold,
        "lost_rows": total - hot - cold,
        "days_that_differ": differing,
        "days": len(digests),
        "answers_that_differ": len({path for path, _ in answers.items() ^ after.items()}),
        "answers": len(answers),
        "hot_days_past_window": days_over,
        "within_one_partition": float(days_over <= WEEK.days),
        "run_rows_per_s": cold / seconds,
        "run_peak_mb": peak_mb,
        "drop_ms": drop_ms,
    }


def _named(told: Told) -> list[tuple[int, str]]:
    """Some records of each tenant and kind, from the oldest on, while all are hot."""
    found = []
    with told.maintenance.unrestricted_unsafe() as session:
        for (number, tenant), kind in product(enumerate(told.tenants), Kind):
            ids = session.execute(
                text(
                    f"SELECT id FROM {kind}_logs WHERE tenant_id = :id"
                    f" ORDER BY created_at, id LIMIT {OF_ONE}"
                ),
                {"id": tenant.tenant_id},
            )
            found += [(number, f"{kind}s/{id_}") for id_ in ids.scalars()]
    return found


def _answers(told: Told, named: Sequence[tuple[int, str]]) -> dict[str, str]:
    """Digests of lists, trails, operations, records in full and statistics, by tenant and path.

    Args:
        named: paths to records, each with its tenant's place.
    """
    cut = (told.now - timedelta(days=100, hours=5, minutes=7)).replace(microsecond=0)
    until = cut.isoformat()[:19] + "Z"
    fixed = f"{told.now:%Y-%m-%d}T00:00:00Z"
    asked = f"include=archived&until={until}"
    found: dict[str, str] = {}
    for number, tenant in enumerate(told.tenants):
        last = number == len(told.tenants) - 1
        for query in (
            f"actions?{asked}&limit=1000",
            f"actions?{asked}&limit=1000&action_type=crm_get",
            f"actions?{asked}&limit=100&min_execution_time_ms=890",
            f"actions?include=archived&limit=1000&since={until}",
            f"audits?{asked}&limit=1000",
            f"audits?{asked}&limit=100&user_id=user-3",
        ):
            found |= _pages(tenant, query, 10**6 if last and "=1000" in query else PAGES_MAX)
        for one in range(OF_ONE):
            trail = f"audits/resource/contact/c/{one}?include=archived&limit=500"
            found |= _pages(tenant, trail, 10**6)
            found |= _pages(tenant, f"operations/operation-{one}?include=archived", 10**6)
        for path in (
            *("stats", f"stats?until={until}", f"stats?since={until}&until={fixed}"),
            *(f"analytics/slowest?until={until}", f"analytics/actions-by-type?until={until}"),
            f"analytics/user-activity?until={until}",
        ):
            found[f"{number} {path}"] = _asked(tenant, path)
    for number, path in named:
        found[f"{number} {path}"] = _asked(told.tenants[number], f"{path}?include=archived")
    return found


def _asked(tenant: Inhabitant, path: str) -> str:
    response = tenant.get(f"/api/v1/logs/{path}")
    if response.status_code != 200:
        raise RuntimeError(f"{path}: {response.get_data(as_text=True)[:500]}")
    return _digest(response.data)


def _pages(tenant: Inhabitant, query: str, most: int) -> dict[str, str]:
    at, found = f"/api/v1/logs/{query}", {}
    for number in range(most):
        response = tenant.get(at)
        if response.status_code != 200:
            raise RuntimeError(response.get_data(as_text=True)[:500])
        found[f"{tenant.slug} {query} {number}"] = _digest(response.data)
        if "Link" not in response.headers:
            break
        at = response.headers["Link"][1:].partition(">")[0]
    return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class _Digest:
    """Takes what COPY gives: how many rows, and their digest."""

    def __init__(self) -> None:
        self.rows = 0
        self.sha256 = hashlib.sha256()

    def write(self, row: bytes) -> int:
        """Take a row."""
        self.rows += 1
        self.sha256.update(row)
        return len(row)


def _digests(told: Told) -> dict[TenantDay, tuple[int, bytes]]:
    """Rows and content of each tenant's day, as Postgres has them."""
    found = {}
    today = told.now.date()
    with told.maintenance.unrestricted_unsafe(snapshot=True) as session:
        for tenant in told.tenants:
            for kind, back in product(Kind, range(DAYS + 1)):
                of = TenantDay(tenant.tenant_id, kind, today - timedelta(days=back))
                sink = _Digest()
                copy_day(session, of, selected(kind), sink)
                found[of] = (sink.rows, sink.sha256.digest())
    return found


def _registered(session: Any) -> dict[TenantDay, tuple[int, bytes]]:
    rows = session.execute(
        text("SELECT tenant_id, kind, day, row_count, content_sha256 FROM archives")
    )
    return {
        TenantDay(row.tenant_id, Kind(row.kind), row.day): (
            *(row.row_count, bytes(row.content_sha256)),
        )
        for row in rows
    }


def _read_by_duckdb(told: Told) -> dict[str, float]:
    """DuckDB's own Python, by the documented path, beside what the API lists."""
    tenant = told.tenants[-1]
    day = (told.now - timedelta(days=110)).date()
    folder = told.settings.archive_dir.absolute()
    path = f"{folder}/tenant_id={tenant.tenant_id}/kind=action/date={day}/*.parquet"
    shell = [sys.executable, "-I", "-c", SHELL, path]
    said = subprocess.run(shell, cwd="/", capture_output=True, text=True, check=True).stdout
    query = f"actions?include=archived&limit=1000&since={day}T00:00:00Z"
    at, listed = f"/api/v1/logs/{query}&until={day + timedelta(days=1)}T00:00:00Z", []
    while at:
        response = tenant.get(at)
        listed += [row["id"] for row in response.json]
        link = response.headers.get("Link", "")
        at = link[1:].partition(">")[0] if link else ""
    return {"duckdb_rows": len(listed), "duckdb_agrees": float(said.split() == listed)}


def _exported(told: Told) -> dict[str, float]:
    """The largest tenant's records, hot and cold, as JSON lines, and some taken in again."""
    tenant = told.tenants[0]
    asked = tenant.post(
        "/api/v1/exports", json={"kind": "action", "format": "jsonl", "include_archived": True}
    ).json
    started = time.perf_counter()
    (peak_mb,) = _in_process(told.bench, EXPORT)
    seconds = time.perf_counter() - started
    shown = tenant.get(f"/api/v1/exports/{asked['id']}").json
    before = _everything(told)
    file = told.settings.archive_dir / "exports" / str(tenant.tenant_id) / f"{asked['id']}.jsonl.gz"
    taken = _taken_in_again(told, tenant, file)
    return {
        "export_rows": shown["row_count"],
        "export_rows_missing": before[0] - shown["row_count"],
        "export_rows_per_s": shown["row_count"] / seconds,
        "export_peak_mb": peak_mb,
        "taken_in_again": taken,
        "rows_added_by_it": sum(_everything(told)) - sum(before),
    }


def _everything(told: Told) -> tuple[int, int]:
    """How many records the exported tenant has, hot and cold; and late ones that are not among
    them. Those of a week that is hot still wait for it to be archived.
    """
    asked = {"id": told.tenants[0].tenant_id}
    with told.maintenance.unrestricted_unsafe() as session:
        hot, cold, late = session.execute(
            text(
                "SELECT (SELECT count(*) FROM action_logs WHERE tenant_id = :id),"
                " (SELECT sum(row_count) FROM archives WHERE tenant_id = :id"
                " AND kind = 'action' AND state = 'cold'),"
                " (SELECT count(*) FROM late_records l WHERE tenant_id = :id AND NOT EXISTS"
                " (SELECT FROM action_logs a WHERE a.tenant_id = l.tenant_id"
                " AND a.created_at = l.created_at AND a.id = l.id))"
            ),
            asked,
        ).one()
    return int(hot + cold), int(late)


def _taken_in_again(told: Told, tenant: Inhabitant, file: Path) -> int:
    """Send all records of an export to the ingest API and have a worker store them; then the
    archive runs, so that those that are late have been looked at too.
    """
    sent = waiting = 0
    with _worker(told.bench), gzip.open(file) as lines:
        while some := list(islice(lines, INGEST_ROWS)):
            answer = tenant.post("/api/v1/ingest/actions", json=[_as_sent(line) for line in some])
            if answer.status_code != 202 or answer.json["rejected"]:
                raise RuntimeError(answer.get_data(as_text=True)[:500])
            sent += answer.json["accepted"]
            waiting += len(some)
            if waiting >= FLUSH_ROWS:
                _flush(told)
                waiting = 0
        _flush(told)
    _in_process(told.bench, RUN.replace("drops[0]", "(drops or [0])[0]"))
    return sent


def _as_sent(line: bytes) -> dict[str, Any]:
    """A record of an export as ingest takes it, which sets updated_at by itself."""
    return {name: value for name, value in json.loads(line).items() if name != "updated_at"}


def _flush(told: Told) -> None:
    if not told.world.opsledger.shipper.flush(SHIP_S_MAX):
        raise RuntimeError("the records did not arrive")


@contextmanager
def _worker(bench: Bench) -> Iterator[None]:
    argv = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "threads"]
    argv += ["--concurrency", "1", "--without-gossip", "--without-mingle"]
    argv += ["--queues", "opsledger.persist"]
    log_path = bench.folder / "worker.log"
    child = process.spawn(argv, log_path=log_path, env=bench.env, cwd=ROOT)
    try:
        yield
    finally:
        process.kill(child)


def _in_process(bench: Bench, code: str) -> list[float]:
    """The figures that a process of its own prints."""
    argv = [sys.executable, "-c", code]
    env = {**os.environ, **bench.env}
    done = subprocess.run(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True)
    return [float(word) for word in done.stdout.split()]
