"""The receiving end of hosts that have no broker: hands their shipments to ours and knows which are
confirmed, each under an id that is its sender's own.
"""

import threading
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid5

import redis
from amqp import AMQPError
from kombu.exceptions import OperationalError

from ..broker import broker_of
from ..config import Settings
from ..errors import BrokerAway
from ..store.batches import confirmed_shipments
from ..store.session import Database
from ..telemetry import get_logger
from ..worker import Dispatcher

log = get_logger(__name__)


class Relay:
    """Takes shipments from other hosts.

    Args:
        database: the web role's, which may read receipts.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._dispatcher = Dispatcher(broker_of(settings), settings.broker_timeout_s)
        self._lock = threading.Lock()  # the dispatcher is for one thread at a time

    def hand_on(self, sender: UUID, shipment_id: UUID, lines: Sequence[bytes]) -> str | None:
        """Enqueue a shipment; returns the broker's epoch, if it has one.

        Args:
            sender: the tenant of the key; no other's shipments have the same ids.

        Raises:
            BrokerAway: it was not enqueued.
        """
        try:
            with self._lock:
                epoch = self._dispatcher.send(uuid5(sender, str(shipment_id)), b"\n".join(lines))
        except (redis.RedisError, OperationalError, AMQPError, OSError) as error:
            log.warning("shipment of another host not enqueued", error=repr(error))
            raise BrokerAway from error
        return None if epoch is None else epoch.decode()

    def confirmed(self, sender: UUID, shipment_ids: Iterable[UUID]) -> list[UUID]:
        """Which of the sender's shipments Postgres holds.

        Raises:
            StoreUnavailable: Postgres cannot be reached.
        """
        own = {uuid5(sender, str(each)): each for each in shipment_ids}
        if not own:
            return []
        with self._database.unrestricted_unsafe() as session:
            return [own[found] for found in confirmed_shipments(session, list(own))]
