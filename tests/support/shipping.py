"""A broker, a worker and a database as the shipper sees them, with faults to switch on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from app.errors import StoreUnavailable
from app.pipeline.shipper import Shipper
from app.spool import Spool

Open = Callable[..., Shipper]


@dataclass
class Backend:
    """A broker with a worker and a database behind it, and faults to switch on."""

    broker_down: bool = False
    database_down: bool = False
    broker_loses: int = 0  # so many shipments vanish in the broker
    refused: bytes | None = None  # the broker never takes a shipment with this record
    published: list[UUID] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    receipts: set[UUID] = field(default_factory=set)
    asked: list[list[UUID]] = field(default_factory=list)
    learned: int = 0

    def publish(self, shipment_id: UUID, payloads: tuple[bytes, ...]) -> None:
        """Take a shipment; the worker persists it at once, each only once."""
        if self.broker_down or self.refused in payloads:
            raise ConnectionError("no broker")
        self.published.append(shipment_id)
        if self.broker_loses > 0:
            self.broker_loses -= 1
        elif shipment_id not in self.receipts:
            self.receipts.add(shipment_id)
            self.rows += payloads

    def confirmed(self, shipment_ids: list[UUID]) -> set[UUID]:
        """Which shipments are persisted."""
        if self.database_down:
            raise StoreUnavailable
        self.asked.append(shipment_ids)
        return self.receipts & set(shipment_ids)

    def learn(self) -> None:
        """Count how often the platform is asked."""
        if self.database_down:
            raise StoreUnavailable
        self.learned += 1


def fill(spool: Spool, count: int, start: int = 0) -> list[bytes]:
    """Append records that can be told apart."""
    payloads = [b"record %d" % number for number in range(start, start + count)]
    for payload in payloads:
        spool.append(payload)
    return payloads
