"""Upkeep that beat calls for: partitions ahead of time, old receipts removed."""

from datetime import datetime

from ..store.batches import prune_shipments
from ..store.partitions import Partitions
from ..store.session import Database

RECEIPT_HOURS = 24 * 7  # far longer than a spool waits before it ships a record again


def ensure_partitions(database: Database, *, now: datetime, weeks_ahead: int) -> list[str]:
    """Make this week's partitions and those of the weeks ahead; returns their names."""
    return Partitions(database).ensure_ahead(now, weeks_ahead)


def prune_receipts(database: Database) -> int:
    """Delete receipts older than a week; returns how many."""
    with database.unrestricted_unsafe() as session:
        return prune_shipments(session, older_than_hours=RECEIPT_HOURS)
