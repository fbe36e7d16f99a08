"""RabbitMQ that dies, freezes or loses everything: nothing is lost or doubled, no call waits."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from amqp.exceptions import AMQPError, NotFound, PreconditionFailed
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from app.broker import Broker
from app.rabbitmq import SHIPMENT_TYPE
from app.worker import PERSIST_QUEUE, Dispatcher, queues
from benchmarks.rabbitmq import RabbitMQ, find_rabbitmq
from tests.support.product import Product

CALLS = 50
SLOWEST_MS = 5_000  # far below what a publish inside the request would wait
PUBLISH_S = 0.25
# RabbitMQ forgets a queue that was declared in the last second before it was killed.
QUEUE_AGE_S = 3.0
HEARTBEATS_S = 40.0  # after two missed ones of 10 s, what a frozen worker holds is taken back

pytestmark = pytest.mark.skipif(
    find_rabbitmq() is None, reason="RabbitMQ is not installed: no rabbitmq-server with its epmd"
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ of these tests alone."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture(scope="module")
def running(
    broker: RabbitMQ,
    make_product_environment: Callable[..., dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Product]:
    """Web and worker on it; Valkey, they are told, is where nobody listens."""
    folder = tmp_path_factory.mktemp("product")
    urls = {"OPSLEDGER_BROKER_URL": broker.url, "REDIS_URL": "redis://127.0.0.1:1/0"}
    env = make_product_environment("opsledger_rabbitmq", urls, folder)
    with Product(env, folder, ("web", "worker")) as product:
        product.call_crm()
        assert product.all_arrive(1)
        time.sleep(QUEUE_AGE_S)
        yield product


@pytest.fixture
def product(running: Product, broker: RabbitMQ) -> Iterator[Product]:
    """The same, with everything running."""
    broker.start()
    if running.programs["worker"].poll() is not None:
        running.programs["worker"].start()
    yield running
    if broker.pid:
        os.kill(broker.pid, signal.SIGCONT)


@pytest.fixture
def quiet(product: Product, broker: RabbitMQ) -> RabbitMQ:
    """The broker with nothing in its queue and nobody who takes from it."""
    product.programs["worker"].stop()
    with Connection(broker.url) as link:
        link.default_channel.queue_purge(PERSIST_QUEUE)
    return broker


def test_records_arrive_and_health_knows_the_broker(product: Product) -> None:
    """Bytes in the message, no other place for them."""
    before = len(product.recorded())
    for _ in range(CALLS):
        product.call_crm()
    assert product.all_arrive(before + CALLS)
    assert product.get("/health/ready").json()["checks"]["broker"] == "ok"


@pytest.mark.parametrize("end", [RabbitMQ.kill, RabbitMQ.stop])
def test_a_broker_that_is_away_costs_no_record(
    product: Product, broker: RabbitMQ, end: Callable[[RabbitMQ], None]
) -> None:
    """Shipments wait in its queue when it ends, and calls go on while it is away."""
    before = len(product.recorded())
    product.programs["worker"].stop()
    for _ in range(CALLS):
        product.call_crm()
    assert product.wait_for(lambda: broker.waiting() > 0)
    end(broker)
    assert max(product.call_crm() for _ in range(CALLS)) < SLOWEST_MS
    assert product.get("/health/ready").json()["checks"]["broker"] == "away"
    product.programs["worker"].start()  # finds nobody, and waits
    broker.start()
    assert product.all_arrive(before + 2 * CALLS)


def test_a_frozen_broker_costs_no_record(product: Product, broker: RabbitMQ) -> None:
    """It takes connections and never answers."""
    before = len(product.recorded())
    os.kill(broker.pid or 0, signal.SIGSTOP)
    assert max(product.call_crm() for _ in range(CALLS)) < SLOWEST_MS
    assert product.get("/health/ready").json()["checks"]["broker"] == "away"
    os.kill(broker.pid or 0, signal.SIGCONT)
    assert product.all_arrive(before + CALLS)


def test_a_broker_that_lost_everything_costs_no_record(product: Product, broker: RabbitMQ) -> None:
    """The queue is deleted while shipments wait in it: unconfirmed, they are sent again."""
    before = len(product.recorded())
    product.programs["worker"].stop()
    for _ in range(CALLS):
        product.call_crm()
    assert product.wait_for(lambda: broker.waiting() > 0)
    with Connection(broker.url) as link:
        link.default_channel.queue_delete(PERSIST_QUEUE)
    for _ in range(CALLS):
        product.call_crm()
    product.programs["worker"].start()
    assert product.all_arrive(before + 2 * CALLS)


def test_a_frozen_worker_doubles_nothing(product: Product) -> None:
    """Another worker has its shipments meanwhile, and it goes on with them when it wakes up."""
    before = len(product.recorded())
    frozen = product.programs["worker"].process
    assert frozen is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        for _ in range(CALLS):
            product.call_crm()
        other = product.start_another("worker")
        try:
            assert product.all_arrive(before + CALLS)
        finally:
            other.stop()
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    product.call_crm()
    assert product.all_arrive(before + CALLS + 1)


def test_what_a_frozen_worker_holds_is_given_back(product: Product, broker: RabbitMQ) -> None:
    """It misses its heartbeats; RabbitMQ itself would wait for half an hour."""
    frozen = product.programs["worker"].process
    assert frozen is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        Dispatcher(Broker(broker.url), 2.0).send(uuid4(), b"no record")
        assert product.wait_for(lambda: broker.waiting() == 0)
        assert product.wait_for(lambda: broker.waiting() == 1, HEARTBEATS_S)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    assert product.wait_for(lambda: broker.waiting() == 0)


def test_what_no_queue_takes_is_an_error(quiet: RabbitMQ) -> None:
    """RabbitMQ confirms it like any other."""
    dispatcher = Dispatcher(Broker(quiet.url), 2.0)
    dispatcher.send(uuid4(), b"first")
    with Connection(quiet.url) as link:
        link.default_channel.queue_delete(PERSIST_QUEUE)
    with pytest.raises(AMQPError, match="NO_ROUTE"):
        dispatcher.send(uuid4(), b"second")
    dispatcher.send(uuid4(), b"third")  # the queue is declared anew
    assert quiet.waiting() == 1


def test_a_publish_waits_no_longer_than_it_may(quiet: RabbitMQ) -> None:
    """Connected or not, to a broker that hangs; and goes on when it does not hang any more."""
    connected, fresh = (Dispatcher(Broker(quiet.url), PUBLISH_S) for _ in range(2))
    connected.send(uuid4(), b"x")
    os.kill(quiet.pid or 0, signal.SIGSTOP)
    try:
        for dispatcher in (connected, fresh, connected):
            started = time.monotonic()
            with pytest.raises(OperationalError):
                dispatcher.send(uuid4(), b"x")
            assert time.monotonic() - started < 2 * PUBLISH_S
    finally:
        os.kill(quiet.pid or 0, signal.SIGCONT)
    Dispatcher(Broker(quiet.url), 5.0).send(uuid4(), b"x")


def test_a_node_that_is_away_is_passed_over(quiet: RabbitMQ) -> None:
    """One that refuses, and one that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nodes = ["amqp://127.0.0.1:1//", f"amqp://127.0.0.1:{silent.getsockname()[1]}//", quiet.url]
        broker = Broker(";".join(nodes))
        assert broker.answers(PUBLISH_S)
        Dispatcher(broker, PUBLISH_S).send(uuid4(), b"x")
    assert quiet.waiting() == 1


def test_a_shipment_is_sent_as_it_is(quiet: RabbitMQ) -> None:
    """Neither JSON nor base64: its id and its bytes, in a message that a restart does not lose."""
    shipment_id, body = uuid4(), bytes(range(256)) * 4_000
    Dispatcher(Broker(quiet.url), 2.0).send(shipment_id, body)
    with Connection(quiet.url) as link:
        message = link.default_channel.basic_get(PERSIST_QUEUE)
    assert message.properties["content_type"] == SHIPMENT_TYPE
    assert message.properties["delivery_mode"] == 2
    assert message.body == shipment_id.bytes + body


def test_its_queues_are_of_the_kind_that_is_replicated(quiet: RabbitMQ) -> None:
    """RabbitMQ takes no other declaration for them any more; and there are no others."""
    with Connection(quiet.url) as link:
        for queue in queues(Broker(quiet.url)):
            queue(link.default_channel).declare()
        with pytest.raises(PreconditionFailed, match="x-queue-type"):
            Queue(PERSIST_QUEUE, durable=True)(link.default_channel).declare()
        with pytest.raises(NotFound):
            link.channel().queue_declare("celery_delayed_0", passive=True)
