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
from contextlib import contextmanager
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
ROWS = 6_000  # of each tenant and round: a week, as it is archived in about 2 s
FIRST_WEEK = week_of(datetime.now(UTC)) - 30 * WEEK
STARTED_S = 0.9  # what a process takes before it begins
RUN = """
from app.config import load_settings
from app.pipeline.archiving import archive
from app.store.session import Database
settings = load_settings()
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
        worker = Database.connect(self._settings.url_of("worker"))
        with opened(self._settings, self._database) as world:
            tenants = [world.settle() for _ in range(TENANTS)]
        expected, done, weeks = 0, 0, 0
        while done < kills:
            for tenant in tenants:
                load(Persister(worker), tenant.tenant_id, ROWS, self._week, days=7)
                expected += ROWS
            self._week, weeks = self._week - 2 * WEEK, weeks + 1
            while done < kills and self._killed():
                done += 1
                self._check(tenants, expected)
        finished = Archiver(self._database, self._objects, hot_days=90).run()
        counts = self._ids(tenants)
        registered = self._keys()
        return {
            "kills": done,
            "weeks": weeks,
            "rows": expected,
            "lost": expected - len(counts),
            "doubled": sum(counts.values()) - len(counts),
            "left_half_made": len(set(self._listed(tenants)) ^ registered),
            "left_in_scratch": len(list(self._objects.scratch.iterdir())),
            "unfinished": float(finished is None or not finished.finished),
        }

    def _killed(self) -> bool:
        argv = [sys.executable, "-c", RUN]
        child = subprocess.Popen(argv, cwd=ROOT, env=self._env, stderr=subprocess.DEVNULL)
        time.sleep(STARTED_S + random.uniform(0, 2.5))
        child.send_signal(signal.SIGKILL)
        return child.wait() == -signal.SIGKILL

    def _check(self, tenants: list[Inhabitant], expected: int) -> None:
        """Right after a kill each record is there, once."""
        counts = self._ids(tenants)
        if (len(counts), sum(counts.values())) != (expected, expected):
            raise RuntimeError(f"{len(counts)} of {expected} are there, {counts.most_common(1)}")

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

    def _keys(self) -> set[str]:
        with self._database.unrestricted_unsafe() as session:
            return set(session.execute(text("SELECT object_key FROM archives")).scalars())

    def _listed(self, tenants: list[Inhabitant]) -> Iterator[str]:
        for tenant in tenants:
            yield from self._objects.list(_prefix(tenant.tenant_id))


def _prefix(tenant_id: UUID) -> str:
    return f"tenant_id={tenant_id}/"


def _column(path: Path) -> list[str]:
    ids: list[str] = pq.read_table(path, columns=["id"])["id"].to_pylist()
    return ids
