"""The worker's consumer: soon back when the broker is."""

from typing import Any

import pytest
from celery.utils.imports import symbol_by_name
from celery.worker.consumer import Consumer
from kombu import Connection
from kombu.exceptions import OperationalError

import celeryconfig
from tasks.consumer import RETRY_MAX_S, PromptConsumer


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
