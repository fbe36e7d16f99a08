"""An incident in which everything else dies too: its alert is raised once, and told once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.dev import EmbeddedBroker, EmbeddedPostgres
from app.dev.server import free_port
from tests.support.product import Product, migrated_environment
from tests.support.receiver import HERE, receiving
from tests.support.watching import FAILURES

FAILURE = {
    "action_type": "email_send",
    "provider_name": "gmail",
    "status": "failure",
    "execution_time_ms": 5,
}
DATABASE = "opsledger_incident"
TOLD_S = 60.0  # a message that was not taken is tried again after 10 s, then after 20


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own, to be killed."""
    with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        postgres.ensure_database(DATABASE)
        yield postgres


@pytest.fixture
def product(
    postgres: EmbeddedPostgres, broker: EmbeddedBroker, tmp_path: Path
) -> Iterator[Product]:
    """All of the product on them."""
    folder = tmp_path / "product"
    folder.mkdir()
    env = migrated_environment(postgres.urls(DATABASE), {"REDIS_URL": broker.url}, folder)
    env["OPSLEDGER_PRIVATE_DESTINATIONS"] = HERE[0]
    with Product(env, folder, ("web", "worker", "beat")) as product:
        yield product


def post(product: Product, path: str, body: Any) -> None:
    url = f"http://127.0.0.1:{product.port}/api/v1{path}"
    answer = product.session.post(url, json=body, timeout=30)
    assert answer.ok, answer.text


def alerts(product: Product) -> list[dict[str, Any]]:
    """What the API shows, nothing while it cannot."""
    answer = product.get("/api/v1/alerts")
    return list(answer.json()) if answer.ok else []


def deliveries(product: Product) -> list[dict[str, Any]]:
    """The messages, nothing while they cannot be shown."""
    answer = product.get("/api/v1/alerts/deliveries")
    return list(answer.json()) if answer.ok else []


def test_no_alert_is_lost_or_doubled_whatever_is_killed_in_its_midst(
    product: Product, postgres: EmbeddedPostgres, broker: EmbeddedBroker
) -> None:
    """The broker before it is raised; the database and the worker before it is told, while the
    receiver is away.
    """
    port = free_port()
    hook = {"name": "hook", "kind": "webhook", "target": f"http://127.0.0.1:{port}/hook"}
    post(product, "/alerts/channels", hook)

    broker.kill()
    post(product, "/ingest/actions", [FAILURE] * 11)
    broker.start()

    def tried() -> bool:
        return any(one["attempts"] for one in deliveries(product))

    assert product.wait_for(tried, 60), "nobody tried to tell of it"
    (raised,) = alerts(product)

    postgres.kill()
    worker = product.programs["worker"].process
    assert worker is not None
    worker.kill()
    postgres.start()
    product.programs["worker"].start()

    with receiving(port) as receiver:
        assert product.wait_for(lambda: bool(receiver.got), TOLD_S), "it was never told"

        def sent() -> bool:
            return [one["state"] for one in deliveries(product)] == ["sent"]

        assert product.wait_for(sent), deliveries(product)
        ((headers, body),) = receiver.got
    (alert,) = alerts(product)
    assert (alert["id"], alert["rule_name"], alert["value"]) == (raised["id"], FAILURES, 11)
    shown = product.get(f"/api/v1/alerts/{alert['id']}").json()
    assert [one["event"] for one in shown["events"]] == ["fired"]
    (message,) = deliveries(product)
    assert headers["webhook-id"] == message["id"]
    assert [one["id"] for one in json.loads(body)["alerts"]] == [alert["id"]]
