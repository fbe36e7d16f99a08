"""The Celery app: how a task message is made and sent.

Names of tasks and queues live here, since the app enqueues by name and never imports a task.
"""

from typing import Any

from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

PERSIST_QUEUE = "opsledger.persist"
MAINTENANCE_QUEUE = "opsledger.maintenance"

PERSIST_TASK = "opsledger.persist_shipment"
PARTITIONS_TASK = "opsledger.ensure_partitions"
PRUNE_TASK = "opsledger.prune_shipments"

# An exchange and a key of their own: under a shared key each message would go to both queues.
QUEUES = [
    Queue(name, Exchange(name, type="direct"), routing_key=name)
    for name in (PERSIST_QUEUE, MAINTENANCE_QUEUE)
]

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


def send_shipment(producer: Celery, shipment_id: str, lines: str) -> None:
    """Enqueue one shipment: JSON records, one a line.

    Raises:
        kombu.exceptions.OperationalError: the broker did not take it.
    """
    producer.send_task(
        PERSIST_TASK,
        args=(shipment_id, lines),
        task_id=shipment_id,
        queue=PERSIST_QUEUE,
        retry=False,
        ignore_result=True,
        argsrepr=shipment_id,  # Celery would otherwise spend a third of its time on a repr
        kwargsrepr="",
    )


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
