"""A broker that forgets everything while 100,000 records are on their way."""

import os
import time
from pathlib import Path

from sqlalchemy import text

from app.config import load_settings
from app.dev.broker import connect
from app.dev.process import wait_until
from app.dev.procfile import read_procfile
from app.dev.program import Program
from app.dev.settings import children_environment
from app.domain.codec import encode
from app.pipeline.shipping import open_shipper, open_spool
from app.store.session import Database
from app.worker import PERSIST_QUEUE
from benchmarks.support import ROOT, Bench, action, servers

RECORDS = 100_000
ARRIVE_S = 60.0


def test_an_emptied_broker_costs_no_record_and_little_time() -> None:
    """All of them arrive, once, within a minute."""
    with servers() as bench:
        settings = load_settings(bench.env)
        maintenance = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
        database = Database.connect(bench.env["DATABASE_URL"])
        spool = open_spool(settings)
        with maintenance.unrestricted_unsafe() as session:
            demo = text("SELECT id FROM tenants WHERE slug = 'demo'")
            tenant_id = session.execute(demo).scalar_one()
        for _ in range(RECORDS):
            spool.append(encode(action(tenant_id)))
        shipper = open_shipper(spool, database, settings)
        shipper.start()
        shipper.notify()
        broker = connect(bench.broker.url)
        # The broker holds as much as one process lets be unconfirmed.
        assert wait_until(lambda: broker.llen(PERSIST_QUEUE) >= settings.inflight_max, 30)
        broker.flushall()
        worker = start_worker(bench)
        started = time.monotonic()
        try:
            assert wait_until(lambda: not spool.pending, ARRIVE_S)
            taken_s = time.monotonic() - started
            assert taken_s < ARRIVE_S
        finally:
            shipper.stop(grace_s=0)
            worker.stop()
        with maintenance.unrestricted_unsafe() as session:
            rows = "SELECT count(*), count(DISTINCT id) FROM action_logs WHERE provider_name = :p"
            counts = session.execute(text(rows), {"p": "hubspot"}).one()
        assert tuple(counts) == (RECORDS, RECORDS)
        database.close()
        maintenance.close()


def start_worker(bench: Bench) -> Program:
    """The Procfile's worker."""
    program = Program(
        "worker",
        read_procfile(Path(ROOT) / "Procfile", ["worker"])["worker"],
        env=children_environment(bench.env, os.environ),
        cwd=ROOT,
        log_path=bench.folder / "worker.log",
    )
    program.start()
    return program
