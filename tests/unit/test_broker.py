"""What each kind of broker needs, told from its URL alone."""

import socket
import ssl
import time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import OperationalError
from kombu.serialization import dumps, loads
from redis.exceptions import RedisError

from app.broker import Broker, broker_of
from app.config import load_settings
from app.rabbitmq import NO_OPTIONS, SHIPMENT_SERIALIZER, SHIPMENT_TYPE
from app.worker import Dispatcher, Parcels, create_producer, queues

WAIT_S = 0.2
SLOW_S = 1.0
VALKEY = "redis://h/0"
SENTINELS = "sentinel://:secret@a:1/2;sentinel://:secret@b:2/2"
SHIPMENT = UUID(int=1)
RABBITMQ = "amqp://u:p@a//;amqp://u:p@b//"


def test_rabbitmq_is_the_broker_where_it_is_given_a_url() -> None:
    """REDIS_URL has a default, so it cannot say that there is no Valkey."""
    assert broker_of(load_settings({"REDIS_URL": VALKEY})) == Broker(VALKEY, "mymaster")
    given_both = {"REDIS_URL": VALKEY, "OPSLEDGER_BROKER_URL": RABBITMQ}
    assert broker_of(load_settings(given_both)).url == RABBITMQ


@pytest.mark.parametrize(
    ("url", "scheme", "is_rabbitmq"),
    [(VALKEY, "redis", False), (SENTINELS, "sentinel", False), (RABBITMQ, "amqp", True)],
)
def test_the_url_tells_the_kind(url: str, scheme: str, is_rabbitmq: bool) -> None:
    """And with it, how its queues are declared."""
    broker = Broker(url, "m")
    assert (broker.scheme, broker.is_rabbitmq) == (scheme, is_rabbitmq)
    kinds = {(queue.queue_arguments or {}).get("x-queue-type") for queue in queues(broker)}
    assert kinds == {"quorum" if is_rabbitmq else None}


def test_rabbitmq_has_no_place_for_bytes_but_the_message() -> None:
    """So they are handed to the message, and there is no epoch."""
    parcels = Parcels(Broker(RABBITMQ), 1.0)
    assert parcels.put(SHIPMENT, b"bytes") == (b"bytes", None)
    assert parcels.get(SHIPMENT) is None
    parcels.drop(SHIPMENT)


def test_sentinels_lead_queues_and_keys_to_the_same_place() -> None:
    """Master, password and number, whoever asks; and the Sentinels have a password of their own."""
    broker = Broker(SENTINELS, "ops", "own")
    store: Any = broker.open_store(0.5)
    pool = store.connection_pool
    assert (pool.service_name, pool.is_master) == ("ops", True)
    asked = [client.connection_pool.connection_kwargs for client in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in asked] == [("a", 1), ("b", 2)]
    for options in asked:
        assert options["password"] == "own"
        assert options["socket_timeout"] == options["socket_connect_timeout"] == 0.5
    kept = pool.connection_kwargs
    assert (kept["password"], kept["db"], kept["socket_timeout"]) == ("secret", 2, 0.5)
    options = create_producer(broker, 0.5).conf.broker_transport_options
    assert options["master_name"] == "ops"
    assert options["sentinel_kwargs"]["password"] == "own"
    assert options["sentinel_kwargs"]["socket_timeout"] == 0.5


@pytest.mark.parametrize("url", ["rediss://h/0", "amqps://h//"])
def test_an_encrypted_connection_is_verified(url: str) -> None:
    """Left alone, kombu takes any certificate of Valkey, and any name of RabbitMQ."""
    producer = create_producer(Broker(url), 1.0)
    with producer.connection_for_write() as link:
        options = link.ssl
    assert options.get("ssl_cert_reqs", options.get("cert_reqs")) is ssl.CERT_REQUIRED
    assert options.get("ssl_check_hostname") or "server_hostname" in options
    store = Broker("rediss://h/0").open_store(1.0)
    assert store is not None
    assert store.connection_pool.make_connection().cert_reqs is ssl.CERT_REQUIRED


@pytest.mark.parametrize("scheme", ["redis", "sentinel", "amqp"])
@pytest.mark.parametrize("listens", [False, True], ids=["closed", "silent"])
def test_where_nobody_answers_nothing_waits_long(scheme: str, listens: bool) -> None:
    """Neither health nor a shipment; left alone, the library asks every Sentinel eleven times."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if listens else 1
        servers = [f"{scheme}://127.0.0.1:{port}/0"] * (1 if scheme == "redis" else 2)
        broker = Broker(";".join(servers), "m")
        dispatcher = Dispatcher(broker, WAIT_S)
        started = time.monotonic()
        assert not broker.answers(WAIT_S)
        # Two tries of each server, and a slow machine.
        assert time.monotonic() - started < 2 * len(servers) * WAIT_S + SLOW_S
        started = time.monotonic()
        with pytest.raises((RedisError, OperationalError)):
            dispatcher.send(SHIPMENT, b"x")
        assert time.monotonic() - started < len(servers) * WAIT_S + SLOW_S


@given(shipment_id=st.uuids(), body=st.binary())
def test_a_shipment_comes_out_of_its_message_as_it_went_in(shipment_id: Any, body: bytes) -> None:
    """Any bytes, as Celery's three parts of a message."""
    sent = ((str(shipment_id), body), {}, NO_OPTIONS)
    content_type, encoding, data = dumps(sent, serializer=SHIPMENT_SERIALIZER)
    assert (content_type, encoding) == (SHIPMENT_TYPE, "binary")
    assert data == shipment_id.bytes + body
    assert loads(data, content_type, encoding, accept=[SHIPMENT_TYPE]) == sent
