"""An archiver that is killed again and again, at moments drawn by lot, in a folder and in a bucket;
then counted: what is lost, what is there twice, what was left half-made.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pyarrow.parquet as pq
from sqlalchemy import text

from app.config import Settings, load_settings
from app.pipeline.archiving import Archiver
from app.pipeline.persist import Persister
from app.store.objects import Objects
from app.store.partitions import WEEK, week_of
from app.store.places import open_archive
from app.store.session import Database
from tests.support.buckets import PLAIN, Seaweed, find_weed
from tests.support.world import Inhabitant, opened

from .archive_proof import load
from .support import ROOT, Bench, servers

KILLS = 50
TENANTS = 3
ROWS = 3_000  # of each tenant and round: a week, which is archived in about 1 s
FIRST_WEEK = week_of(datetime.now(UTC)) - 30 * WEEK
RUN = """
from app.config import load_settings
from app.pipeline.archiving import archive
from app.store.session import Database
settings = load_settings()
print("begun", flush=True)
archive(Database.connect(settings.url_of("maintenance")), settings)
"""


def run(smoke: bool) -> dict[str, float]:
    """How many kills, and what was wrong after them: 0 of each."""
    kills = 3 if smoke else KILLS
    figures: dict[str, float] = {}
    with servers() as bench:
        places = [("folder", bench.env)]
        with _bucket(bench) as bucket:
            places += [("bucket", bucket)] if bucket else []
            for number, (name, env) in enumerate(places):
                # Every other week, so that none is archived already when its records are loaded.
                found = _Crashes(env, FIRST_WEEK - number * WEEK).run(kills // len(places))
                figures |= {f"archive_crash.{name}.{key}": value for key, value in found.items()}
    return figures


@contextmanager
def _bucket(bench: Bench) -> Iterator[dict[str, str] | None]:
    """The environment of an archive in a real server of S3, where there is one."""
    if find_weed() is None:
        yield None
        return
    with Seaweed(bench.folder / "seaweed") as server:
        access = server.access()
        os.environ.update(access.environment)
        yield {
            **bench.env,
            **access.environment,
            "OPSLEDGER_ARCHIVE_URL": f"s3://{PLAIN}/ledger",
            "OPSLEDGER_ARCHIVE_ENDPOINT_URL": access.endpoint,
        }


class _Crashes:
    """Weeks of records, one after the other, each archived by processes that are killed."""

    def __init__(self, env: dict[str, str], week: datetime) -> None:
        self._env = env
        self._settings: Settings = load_settings(env)
        self._objects: Objects = open_archive(self._settings)
        self._database = Database.connect(self._settings.url_of("maintenance"))
        self._week = week

    def run(self, kills: int) -> dict[str, float]:
        """Kill so many; a process that is done before it is killed begins the next week."""
        everybody: list[Inhabitant] = []
        done, took_s = 0, 0.0
        while done < kills:
            tenants = self._load()
            everybody += tenants
            if not took_s:  # the first tells how long there is to kill them
                started = time.perf_counter()
                self._runs_until(None)
                took_s = time.perf_counter() - started
                continue
            while done < kills and self._runs_until(random.uniform(0, took_s)):
                done += 1
                counts = self._ids(tenants)  # right after a kill each record is there, once
                if (len(counts), sum(counts.values())) != (TENANTS * ROWS, TENANTS * ROWS):
                    raise RuntimeError(f"{len(counts)} are there, {counts.most_common(1)}")
        finished = Archiver(self._database, self._objects, hot_days=90).run()
        counts, expected = self._ids(everybody), len(everybody) * ROWS
        return {
            "kills": done,
            "rows": expected,
            "lost": expected - len(counts),
            "doubled": sum(counts.values()) - len(counts),
            "left_half_made": len(set(self._listed(everybody)) ^ self._keys(everybody)),
            "left_in_scratch": len(list(self._objects.scratch.iterdir())),
            "unfinished": float(finished is None or not finished.finished),
        }

    def _load(self) -> list[Inhabitant]:
        """New tenants with a week of records."""
        worker = Database.connect(self._settings.url_of("worker"))
        with opened(self._settings, self._database) as world:
            tenants = [world.settle() for _ in range(TENANTS)]
        for tenant in tenants:
            load(Persister(worker), tenant.tenant_id, ROWS, self._week, days=7)
        worker.close()
        self._week -= 2 * WEEK
        return tenants

    def _runs_until(self, seconds: float | None) -> bool:
        """Run a process; whether it was killed, so long after it began."""
        argv = [sys.executable, "-c", RUN]
        with subprocess.Popen(
            argv, cwd=ROOT, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            if child.stdout is None or not child.stdout.readline():
                raise RuntimeError("the archive did not begin")
            with suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
            child.send_signal(signal.SIGKILL)
            return child.wait() == -signal.SIGKILL

    def _ids(self, tenants: list[Inhabitant]) -> Counter[str]:
        found: Counter[str] = Counter()
        wanted = [tenant.tenant_id for tenant in tenants]
        with self._database.unrestricted_unsafe(snapshot=True) as session:
            hot = text("SELECT id FROM action_logs WHERE tenant_id = ANY(:ids)")
            found.update(str(id_) for id_ in session.execute(hot, {"ids": wanted}).scalars())
            cold = text(
                "SELECT object_key FROM archives WHERE tenant_id = ANY(:ids) AND state = 'cold'"
            )
            keys = list(session.execute(cold, {"ids": wanted}).scalars())
        for key in keys:
            with self._objects.fetched(key) as path:
                found.update(_column(path))
        return found

    def _keys(self, tenants: list[Inhabitant]) -> set[str]:
        statement = text("SELECT object_key FROM archives WHERE tenant_id = ANY(:ids)")
        asked = {"ids": [tenant.tenant_id for tenant in tenants]}
        with self._database.unrestricted_unsafe() as session:
            return set(session.execute(statement, asked).scalars())

    def _listed(self, tenants: list[Inhabitant]) -> Iterator[str]:
        for tenant in tenants:
            yield from self._objects.list(_prefix(tenant.tenant_id))


def _prefix(tenant_id: UUID) -> str:
    return f"tenant_id={tenant_id}/"


def _column(path: Path) -> list[str]:
    ids: list[str] = pq.read_table(path, columns=["id"])["id"].to_pylist()
    return ids
