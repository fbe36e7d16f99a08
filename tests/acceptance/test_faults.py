"""What dies costs no record and no answer: every call made is on record once."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from app.dev import EmbeddedBroker
from app.dev.broker import connect
from app.store.session import Database
from benchmarks.chaos.link import linked
from tests.support.product import Product

CALLS = 100
SLOTS = 4  # tasks that the Procfile's worker has in hand at most
REFUSES_S = 4.0  # a worker asks for tasks every second
SLOW_S = 0.2


@pytest.fixture(scope="module")
def its_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """The broker of the product that most tests here share."""
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def running(
    make_product_environment: Callable[..., dict[str, str]],
    its_broker: EmbeddedBroker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Product]:
    """Web and worker."""
    folder = tmp_path_factory.mktemp("product")
    env = make_product_environment("opsledger_faults", {"REDIS_URL": its_broker.url}, folder)
    with Product(env, folder, ("web", "worker")) as product:
        yield product


@pytest.fixture
def product(running: Product, its_broker: EmbeddedBroker) -> Product:
    """The same, with everything running."""
    its_broker.start()
    for program in running.programs.values():
        if program.poll() is not None:
            program.start()
    assert running.wait_for(running.answers)
    return running


def test_calls_are_answered_and_recorded_while_the_broker_is_stopped(
    product: Product, its_broker: EmbeddedBroker
) -> None:
    """Valkey stopped, 100 calls, Valkey back: all 100 records, once each."""
    before = len(product.recorded())
    product.call_crm()
    its_broker.stop()
    for _ in range(CALLS):
        product.call_crm()
    assert product.get("/health/ready").json()["status"] == "degraded"
    its_broker.start()
    assert product.all_arrive(before + CALLS + 1)


def test_calls_are_answered_and_recorded_while_the_broker_hangs(
    product: Product, its_broker: EmbeddedBroker
) -> None:
    """A frozen broker takes connections and never answers."""
    before = len(product.recorded())
    product.call_crm()
    os.kill(its_broker.pid or 0, signal.SIGSTOP)
    try:
        slowest = max(product.call_crm() for _ in range(CALLS))
    finally:
        os.kill(its_broker.pid or 0, signal.SIGCONT)
    assert slowest < 5_000  # far below what a publish inside the request would wait
    assert product.all_arrive(before + CALLS + 1)


def test_a_broker_that_takes_nothing_ends_no_worker(
    product: Product, its_broker: EmbeddedBroker
) -> None:
    """Valkey full, or a master without its replicas: it answers, with an error."""
    before = len(product.recorded())
    client = connect(its_broker.url)
    client.config_set("min-replicas-to-write", 1)
    worker = product.programs["worker"].process
    assert worker is not None
    for _ in range(CALLS):
        product.call_crm()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(REFUSES_S)
    client.config_set("min-replicas-to-write", 0)
    assert product.all_arrive(before + CALLS)


def test_a_slow_broker_makes_no_request_wait(
    product_environment: dict[str, str], broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """One that takes 200 ms longer for everything; what that costs, `make bench` tells (outage)."""
    ill: list[float] = []
    with linked(lambda: broker.port) as link:
        url = broker.url.replace(f":{broker.port}/", f":{link.port}/")
        env = {**product_environment, "REDIS_URL": url}
        with Product(env, tmp_path, ("web", "worker")) as product:
            for _ in range(10):
                product.call_crm()
            for _ in range(4):
                link.slow(SLOW_S)
                assert seconds_of_a_ping(url) >= SLOW_S
                ill += [product.call_crm() for _ in range(CALLS)]
                link.heal()
            assert product.all_arrive(10 + 4 * CALLS)
    # Who waits for the broker waits at least as long as its delay.
    assert sum(time >= SLOW_S * 1000 for time in ill) <= len(ill) // 100


def test_a_worker_goes_on_after_none_of_its_acknowledgements_arrived(
    product_environment: dict[str, str], broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Cut off while it has all in hand that it may, it is done with them before it is back."""
    client, calls = connect(broker.url), 0
    with linked(lambda: broker.port) as link:
        url = broker.url.replace(f":{broker.port}/", f":{link.port}/")
        env = {**product_environment, "REDIS_URL": url}
        with Product(env, tmp_path, ("web", "worker")) as product:
            owner = Database.connect(env["OWNER_DATABASE_URL"])
            with owner.unrestricted_unsafe() as session:
                session.execute(text("LOCK TABLE log_batches IN ACCESS EXCLUSIVE MODE"))
                while client.zcard("unacked_index") < SLOTS:
                    product.call_crm()
                    calls += 1
                    assert calls <= CALLS
                    time.sleep(0.1)
                link.cut()
            owner.close()
            log_path = product.programs["worker"].log_path
            assert product.wait_for(lambda: log_path.read_text().count("Couldn't ack") >= SLOTS)
            link.heal()
            for _ in range(10):
                product.call_crm()
            assert product.all_arrive(calls + 10)


def seconds_of_a_ping(url: str) -> float:
    """How long the broker takes to answer over a connection that stands."""
    with connect(url) as client:
        client.ping()
        started = time.monotonic()
        client.ping()
        return time.monotonic() - started


def test_an_emptied_broker_loses_no_record(product: Product, its_broker: EmbeddedBroker) -> None:
    """FLUSHALL while shipments wait at the broker, since no worker runs."""
    before = len(product.recorded())
    product.programs["worker"].stop()
    for _ in range(CALLS):
        product.call_crm()
    client = connect(its_broker.url)
    assert product.wait_for(lambda: client.llen("opsledger.persist") > 0)
    client.flushall()
    product.programs["worker"].start()
    assert product.all_arrive(before + CALLS)


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_killed_program_loses_no_record(product: Product, name: str) -> None:
    """SIGKILL of gunicorn with its workers, or of the Celery worker, right after the calls."""
    before = len(product.recorded())
    for _ in range(CALLS):
        product.call_crm()
    kill_tree(product, name)
    product.programs[name].start()
    assert product.wait_for(product.answers)
    assert product.all_arrive(before + CALLS)


def test_a_killed_web_worker_leaves_its_records_to_others(product: Product) -> None:
    """Only one of gunicorn's processes dies; its spool file is adopted."""
    before = len(product.recorded())
    for _ in range(CALLS):
        product.call_crm()
    for child in children_of(product, "web"):
        child.kill()
    assert product.wait_for(product.answers)
    assert product.all_arrive(before + CALLS)


def test_the_spool_is_empty_once_all_arrived(product: Product) -> None:
    """Postgres has it, so the disk need not."""
    before = len(product.recorded())
    for _ in range(CALLS):
        product.call_crm()
    assert product.all_arrive(before + CALLS)
    spool = Path(product.env["OPSLEDGER_DATA_DIR"]) / "spool"
    assert product.wait_for(lambda: sum(p.stat().st_size for p in spool.iterdir()) == 0)


def children_of(product: Product, name: str) -> list[psutil.Process]:
    """The processes below a program's first one."""
    process = product.programs[name].process
    assert process is not None
    return psutil.Process(process.pid).children(recursive=True)


def kill_tree(product: Product, name: str) -> None:
    """SIGKILL a program and everything below it, at once."""
    process = product.programs[name].process
    assert process is not None
    for child in [*children_of(product, name), psutil.Process(process.pid)]:
        child.kill()
    process.wait(timeout=10)
