"""A broker behind Sentinels whose master dies or freezes: another takes its place, and nothing is
lost or doubled.
"""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from app.broker import broker_of
from app.config import load_settings
from app.worker import PERSIST_QUEUE
from tests.support.product import Product
from tests.support.sentinel import SentinelGroup

CALLS = 50
SLOWEST_MS = 5_000  # far below what a publish inside the request would wait


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    """Master, replica and Sentinels."""
    with SentinelGroup(tmp_path_factory.mktemp("group")) as group:
        yield group


@pytest.fixture(scope="module")
def product(
    group: SentinelGroup,
    make_product_environment: Callable[..., dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Product]:
    """Web and worker that know the Sentinels alone."""
    folder = tmp_path_factory.mktemp("product")
    env = make_product_environment("opsledger_sentinel", group.env, folder)
    with Product(env, folder, ("web", "worker")) as product:
        yield product


def test_records_arrive_and_health_knows_the_master(product: Product) -> None:
    """Queues, keys and the health check find the master through the Sentinels."""
    before = len(product.recorded())
    for _ in range(CALLS):
        product.call_crm()
    assert product.all_arrive(before + CALLS)
    assert product.get("/health/ready").json()["checks"]["broker"] == "ok"


def test_a_frozen_master_costs_no_record(product: Product, group: SentinelGroup) -> None:
    """It takes connections and never answers, until it wakes up and is not the master any more."""
    before = len(product.recorded())
    master = group.master()
    os.kill(master.pid or 0, signal.SIGSTOP)
    try:
        slowest = max(product.call_crm() for _ in range(CALLS))
        assert slowest < SLOWEST_MS
        group.wait_until_master_is_not(master)
        assert product.all_arrive(before + CALLS)  # while the old one is frozen
    finally:
        os.kill(master.pid or 0, signal.SIGCONT)
    for _ in range(CALLS):
        product.call_crm()
    assert product.all_arrive(before + 2 * CALLS)


def test_a_killed_master_costs_no_record(product: Product, group: SentinelGroup) -> None:
    """Shipments wait at the master when it dies, and calls go on until another is master."""
    before = len(product.recorded())
    group.wait_until_settled()
    master = group.master()
    product.programs["worker"].stop()
    for _ in range(CALLS):
        product.call_crm()
    store = broker_of(load_settings(product.env)).open_store(1.0)
    assert store is not None
    assert product.wait_for(lambda: store.llen(PERSIST_QUEUE) > 0)
    master.kill()
    slowest = max(product.call_crm() for _ in range(CALLS))
    assert slowest < SLOWEST_MS
    product.programs["worker"].start()
    group.wait_until_master_is_not(master)
    assert product.all_arrive(before + 2 * CALLS)
