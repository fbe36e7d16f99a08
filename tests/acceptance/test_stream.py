"""The stream process of the Procfile: every record once and soon, whatever is cut off."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from os import killpg
from pathlib import Path
from signal import SIGKILL
from typing import Self

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
RATE, PER_REQUEST = 200, 10  # records a second, and in each request to ingest
AWAY_S = 10.0  # how long the broker is, and then the database
RESTARTED_S = 2.0  # until the stream's process is there again
DRAINED_S = 60.0
READERS, CROWDED_S = 300, 4.0
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


class Load:
    """Records at a steady rate while the with-block runs, and their ids; web puts them on the disk
    of its host, which needs nothing else.
    """

    def __init__(self, product: Product) -> None:
        self.ids: list[str] = []
        self.rate = 0.0
        self._url = f"http://127.0.0.1:{product.port}/api/v1/ingest/actions"
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._sent = self._pool.submit(self._send)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._sent.result()

    def _send(self) -> None:
        record = {"action_type": "crm_create", "provider_name": "elsewhere", "status": "success"}
        body = [{**record, "execution_time_ms": 1}] * PER_REQUEST
        session, started = requests.Session(), time.monotonic()
        session.headers["X-API-Key"] = KEY
        while not self._over.is_set():
            answer = session.post(self._url, json=body, timeout=30)
            assert answer.status_code == 202, answer.text
            self.ids += answer.json()["ids"]
            due = started + len(self.ids) / RATE
            time.sleep(max(0.0, due - time.monotonic()))
        self.rate = len(self.ids) / (time.monotonic() - started)


def test_records_come_once_and_soon_through_death_of_stream_broker_and_database(
    streaming: Product, broker: EmbeddedBroker, lines: dict[str, Line]
) -> None:
    """Quiet; then at 200 records/s the stream killed, the broker away, and the database."""
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
    with Load(streaming) as load:
        assert streaming.wait_for(lambda: len(load.ids) >= RATE)
        assert stream.process
        killpg(stream.process.pid, SIGKILL)
        time.sleep(RESTARTED_S)
        stream.start()
        assert streaming.wait_for(lambda: all(one.connections >= 2 for one in followers))
        broker.stop()
        time.sleep(AWAY_S)
        broker.start()
        seen = max(len(one.records) for one in followers)
        assert streaming.wait_for(lambda: all(len(one.records) > seen for one in followers))
        for line in lines.values():
            line.cut()
        time.sleep(AWAY_S)
        for line in lines.values():
            line.mend()
    assert load.rate > RATE / 2  # by far less on a busy machine only
    total = CALLS + len(load.ids)
    assert streaming.wait_for(lambda: all(len(crm_calls(f)) >= total for f in followers), DRAINED_S)
    expected = committed(streaming)
    assert len(expected) == len(set(expected)) == total
    assert set(load.ids) <= set(expected)
    for follower in followers:
        assert crm_calls(follower) == expected  # in commit order, none missing, none twice
        follower.stop()


def committed(product: Product) -> list[str]:
    """The calls on record in commit order, page by page."""
    path, found = "/api/v1/logs/actions?order=commit&limit=1000", []
    while True:
        answer = product.get(path)
        found += [row["id"] for row in answer.json() if row["action_type"] == "crm_create"]
        if answer.headers["X-Tail-End"] == "true":
            return found
        path = answer.links["next"]["url"].partition(str(product.port))[2]


def test_three_hundred_readers_of_both_kinds_get_every_record_once(streaming: Product) -> None:
    """Half of them by WebSocket, of one process, which answers for all of them with one look."""
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    url = f"{address_of(streaming)}/api/v1/logs/stream?provider_name=elsewhere&since={since}"
    argv = [sys.executable, "-m", "benchmarks.readers", url, KEY, str(READERS), "1"]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as readers:
        assert readers.stdout is not None
        readers.stdout.readline()
        with Load(streaming) as load:
            time.sleep(CROWDED_S)
        follower = follow(streaming, since=since, provider_name="elsewhere")
        assert streaming.wait_for(lambda: len(follower.records) >= len(load.ids))
        follower.stop()
        time.sleep(SOON_S)  # they are told together, but read by one process
        told, _ = readers.communicate()
    assert json.loads(told)["records"] == [len(load.ids)] * READERS


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
