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
def persist_shipment(shipment_id: str, lines: str) -> None:
    """Commit one shipment; whatever goes wrong, it is delivered again."""
    try:
        runtime().persister.persist(UUID(shipment_id), lines)
    except Exception as error:
        log.warning("shipment goes back to the queue", shipment=shipment_id, error=repr(error))
        time.sleep(RETRY_PAUSE_S * random.uniform(0.5, 1.0))  # noqa: S311
        raise Reject(repr(error), requeue=True) from None
