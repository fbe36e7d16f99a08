"""The Celery app: how a task message is made and sent.

Names of tasks and queues live here, since the app enqueues by name and never imports a task.
"""

from contextlib import suppress
from typing import Any, cast
from uuid import UUID, uuid4

import redis
from celery import Celery
from kombu import Exchange, Queue

from .broker import Broker
from .rabbitmq import SHIPMENT_SERIALIZER, ConfirmedLink

PERSIST_QUEUE = "opsledger.persist"
MAINTENANCE_QUEUE = "opsledger.maintenance"

PERSIST_TASK = "opsledger.persist_shipment"
PARTITIONS_TASK = "opsledger.ensure_partitions"
PRUNE_TASK = "opsledger.prune_shipments"
FOLD_TASK = "opsledger.fold_summaries"
DEAD_LETTERS_TASK = "opsledger.watch_dead_letters"
ARCHIVE_TASK = "opsledger.archive"
RELEASE_TASK = "opsledger.release_restored"
EXPORT_TASK = "opsledger.export"
PURGE_TASK = "opsledger.purge"
ERASE_TASK = "opsledger.erase"
HEARTBEAT_TASK = "opsledger.heartbeat"
ALERTS_TASK = "opsledger.evaluate_alerts"
MESSAGES_TASK = "opsledger.deliver_messages"
FORWARD_WATCH_TASK = "opsledger.watch_forwarding"

# How often beat asks for each, in seconds; the heartbeat's period is a setting.
PERIODS_S = {
    PARTITIONS_TASK: 3600.0,
    PRUNE_TASK: 3600.0,
    DEAD_LETTERS_TASK: 60.0,
    FOLD_TASK: 1.0,
    ALERTS_TASK: 15.0,
    MESSAGES_TASK: 5.0,
    FORWARD_WATCH_TASK: 15.0,
    ARCHIVE_TASK: 3600.0,
    RELEASE_TASK: 3600.0,
    EXPORT_TASK: 2.0,
    PURGE_TASK: 900.0,
    ERASE_TASK: 10.0,
}

EPOCH_KEY = "opsledger:epoch"
PARCEL_SECONDS = 3600  # far longer than a spool waits before it sends again


def queues(broker: Broker) -> list[Queue]:
    """The queues as they are declared at a broker."""
    # An exchange and a key of their own: under a shared key each message would go to both queues.
    return [
        Queue(
            name,
            Exchange(name, type="direct"),
            routing_key=name,
            queue_arguments=broker.queue_arguments,
        )
        for name in (PERSIST_QUEUE, MAINTENANCE_QUEUE)
    ]


def create_producer(broker: Broker, timeout_s: float) -> Celery:
    """A Celery app that only sends: a dead or frozen broker costs a publish at most `timeout_s`."""
    producer = Celery("opsledger", broker=broker.url, set_as_current=False)
    producer.conf.update(
        task_queues=queues(broker),
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_publish_retry=False,
        broker_transport_options=broker.transport_options(timeout_s),
        broker_connection_timeout=timeout_s,
        broker_use_ssl=broker.tls,
        broker_heartbeat=0,  # nobody would send it while there is nothing to ship
    )
    return producer


class Parcels:
    """Where the bytes of shipments wait: in a key of their own at Redis, so that the message
    carries an id alone; a message is encoded several times on its way, a key is not.

    RabbitMQ gets them inside the message.
    """

    def __init__(self, broker: Broker, timeout_s: float) -> None:
        self._redis = broker.open_store(timeout_s)

    def put(self, shipment_id: UUID, body: bytes) -> tuple[bytes | None, bytes | None]:
        """Leave a shipment's bytes; returns what the message has to carry, and the broker's epoch.

        A new epoch tells that the broker lost what it held.

        Raises:
            redis.RedisError: it did not take them.
        """
        if self._redis is None:
            return body, None
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(EPOCH_KEY, uuid4().hex, nx=True)
            pipe.get(EPOCH_KEY)
            pipe.set(_parcel_key(shipment_id), body, ex=PARCEL_SECONDS)
            _, epoch, _ = pipe.execute()
        return None, epoch

    def get(self, shipment_id: UUID) -> bytes | None:
        """A shipment's bytes; None if they are gone, and then its spool sends them again.

        Raises:
            redis.RedisError: the broker is away.
        """
        found = self._redis.get(_parcel_key(shipment_id)) if self._redis else None
        return cast("bytes | None", found)

    def drop(self, shipment_id: UUID) -> None:
        """Forget a shipment that Postgres holds; if the broker is away, time does it."""
        if self._redis is not None:
            with suppress(redis.RedisError):
                self._redis.delete(_parcel_key(shipment_id))


class Dispatcher:
    """Sends shipments to the broker."""

    def __init__(self, broker: Broker, timeout_s: float) -> None:
        self._producer = create_producer(broker, timeout_s)
        self._parcels = Parcels(broker, timeout_s)
        self._link = ConfirmedLink(self._producer, timeout_s) if broker.is_rabbitmq else None

    def send(self, shipment_id: UUID, body: bytes) -> bytes | None:
        """Enqueue one shipment; returns the broker's epoch, if it has one.

        Raises:
            redis.RedisError: the broker did not take it.
            kombu.exceptions.OperationalError: likewise.
            OSError: likewise, RabbitMQ.
            amqp.AMQPError: likewise, RabbitMQ.
        """
        carried, epoch = self._parcels.put(shipment_id, body)
        if self._link is None:
            self._send(shipment_id, carried)
        else:
            with self._link.producer() as producer:
                # Mandatory: RabbitMQ also confirms what no queue took.
                options = {"serializer": SHIPMENT_SERIALIZER, "mandatory": True}
                self._send(shipment_id, carried, producer=producer, **options)
        return epoch

    def _send(self, shipment_id: UUID, carried: bytes | None, **options: Any) -> None:
        self._producer.send_task(
            PERSIST_TASK,
            args=(str(shipment_id), carried),
            task_id=str(shipment_id),
            queue=PERSIST_QUEUE,
            retry=False,
            ignore_result=True,
            argsrepr=str(shipment_id),  # Celery would spend a third of its time on a repr
            kwargsrepr="",
            **options,
        )


def _parcel_key(shipment_id: UUID) -> str:
    return f"opsledger:shipment:{shipment_id}"
