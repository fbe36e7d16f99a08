"""Queue opsledger.maintenance: the upkeep that beat calls for."""

from datetime import UTC, datetime

from celery import shared_task

from app.pipeline.maintenance import ensure_partitions, prune_receipts
from app.worker import FOLD_TASK, PARTITIONS_TASK, PRUNE_TASK

from .runtime import runtime


@shared_task(name=PARTITIONS_TASK)
def ensure_partitions_ahead() -> None:
    """Make the partitions of the coming weeks."""
    ensure_partitions(
        runtime().maintenance_database,
        now=datetime.now(UTC),
        weeks_ahead=runtime().settings.partitions_ahead_weeks,
    )


@shared_task(name=PRUNE_TASK)
def prune_shipments() -> None:
    """Delete receipts that no spool can still ask for."""
    prune_receipts(runtime().maintenance_database)


@shared_task(name=FOLD_TASK)
def fold_summaries() -> None:
    """Add the summaries that wait to the rollups."""
    runtime().folder.run()
