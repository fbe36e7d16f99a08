"""The Celery app: how a task message is made and sent.

Names of tasks and queues live here, since the app enqueues by name and never imports a task.
"""

from contextlib import suppress
from typing import Any, cast
from uuid import UUID, uuid4

import redis
from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

PERSIST_QUEUE = "opsledger.persist"
MAINTENANCE_QUEUE = "opsledger.maintenance"

PERSIST_TASK = "opsledger.persist_shipment"
PARTITIONS_TASK = "opsledger.ensure_partitions"
PRUNE_TASK = "opsledger.prune_shipments"
FOLD_TASK = "opsledger.fold_summaries"
HEARTBEAT_TASK = "opsledger.heartbeat"

# How often beat asks for each, in seconds; the heartbeat's period is a setting.
PERIODS_S = {PARTITIONS_TASK: 3600.0, PRUNE_TASK: 3600.0, FOLD_TASK: 1.0}

# An exchange and a key of their own: under a shared key each message would go to both queues.
QUEUES = [
    Queue(name, Exchange(name, type="direct"), routing_key=name)
    for name in (PERSIST_QUEUE, MAINTENANCE_QUEUE)
]

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
EPOCH_KEY = "opsledger:epoch"
PARCEL_SECONDS = 3600  # far longer than a spool waits before it sends again

VISIBILITY_TIMEOUT_S = 60  # a killed worker's message is delivered again after this


def transport_options(timeout_s: float) -> dict[str, Any]:
    """Options of the Redis transport for a socket that waits at most `timeout_s` seconds."""
    return {
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "max_retries": 0,
    }


def create_producer(broker_url: str, timeout_s: float) -> Celery:
    """A Celery app that only sends: a dead or frozen broker costs a publish at most `timeout_s`."""
    producer = Celery("opsledger", broker=broker_url, set_as_current=False)
    producer.conf.update(
        task_queues=QUEUES,
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_publish_retry=False,
        broker_transport_options=transport_options(timeout_s),
        broker_connection_timeout=timeout_s,
    )
    return producer


class Parcels:
    """Where the bytes of shipments wait: in a key of their own at Redis, so that the message
    carries an id alone; a message is encoded several times on its way, a key is not.

    Other brokers get them inside the message.
    """

    def __init__(self, broker_url: str, timeout_s: float) -> None:
        self._redis: redis.Redis | None = None
        if broker_url.startswith(REDIS_SCHEMES):
            self._redis = redis.Redis.from_url(
                broker_url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                socket_keepalive=True,
                retry=Retry(NoBackoff(), 0),
            )

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

    def __init__(self, broker_url: str, timeout_s: float) -> None:
        self._producer = create_producer(broker_url, timeout_s)
        self._parcels = Parcels(broker_url, timeout_s)

    def send(self, shipment_id: UUID, body: bytes) -> bytes | None:
        """Enqueue one shipment; returns the broker's epoch, if it has one.

        Raises:
            redis.RedisError: the broker did not take it.
            kombu.exceptions.OperationalError: likewise.
        """
        carried, epoch = self._parcels.put(shipment_id, body)
        self._producer.send_task(
            PERSIST_TASK,
            args=(str(shipment_id), carried),
            task_id=str(shipment_id),
            queue=PERSIST_QUEUE,
            retry=False,
            ignore_result=True,
            argsrepr=str(shipment_id),  # Celery would spend a third of its time on a repr
            kwargsrepr="",
        )
        return epoch


def _parcel_key(shipment_id: UUID) -> str:
    return f"opsledger:shipment:{shipment_id}"


def broker_answers(broker_url: str, timeout_s: float = 1.0) -> bool:
    """Whether the broker can be reached within `timeout_s` seconds."""
    options = transport_options(timeout_s)
    with Connection(broker_url, transport_options=options, connect_timeout=timeout_s) as link:
        try:
            # Not the default interval: two seconds of sleep are too long for a health check.
            link.ensure_connection(max_retries=1, interval_start=0)
            link.default_channel  # noqa: B018 - opening a channel speaks with the broker
        except (OperationalError, *link.connection_errors, *link.channel_errors):  # type: ignore[misc]
            return False
    return True
