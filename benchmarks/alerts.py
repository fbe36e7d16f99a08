"""How long it takes to evaluate 10 rules of each of 1,000 tenants that all are busy, and whether
that grows with the log.
"""

import random
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from app.domain.alert_rules import Figure, Rule
from app.domain.codec import encode
from app.domain.records import ActionRecord, ActionStatus, Kind
from app.pipeline.alerting import evaluate_alerts
from app.pipeline.persist import Persister
from app.store.alert_rules import add_rule, ensure_rules
from app.store.session import Database
from app.store.tenants import add_tenant
from tests.support.world import record_id

from .support import median, servers

PROVIDERS = ("hubspot", "gmail", "zendesk", "google", "pinecone")
MORE_RULES = 6  # beside the four default ones


def run(smoke: bool) -> dict[str, float]:
    """Seconds of one evaluation, with an hour of traffic and with four times as much log."""
    tenants, rounds = (20, 2) if smoke else (1000, 7)
    with servers() as bench:
        maintenance = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
        worker = Database.connect(bench.env["WORKER_DATABASE_URL"])
        ids = [_tenant(maintenance) for _ in range(tenants)]
        persister = Persister(worker)
        now = datetime.now(UTC)
        for tenant_id in ids:
            _put(persister, [_record(tenant_id, now - timedelta(minutes=m)) for m in _HOUR])
        first, _ = _evaluate(maintenance)
        hour = _rounds(maintenance, persister, ids, rounds)
        for tenant_id in ids:
            for day in range(1, 4):
                old = now - timedelta(days=day)
                _put(persister, [_record(tenant_id, old - timedelta(minutes=m)) for m in _HOUR])
        _evaluate(maintenance)
        larger = _rounds(maintenance, persister, ids, rounds)
        maintenance.close()
        worker.close()
    return {
        "alerts.rules": tenants * (4 + MORE_RULES),
        "alerts.first_s": first,
        "alerts.evaluation_s": median([wall for wall, _ in hour]),
        "alerts.evaluation_max_s": max(wall for wall, _ in hour),
        "alerts.evaluation_cpu_s": median([cpu for _, cpu in hour]),
        "alerts.evaluation_4x_log_s": median([wall for wall, _ in larger]),
        "alerts.cpu_ratio_4x_log": median([cpu for _, cpu in larger])
        / median([cpu for _, cpu in hour]),
    }


_HOUR = [minute for minute in range(60) for _ in PROVIDERS]


def _tenant(database: Database) -> UUID:
    tenant_id = uuid7()
    with database.unrestricted_unsafe() as session:
        add_tenant(session, tenant_id=tenant_id, name="bench", slug=f"b-{tenant_id.hex}")
        ensure_rules(session, tenant_id)
        for number in range(MORE_RULES):
            rule = Rule(
                id=uuid7(),
                name=f"rule {number}",
                kind=(Kind.ACTION, Kind.AUDIT)[number % 2],
                figure=Figure.COUNT,
                threshold=1e6,
                window_s=(60, 300, 900, 3600)[number % 4],
                group_by="provider_name" if number % 2 == 0 else None,
            )
            add_rule(session, tenant_id, rule)
    return tenant_id


def _record(tenant_id: UUID, at: datetime) -> ActionRecord:
    return ActionRecord(
        id=record_id(at),
        tenant_id=tenant_id,
        action_type=random.choice(("crm_create", "email_send")),
        provider_name=random.choice(PROVIDERS),
        request_payload={},
        response_data=None,
        status=ActionStatus.SUCCESS,
        error_message=None,
        execution_time_ms=random.randrange(1000),
    )


def _put(persister: Persister, records: list[ActionRecord]) -> None:
    persister.persist(uuid4(), b"\n".join(map(encode, records)))


def _rounds(
    database: Database, persister: Persister, ids: list[UUID], rounds: int
) -> list[tuple[float, float]]:
    """The seconds of evaluations, before each of which every tenant has new records."""
    times = []
    for _ in range(rounds):
        for first in range(0, len(ids), 250):
            now = datetime.now(UTC)
            _put(persister, [_record(one, now) for one in ids[first : first + 250] * 2])
        times.append(_evaluate(database))
    return times


def _evaluate(database: Database) -> tuple[float, float]:
    """Seconds of one evaluation, and of them those of our own processor time."""
    started, worked = time.perf_counter(), time.process_time()
    evaluate_alerts(database, now=datetime.now(UTC))
    return time.perf_counter() - started, time.process_time() - worked
