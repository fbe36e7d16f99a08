"""How long from a record's capture to its row: a steady rate through spool, broker and worker."""

import multiprocessing
import time

from sqlalchemy import text

from app.capture import Recorder
from app.config import Settings, load_settings
from app.pipeline.shipping import open_shipper, open_spool
from app.store.session import Database
from tests.support.product import Product

from .support import Bench, payload, servers

RATES = (500, 2_000, 5_000)
TICK_S = 0.01
WAIT_S = 60.0
# created_at is the record's own millisecond; committed_at is taken just before its commit.
DELAYS = """
    SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (
        ORDER BY extract(epoch FROM b.committed_at - a.created_at) * 1000)
    FROM action_logs a JOIN log_batches b ON (b.tenant_id, b.id) = (a.tenant_id, a.batch_id)
    WHERE a.provider_name = :provider
"""


def run(smoke: bool) -> dict[str, float]:
    """Milliseconds, median and 99th percentile, at each rate."""
    seconds = 1 if smoke else 10
    figures = {}
    with servers() as bench, Product(bench.env, bench.folder, ("web", "worker")):
        for rate in RATES:
            sender = multiprocessing.Process(target=_send, args=(bench.env, rate, seconds))
            sender.start()
            sender.join()
            p50, p99 = _delays(bench, rate, rate * seconds)
            figures[f"delay.p50_ms_at_{rate}"] = p50
            figures[f"delay.p99_ms_at_{rate}"] = p99
    return figures


def _send(env: dict[str, str], rate: int, seconds: int) -> None:
    """Capture at a steady rate in a process of its own, as a busy web process would."""
    settings: Settings = load_settings(env)
    database = Database.connect(settings.database_url)
    spool = open_spool(settings)
    shipper = open_shipper(spool, database, settings)
    recorder = Recorder(spool, payload_bytes_max=65536, notify=shipper.notify, learn=lambda: None)
    tenant_id, request = _tenant(settings), payload(600)
    started = time.perf_counter()
    for tick in range(round(seconds / TICK_S)):
        for _ in range(round(rate * TICK_S)):
            recorder.record_action(
                {
                    "tenant_id": tenant_id,
                    "action_type": "crm_create",
                    "provider_name": f"rate-{rate}",
                    "request_payload": request,
                    "status": "success",
                    "execution_time_ms": 12,
                }
            )
        time.sleep(max(0.0, started + (tick + 1) * TICK_S - time.perf_counter()))
    shipper.stop(grace_s=WAIT_S)


def _tenant(settings: Settings) -> str:
    database = Database.connect(settings.url_of("maintenance"))
    with database.unrestricted_unsafe() as session:
        return str(session.execute(text("SELECT id FROM tenants WHERE slug = 'demo'")).scalar_one())


def _delays(bench: Bench, rate: int, expected: int) -> tuple[float, float]:
    database = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
    with database.unrestricted_unsafe() as session:
        provider = {"provider": f"rate-{rate}"}
        counted = "SELECT count(*) FROM action_logs WHERE provider_name = :provider"
        arrived = session.execute(text(counted), provider).scalar_one()
        if arrived != expected:
            raise RuntimeError(f"{arrived} of {expected} records arrived")
        p50, p99 = session.execute(text(DELAYS), provider).scalar_one()
    database.close()
    return float(p50), float(p99)
