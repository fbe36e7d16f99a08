"""The worker's consumer: Celery's own, but it outlives the broker and is back when that is.

Celery lets its pauses between two tries grow to half a minute, and has no setting for it; and its
worker ends by an AttributeError if a lost connection cannot be closed. An acknowledgement that does
not arrive takes one of its slots for good. Where it finds quorum queues, it makes 28 more of them
for tasks that are to run later, of which we have none.
"""

import time
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer
from kombu.transport import virtual
from kombu.transport.redis import Channel, QoS, SentinelChannel, SentinelTransport, Transport
from redis.exceptions import ConnectionError as BrokerLost

from app.rabbitmq import limit_waits
from app.telemetry import get_logger

RETRY_FIRST_S = 0.5
RETRY_STEP_S = 0.5
RETRY_MAX_S = 2.0
WAIT_S_MAX = 5.0  # for an answer of RabbitMQ, beside the waiting for tasks

log = get_logger(__name__)


class ReleasingQoS(QoS):
    """Counts a message as done with, whether or not the broker could be told.

    Kombu's own counts it as in hand for ever if it was not told, and a worker with as many of them
    as it may have in hand takes no task any more. The broker delivers such a message again.
    """

    def ack(self, delivery_tag: str) -> None:
        """Tell the broker that a message is done with."""
        try:
            super().ack(delivery_tag)
        finally:
            self._release(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Tell the broker that a message is not done with."""
        try:
            super().reject(delivery_tag, requeue=requeue)
        finally:
            self._release(delivery_tag)

    def _release(self, delivery_tag: str) -> None:
        virtual.QoS.ack(self, delivery_tag)


class _Honest:
    """A channel that says that it is closed.

    A task that ends after the broker was lost acknowledges on the channel it came by. Kombu's own
    raises AttributeError there, which nobody expects and which ends the worker.
    """

    connection: Any

    def _connparams(self, *args: Any, **options: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise BrokerLost("this channel was closed, its message is delivered again")
        return super()._connparams(*args, **options)  # type: ignore[misc]


class HonestChannel(_Honest, Channel):
    """To Valkey or Redis."""

    QoS = ReleasingQoS


class HonestSentinelChannel(_Honest, SentinelChannel):
    """To the master that Sentinels name."""

    QoS = ReleasingQoS


Transport.Channel = HonestChannel
SentinelTransport.Channel = HonestSentinelChannel


class PromptConsumer(Consumer):
    """Takes tasks, and reconnects after short pauses."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]
        """Celery's steps, but none for delayed tasks."""

        default_steps = tuple(
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        )

    channel_errors: tuple[type[Exception], ...]

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=RETRY_FIRST_S,
            interval_step=RETRY_STEP_S,
            interval_max=RETRY_MAX_S,
        )
        connected = super().ensure_connected(conn)
        if connected.transport.driver_type == "amqp":
            limit_waits(connected, WAIT_S_MAX)
        return connected

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a lost connection; what it held unacknowledged is delivered again."""
        if isinstance(exc, self.channel_errors):  # a broker that answers so can be reached at once
            time.sleep(RETRY_MAX_S)
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # kombu restores messages through what is closed already
            log.warning("lost connection not closed cleanly", error=repr(error))
        self.connection = None
