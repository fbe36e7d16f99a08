"""An encrypted broker is one whose certificate is known and names its host."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.broker import Broker
from app.worker import Dispatcher
from benchmarks.rabbitmq import RabbitMQ, find_rabbitmq
from benchmarks.valkey import Valkey
from tests.support.tls import TlsDoor, make_certificate

REFUSALS = (RedisError, OperationalError, AMQPError, OSError)
WAIT_S = 2.0
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.1"
without_rabbitmq = pytest.mark.skipif(find_rabbitmq() is None, reason="RabbitMQ is not installed")

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture(scope="module", params=[Valkey, pytest.param(RabbitMQ, marks=without_rabbitmq)])
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Valkey | RabbitMQ]:
    """A broker without TLS of its own."""
    with request.param(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@contextmanager
def encrypted(broker: Valkey | RabbitMQ, certificate: Path) -> Iterator[Broker]:
    """The same behind TLS."""
    door = TlsDoor(certificate, broker.port)
    url = broker.url.replace("://", "s://", 1).replace(f":{broker.port}/", f":{door.port}/")
    yield Broker(url)
    door.close()


def is_refused(broker: Broker) -> bool:
    """Whether neither health nor shipments get through."""
    with pytest.raises(REFUSALS):
        Dispatcher(broker, WAIT_S).send(uuid4(), b"x")
    return not broker.answers(WAIT_S)


def test_a_certificate_of_nobody_is_refused(broker: Valkey | RabbitMQ, tmp_path: Path) -> None:
    """Else anyone in between could read and write records."""
    with encrypted(broker, make_certificate(tmp_path, HERE)) as door:
        assert is_refused(door)


def test_a_known_certificate_is_taken(
    broker: Valkey | RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of SSL_CERT_FILE, for queues and keys."""
    certificate = make_certificate(tmp_path, HERE)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with encrypted(broker, certificate) as door:
        assert door.answers(WAIT_S)
        Dispatcher(door, WAIT_S).send(uuid4(), b"x")


def test_a_certificate_of_another_host_is_refused(
    broker: Valkey | RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known, but it names somebody else."""
    certificate = make_certificate(tmp_path, ELSEWHERE)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with encrypted(broker, certificate) as door:
        assert is_refused(door)
