"""The adapter: what records cost its callers, and whether they are what happened.

Cost: `GET /api/v1/crm/contacts/{id}` at a HubSpot that answers in 5 ms, the same service with and
without capture, in turn; one gunicorn worker with four threads, four clients in a process of their
own, and the worker that persists, all on this machine. Truth: a thousand mixed operations at the
sandbox, a tenth of them with faults; the records against what was asked for and against the
sandbox's own log.
"""

import http.client
import json
import multiprocessing
import random
import sys
import threading
import time
from collections import Counter
from multiprocessing import Queue
from typing import Any
from uuid import UUID

import requests
from sqlalchemy import text

from app.dev import process
from app.dev.server import free_port
from app.store.provider_accounts import delete_account, put_account
from app.store.session import Database
from app.vault import Vault, new_key
from tests.support.adapter import BODIES, CALLS, COLLECTIONS
from tests.support.product import Product

from .provider import provider
from .support import ROOT, Bench, median, percentile, servers

KEY = "test-api-key-12345"
CONTACT = {
    "id": "12345",
    "properties": {"email": "jane@example.com", "firstname": "Jane", "lastname": "Doe"},
    "createdAt": "2026-01-01T00:00:00.000Z",
    "updatedAt": "2026-01-01T00:00:00.000Z",
    "archived": False,
}
DELAY_S = 0.005
CLIENTS = 4
# What a fault leaves on record, in order; each tenth operation has one.
STEPS = {
    "500,ok": ("retry", "success"),
    "429=0,ok": ("retry", "success"),
    "lost,ok": ("retry", "success"),
    "malformed,ok": ("retry", "success"),
    "500": ("retry", "retry", "failure"),
    "429=9": ("failure",),
    "404": ("failure",),
    "timeout": ("retry", "retry", "timeout"),
}


def run(smoke: bool) -> dict[str, float]:
    """Ratios of latency and throughput, and how many records are missing or too many."""
    rounds, seconds, operations = (1, 1.0, 100) if smoke else (7, 5.0, 1000)
    with servers() as bench, provider(json.dumps(CONTACT).encode(), delay_s=DELAY_S) as url:
        bench.env["OPSLEDGER_CREDENTIAL_KEYS"] = new_key()
        bench.env["OPSLEDGER_PRIVATE_DESTINATIONS"] = "127.0.0.1/32"
        bench.env["OPSLEDGER_PROVIDER_TIMEOUT_S"] = "0.2"
        bench.env["OPSLEDGER_PROVIDER_BACKOFF_S"] = "0.01"
        with Product(bench.env, bench.folder, ("web", "worker")) as product:
            figures = _check(bench, product, operations)
            _choose(bench, url)
            found: dict[str, list[tuple[float, list[float]]]] = {"without": [], "with": []}
            for _ in range(rounds):
                for way, measured in found.items():
                    measured.append(_measure(bench, way, seconds))
            _choose(bench, None)
    pairs = list(zip(found["with"], found["without"], strict=True))
    p50 = [percentile(mine[1], 0.5) / percentile(none[1], 0.5) for mine, none in pairs]
    figures["adapter.p50_ratio"] = median(p50)
    figures["adapter.throughput_ratio"] = median([mine[0] / none[0] for mine, none in pairs])
    for way, measured in found.items():
        times = [each for one in measured for each in one[1]]
        figures[f"adapter.{way}.requests_per_s"] = median([one[0] for one in measured])
        figures[f"adapter.{way}.p50_ms"] = percentile(times, 0.5)
        figures[f"adapter.{way}.p99_ms"] = percentile(times, 0.99)
    return figures


def _tenant(database: Database) -> UUID:
    with database.unrestricted_unsafe() as session:
        found = session.execute(text("SELECT id FROM tenants WHERE slug = 'demo'")).scalar_one()
        return UUID(str(found))


def _choose(bench: Bench, url: str | None) -> None:
    """Let HubSpot at an address serve the demo tenant, or the sandbox again."""
    database = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
    tenant = _tenant(database)
    with database.unrestricted_unsafe() as session:
        if url is None:
            delete_account(session, tenant, "crm")
            return
        locked = Vault(bench.env["OPSLEDGER_CREDENTIAL_KEYS"]).lock(
            tenant, "crm", {"access_token": "t"}
        )
        put_account(
            session,
            tenant,
            "crm",
            provider="hubspot",
            options={"base_url": url.removesuffix("/contacts"), "timeout_s": 10},
            credentials=locked,
        )


def _measure(bench: Bench, way: str, seconds: float) -> tuple[float, list[float]]:
    port = free_port()
    site = process.spawn(
        [
            *(sys.executable, "-m", "gunicorn", "benchmarks.sites.adapter:create()"),
            *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"),
            *("--threads", "4", "--no-control-socket", "--log-level", "warning"),
        ],
        log_path=bench.folder / f"adapter-{way}.log",
        env={**bench.env, "SITE": way},
        cwd=ROOT,
    )
    try:
        if not process.wait_until(lambda: _answers(port), 30):
            raise RuntimeError((bench.folder / f"adapter-{way}.log").read_text())
        results: Queue[tuple[float, list[float]]] = multiprocessing.Queue()
        load = multiprocessing.Process(target=_load, args=(port, seconds, results))
        load.start()
        told = results.get()
        load.join()
        return told
    finally:
        process.kill(site)


def _answers(port: int) -> bool:
    try:
        for _ in range(20):  # each thread has its SDK and its connection
            _get(http.client.HTTPConnection("127.0.0.1", port, timeout=10))
    except OSError:
        return False
    return True


def _load(port: int, seconds: float, results: "Queue[tuple[float, list[float]]]") -> None:
    times: list[float] = []
    until = time.perf_counter() + seconds

    def visit() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.perf_counter() < until:
            started = time.perf_counter()
            _get(connection)
            times.append((time.perf_counter() - started) * 1000)

    visitors = [threading.Thread(target=visit) for _ in range(CLIENTS)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    results.put((len(times) / seconds, times))


def _get(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/api/v1/crm/contacts/12345", headers={"X-API-Key": KEY})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"answered {answer.status}: {body[:500]!r}")


def _check(bench: Bench, product: Product, count: int) -> dict[str, float]:
    """Mixed operations over HTTP, and their records against what was asked for and was made."""
    base, lot = f"http://127.0.0.1:{product.port}", random.Random(11)
    session = requests.Session()
    session.headers["X-API-Key"] = KEY
    items = {
        family: session.post(f"{base}/api/v1/{path}", json=BODIES[family]).json()["id"]
        for family, path in COLLECTIONS.items()
    }
    expected: dict[str, tuple[str, tuple[str, ...]]] = {}
    for number in range(count):
        call = lot.choice([call for call in CALLS.values() if call.method != "DELETE"])
        fault = lot.choice(list(STEPS)) if number % 10 == 0 else "ok"
        answer = session.request(
            call.method,
            base + call.path.format(id=items[call.capability]),
            json=call.body,
            params=call.query,
            headers={"X-Sandbox-Fault": fault},
        )
        steps = STEPS.get(fault, ("success",))
        expected[answer.headers["X-Operation-ID"]] = (call.action_type, steps)
    wanted = sum(len(steps) for _, steps in expected.values())
    database = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
    process.wait_until(lambda: len(_records(database, expected)) >= wanted, 60)
    records = _records(database, expected)
    timelines: dict[str, list[Any]] = {}
    for record in records:
        timelines.setdefault(record.operation_id, []).append(record)
    wrong = sum(
        [(one.action_type, one.status) for one in timelines.get(operation_id, [])]
        != [(action_type, status) for status in steps]
        for operation_id, (action_type, steps) in expected.items()
    )
    made, found = _made(product), Counter(_fault(record) for record in records)
    found.pop("", None)
    return {
        "adapter.mixed.operations": float(len(expected)),
        "adapter.mixed.records": float(len(records)),
        "adapter.mixed.wrong_operations": float(wrong),
        "adapter.mixed.faults": float(made.total()),
        "adapter.mixed.faults_off_the_log": float(((made - found) + (found - made)).total()),
    }


def _records(database: Database, operations: dict[str, Any]) -> list[Any]:
    with database.unrestricted_unsafe() as session:
        statement = text(
            "SELECT operation_id, action_type, status, metadata FROM action_logs"
            " WHERE operation_id = ANY(:operations) ORDER BY id"
        )
        return list(session.execute(statement, {"operations": list(operations)}))


def _made(product: Product) -> Counter[str]:
    """The faults that the sandbox itself says it made, by kind."""
    lines = product.programs["web"].log_path.read_text().splitlines()
    told = [json.loads(line) for line in lines if '"fault made"' in line]
    kinds = {"lost": "timeout"}  # to the caller they are the same
    return Counter(kinds.get(one["fault"], one["fault"]) for one in told)


def _fault(record: Any) -> str:
    """The kind of fault that a record tells of, empty if none."""
    exchange = record.metadata["provider"]
    if exchange.get("code") == "timeout":
        return "timeout"
    code: str = exchange.get("provider_code", "")
    return code.removeprefix("fault_")
