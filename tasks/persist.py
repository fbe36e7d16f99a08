"""Queue opsledger.persist: shipments become rows."""

import random
import time
from uuid import UUID

from celery import shared_task
from celery.exceptions import Reject

from app.telemetry import get_logger
from app.worker import PERSIST_TASK

from .runtime import runtime

RETRY_PAUSE_S = 2.0  # before a shipment goes back to the queue; it is never dropped

log = get_logger(__name__)


@shared_task(name=PERSIST_TASK)
def persist_shipment(shipment_id: str, carried: bytes | None) -> None:
    """Commit one shipment; whatever goes wrong, it is delivered again."""
    try:
        _persist(UUID(shipment_id), carried)
    except Exception as error:
        log.warning("shipment goes back to the queue", shipment=shipment_id, error=repr(error))
        time.sleep(RETRY_PAUSE_S * random.uniform(0.5, 1.0))  # noqa: S311  # nosec B311
        raise Reject(repr(error), requeue=True) from None


def _persist(shipment_id: UUID, carried: bytes | None) -> None:
    parcels = runtime().parcels
    body = parcels.get(shipment_id) if carried is None else carried
    if body is None:
        log.info("shipment came without its bytes; its spool sends it again", id=str(shipment_id))
        return
    runtime().persister.persist(shipment_id, body)
    parcels.drop(shipment_id)
