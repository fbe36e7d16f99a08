"""The worker's consumer: soon back when the broker is."""

from typing import Any

import pytest
from celery.utils.imports import symbol_by_name
from celery.worker.consumer import Consumer
from kombu import Connection
from kombu.exceptions import OperationalError

import celeryconfig
from tasks.consumer import (
    RETRY_MAX_S,
    HonestChannel,
    HonestSentinelChannel,
    PromptConsumer,
)


def test_workers_use_it() -> None:
    """Celery takes it from the settings."""
    assert symbol_by_name(celeryconfig.worker_consumer) is PromptConsumer


def test_its_pauses_stay_short_however_long_the_broker_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Celery's own would grow to half a minute."""
    pauses: list[float] = []
    monkeypatch.setattr(
        Consumer,
        "ensure_connected",
        # As Celery has it, but not for ever.
        lambda _, conn: conn.ensure_connection(
            lambda _, pause: pauses.append(pause), 8, callback=lambda: None
        ),
    )
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    consumer: Any = PromptConsumer.__new__(PromptConsumer)
    with pytest.raises(OperationalError):
        consumer.ensure_connected(Connection("redis://127.0.0.1:1/0"))
    assert len(pauses) >= 8
    assert max(pauses) <= RETRY_MAX_S


def test_a_lost_connection_that_cannot_be_closed_does_not_end_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What kombu does when the broker restarts while messages are unacknowledged."""

    def fail(_: Consumer, exc: Exception) -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'") from exc

    monkeypatch.setattr(Consumer, "on_connection_error_after_connected", fail)
    consumer: Any = PromptConsumer.__new__(PromptConsumer)
    consumer.channel_errors = ()
    consumer.on_connection_error_after_connected(ConnectionError())
    assert consumer.connection is None


@pytest.mark.parametrize(
    ("scheme", "kind"), [("redis", HonestChannel), ("sentinel", HonestSentinelChannel)]
)
def test_a_closed_channel_is_a_lost_broker(scheme: str, kind: type[Any]) -> None:
    """So that a late acknowledgement is an error Celery knows, and does not end the worker."""
    connection = Connection(f"{scheme}://127.0.0.1:1/0")
    assert connection.transport.Channel is kind
    channel: Any = kind.__new__(kind)
    channel.connection = None
    with pytest.raises(connection.connection_errors, match="delivered again"):
        channel._connparams()


def test_it_does_not_make_queues_for_delayed_tasks() -> None:
    """Celery would, 28 of them, where it finds quorum queues."""
    named = [str(step) for step in PromptConsumer.Blueprint.default_steps]
    assert len(named) == len(Consumer.Blueprint.default_steps) - 1
    assert not any("delayed" in step for step in named)
