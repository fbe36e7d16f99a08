"""The worker's consumer: Celery's own, but it outlives the broker and is back when that is.

Celery lets its pauses between two tries grow to half a minute, and has no setting for it; and its
worker ends by an AttributeError if a lost connection cannot be closed.
"""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer
from kombu.transport.redis import Channel, Transport
from redis.exceptions import ConnectionError as BrokerLost

from app.telemetry import get_logger

RETRY_FIRST_S = 0.5
RETRY_STEP_S = 0.5
RETRY_MAX_S = 2.0

log = get_logger(__name__)


class HonestChannel(Channel):
    """A channel that says that it is closed.

    A task that ends after the broker was lost acknowledges on the channel it came by. Kombu's own
    raises AttributeError there, which nobody expects and which ends the worker.
    """

    def _connparams(self, *args: Any, **options: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise BrokerLost("this channel was closed, its message is delivered again")
        return super()._connparams(*args, **options)  # type: ignore[misc]


Transport.Channel = HonestChannel


class PromptConsumer(Consumer):
    """Takes tasks, and reconnects after short pauses."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=RETRY_FIRST_S,
            interval_step=RETRY_STEP_S,
            interval_max=RETRY_MAX_S,
        )
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a lost connection; what it held unacknowledged is delivered again."""
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # kombu restores messages through what is closed already
            log.warning("lost connection not closed cleanly", error=repr(error))
        self.connection = None
