"""From a call of the API to the receiver's door: web, worker and beat as processes."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import Product
from tests.support.receiver import Receiver, receiving
from tests.support.watching import FAILURES

WITHIN_S = 30.0
FAILURE = {
    "action_type": "email_send",
    "provider_name": "gmail",
    "status": "failure",
    "execution_time_ms": 5,
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def product(product_environment: dict[str, str], tmp_path: Path) -> Iterator[Product]:
    """All of it."""
    env = {**product_environment, "OPSLEDGER_PRIVATE_DESTINATIONS": "127.0.0.0/8"}
    with Product(env, tmp_path, ("web", "worker", "beat")) as product:
        yield product


def post(product: Product, path: str, body: Any) -> Any:
    url = f"http://127.0.0.1:{product.port}/api/v1{path}"
    answer = product.session.post(url, json=body, timeout=30)
    assert answer.ok, answer.text
    return answer.json()


def test_trouble_reaches_the_receiver_within_30_seconds_and_once(
    product: Product, receiver: Receiver
) -> None:
    """Ten failures are none; the eleventh is told."""
    post(product, "/alerts/channels", {"name": "h", "kind": "webhook", "target": receiver.url})
    post(product, "/ingest/actions", [FAILURE] * 10)

    def evaluated() -> float:
        shown = product.get("/metrics").text
        (age,) = [
            float(line.split()[-1])
            for line in shown.splitlines()
            if line.startswith('opsledger_task_age_seconds{task="opsledger.evaluate_alerts"}')
        ] or [1e9]
        return age

    arrived = "/api/v1/logs/actions?status=failure"
    assert product.wait_for(lambda: len(product.get(arrived).json()) == 10)
    since = time.monotonic()
    assert product.wait_for(lambda: evaluated() + 5.5 < time.monotonic() - since, 40)
    assert product.get("/api/v1/alerts").json() == []
    started = time.monotonic()
    post(product, "/ingest/actions", [FAILURE])
    assert product.wait_for(lambda: bool(receiver.got), WITHIN_S), "not told in time"
    seconds = time.monotonic() - started
    assert seconds < WITHIN_S
    (alert,) = product.get("/api/v1/alerts").json()
    assert (alert["rule_name"], alert["state"], alert["value"]) == (FAILURES, "firing", 11)
    ((_, body),) = receiver.got
    assert json.loads(body)["alerts"][0]["id"] == alert["id"]
