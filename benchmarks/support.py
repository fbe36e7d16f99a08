"""What the benchmarks share: a migrated database, records like a real provider's, medians."""

import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from uuid_utils.compat import uuid7

from app.dev import EmbeddedPostgres
from app.domain.records import ActionRecord, ActionStatus

from .rabbitmq import RabbitMQ
from .valkey import Valkey

ROOT = Path(__file__).parents[1]
# Requests are judged as ever, so that this is in what is measured; no run comes near it.
RATE_LIMITS = {
    f"OPSLEDGER_{kind}_PER_MINUTE_{whose}": str(10**9)
    for kind in ("READS", "WRITES")
    for whose in ("KEY", "TENANT")
}
BROKERS: dict[str, type[Valkey] | type[RabbitMQ]] = {"valkey": Valkey, "rabbitmq": RabbitMQ}


@dataclass(frozen=True)
class Bench:
    """The servers of one benchmark, and the environment that points there."""

    folder: Path
    postgres: EmbeddedPostgres
    broker: Valkey | RabbitMQ
    env: dict[str, str]


@contextmanager
def servers(broker_name: str = "valkey") -> Iterator[Bench]:
    """A migrated Postgres and a broker, in a folder that is removed."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        EmbeddedPostgres(Path(name) / "postgres") as postgres,
        BROKERS[broker_name](Path(name) / "broker") as broker,
    ):
        env = {
            **os.environ,
            **postgres.urls(),
            **broker.env,
            "OPSLEDGER_DATA_DIR": str(Path(name) / "data"),
            "OPSLEDGER_DEMO": "1",
            "OPSLEDGER_HOST": "127.0.0.1",
            **RATE_LIMITS,
        }
        for command in (["db", "upgrade"], ["demo"]):
            flask = [sys.executable, "-m", "flask", "--app", "wsgi", *command]
            subprocess.run(flask, cwd=ROOT, env=env, check=True, capture_output=True)
        yield Bench(Path(name), postgres, broker, env)


def payload(size: int = 600) -> dict[str, object]:
    """A CRM request of about `size` bytes of JSON."""
    return {
        "email": f"user{random.randrange(10**6)}@example.com",
        "firstname": "Jane",
        "lastname": "Doe",
        "properties": {f"field_{i}": "x" * 20 for i in range(max(0, size - 100) // 36)},
    }


def action(tenant_id: UUID) -> ActionRecord:
    """One action record, about 1 KB with its response."""
    return ActionRecord(
        id=uuid7(),
        tenant_id=tenant_id,
        action_type=random.choice(("crm_create", "crm_get", "crm_list")),
        provider_name="hubspot",
        request_payload=payload(),
        response_data={"id": str(random.randrange(10**9)), "archived": False},
        status=ActionStatus.SUCCESS,
        error_message=None,
        execution_time_ms=random.randrange(5, 900),
    )


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)
