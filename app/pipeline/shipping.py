"""Puts a shipper together: this host's spool, the broker's producer, the database's receipts."""

from collections.abc import Callable
from uuid import UUID

from ..broker import broker_of
from ..config import Settings
from ..spool import Spool
from ..store.batches import confirmed_shipments
from ..store.session import Database
from ..worker import Dispatcher
from .shipper import Shipper


def open_spool(settings: Settings) -> Spool:
    """This process's door to the spool folder of the settings."""
    return Spool(
        settings.spool_dir,
        bytes_max=settings.spool_bytes_max,
        reserve_bytes=settings.spool_reserve_bytes,
        segment_bytes_max=settings.segment_bytes_max,
        fsync=settings.spool_fsync,
    )


def open_shipper(
    spool: Spool, database: Database, settings: Settings, learn: Callable[[], None] = lambda: None
) -> Shipper:
    """A shipper that is not yet running.

    Args:
        learn: called now and then to refresh what capture knows of the platform.
    """
    dispatcher = Dispatcher(broker_of(settings), settings.broker_timeout_s)

    def publish(shipment_id: UUID, payloads: tuple[bytes, ...]) -> bytes | None:
        return dispatcher.send(shipment_id, b"\n".join(payloads))

    def confirmed(shipment_ids: list[UUID]) -> set[UUID]:
        with database.unrestricted_unsafe() as session:
            return confirmed_shipments(session, shipment_ids)

    return Shipper(spool, publish=publish, confirmed=confirmed, learn=learn, settings=settings)
