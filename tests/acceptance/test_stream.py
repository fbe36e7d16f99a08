"""The stream process of the Procfile: every record once and soon, whatever is cut off."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import requests

from app.dev import EmbeddedBroker
from app.dev.server import free_port
from tests.support.events import Follower, Listener
from tests.support.line import Line
from tests.support.product import ROOT, Product

KEY = "test-api-key-12345"
CALLS = 20
SOON_S = 1.0
AWAY_S = 10.0  # how long the database is
PROGRAMS = ("web", "worker", "stream")


@pytest.fixture
def lines(product_environment: dict[str, str]) -> Iterator[dict[str, Line]]:
    """Every process's line to the database."""
    names = [name for name in product_environment if name.endswith("DATABASE_URL")]
    lines = {name: Line(product_environment[name]) for name in names}
    yield lines
    for line in lines.values():
        line.close()


@pytest.fixture
def streaming(
    product_environment: dict[str, str], lines: dict[str, Line], tmp_path: Path
) -> Iterator[Product]:
    """Web, worker and stream."""
    env = {**product_environment, **{name: line.url for name, line in lines.items()}}
    env["OPSLEDGER_STREAM_PORT"] = str(free_port())
    with Product(env, tmp_path, PROGRAMS) as product:
        assert product.wait_for(lambda: "Booting worker" in log_of(product))
        yield product


def log_of(product: Product) -> str:
    return product.programs["stream"].log_path.read_text()


def follow(product: Product, secret: str = KEY, kind: type = Follower, **asked: str) -> Follower:
    return kind(f"{address_of(product)}/api/v1/logs/stream", secret, **asked)


def address_of(product: Product) -> str:
    return f"http://127.0.0.1:{product.env['OPSLEDGER_STREAM_PORT']}"


def crm_calls(follower: Follower) -> list[str]:
    return [row["id"] for row in follower.records if row["action_type"] == "crm_create"]


def has_at_least(follower: Follower, number: int) -> bool:
    return len(crm_calls(follower)) >= number


def ingest(product: Product) -> None:
    """Put a record on the disk of the host, which needs nothing else."""
    record = {"action_type": "crm_create", "provider_name": "elsewhere", "status": "success"}
    body = [{**record, "execution_time_ms": 1}]
    answer = product.session.post(
        f"http://127.0.0.1:{product.port}/api/v1/ingest/actions", json=body, timeout=30
    )
    assert answer.status_code == 202, answer.text


def test_records_come_once_and_soon_through_death_of_stream_broker_and_database(
    streaming: Product, broker: EmbeddedBroker, lines: dict[str, Line]
) -> None:
    """Quiet; then the stream killed and started, the broker away and back, and the database."""
    followers = [follow(streaming, kind=kind) for kind in (Follower, Listener, Follower, Listener)]
    assert streaming.wait_for(lambda: all(one.connections for one in followers))
    first, delays = followers[0], []
    for _ in range(CALLS):
        called, wanted = time.time(), len(crm_calls(first)) + 1
        streaming.call_crm()
        assert streaming.wait_for(partial(has_at_least, first, wanted))
        delays.append(time.time() - called)
    assert sorted(delays)[CALLS // 2] < SOON_S  # a busy machine may keep some of them waiting
    stream = streaming.programs["stream"]
    stream.stop()
    for _ in range(CALLS):
        streaming.call_crm()
    stream.start()
    assert streaming.wait_for(lambda: all(len(crm_calls(f)) >= 2 * CALLS for f in followers))
    broker.stop()
    for _ in range(CALLS):
        streaming.call_crm()
    broker.start()
    assert streaming.wait_for(lambda: all(len(crm_calls(f)) >= 3 * CALLS for f in followers))
    for line in lines.values():
        line.cut()
    for _ in range(CALLS):
        ingest(streaming)
    time.sleep(AWAY_S)
    for line in lines.values():
        line.mend()
    assert streaming.wait_for(lambda: all(len(crm_calls(f)) >= 4 * CALLS for f in followers))
    listed = streaming.get("/api/v1/logs/actions?order=commit&limit=1000").json()
    expected = [row["id"] for row in listed if row["action_type"] == "crm_create"]
    for follower in followers:
        assert crm_calls(follower) == expected  # in commit order, none missing, none twice
        follower.stop()


def test_a_revoked_key_is_cut_off_within_five_seconds(streaming: Product) -> None:
    """The stream says so, and a new one is not begun."""

    def run(*command: str) -> str:
        argv = [sys.executable, "-m", "flask", "--app", "wsgi", "keys", *command]
        return subprocess.run(
            argv, cwd=ROOT, env=streaming.env, check=True, capture_output=True, text=True
        ).stdout

    made = run("create", "demo", "--name", "viewer", "--scope", "logs:read")
    secret, since = made.split()[-1], f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    issued = requests.post(
        f"{address_of(streaming)}/api/v1/stream/ticket", headers={"X-API-Key": secret}, timeout=10
    )
    followers = [
        follow(streaming, secret, since=since),
        follow(streaming, secret, Listener, since=since),
        follow(streaming, "none", Listener, since=since, ticket=issued.json()["ticket"]),
    ]
    assert streaming.wait_for(lambda: all("Last-Event-ID" in one.headers for one in followers))
    key = next(line.split()[0] for line in run("list", "demo").splitlines() if "viewer" in line)
    run("revoke", key)
    revoked = time.monotonic()
    assert streaming.wait_for(lambda: all(one.ended for one in followers), 10)
    assert time.monotonic() - revoked < 5
    assert [one.connections for one in followers] == [1, 1, 1]
