"""What RabbitMQ alone needs: quorum queues, shipments as raw bytes, and a link over which every
message is confirmed within a set time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

from celery import Celery
from kombu import Connection, Producer
from kombu.serialization import register

# A message that many deliveries did not get done is dropped, and its spool sends it again at its
# own, growing pace: so a shipment that kills its workers does not do so without pause. As many as
# RabbitMQ 4 has by default; 3 has no limit by default, and both take the same declaration.
QUEUE_ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 20}

SHIPMENT_SERIALIZER = "opsledger-shipment"
SHIPMENT_TYPE = "application/x-opsledger-shipment"
ID_BYTES = 16
NO_OPTIONS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def encode_arguments(message: Any) -> bytes:
    """The arguments of a persist task as its id and the bytes of the shipment, as they are."""
    (shipment_id, body), *_ = message
    return UUID(shipment_id).bytes + bytes(body)


def decode_arguments(data: bytes) -> tuple[tuple[str, bytes], dict[str, Any], dict[str, None]]:
    """Arguments, keyword arguments and options, as Celery expects them in a message."""
    content = bytes(data)
    arguments = (str(UUID(bytes=content[:ID_BYTES])), content[ID_BYTES:])
    return arguments, {}, NO_OPTIONS


register(
    SHIPMENT_SERIALIZER,
    cast("Any", encode_arguments),  # its stubs know of text alone
    cast("Any", decode_arguments),
    SHIPMENT_TYPE,
    "binary",
)


class ConfirmedLink:
    """One connection for sending, on which no step waits longer than `timeout_s` seconds.

    Celery's own pool gives no bound to what waits for an answer, and takes an answer that comes
    too late for that to the next message; so after any failure this connection is made anew.
    """

    def __init__(self, app: Celery, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s
        self._link: Connection | None = None
        self._made_in = 0

    @contextmanager
    def producer(self) -> Iterator[Producer]:
        """A producer, connected.

        Raises:
            kombu.exceptions.OperationalError: no node can be reached.
        """
        if self._made_in != os.getpid():  # after a fork the connection is the parent's
            self._link, self._made_in = None, os.getpid()
        try:
            yield Producer(self._connected())
        except BaseException:
            self._give_up()
            raise

    def _connected(self) -> Connection:
        if self._link is None or not self._link.connected:
            self._give_up()
            self._link = self._app.connection_for_write()
            connect(self._link, self._timeout_s)
        return self._link

    def _give_up(self) -> None:
        if self._link is not None:
            self._link.collect()
            self._link = None


def connect(link: Connection, timeout_s: float) -> None:
    """Connect to the first node that answers, with a bound to every wait from now on.

    Raises:
        kombu.exceptions.OperationalError: none does.
    """
    link.ensure_connection(max_retries=max(0, len(link.alt) - 1), interval_start=0)
    limit_waits(link, timeout_s)


def limit_waits(link: Connection, timeout_s: float) -> None:
    """Let whatever waits for this connection fail after so many seconds; the library's own
    read_timeout does not: it goes on reading.
    """
    link.connection.sock.settimeout(timeout_s)
