"""Upkeep that beat calls for: partitions ahead, dead letters told of."""

from datetime import datetime

from ..store.dead_letters import count_letters, list_letters
from ..store.partitions import Partitions
from ..store.session import Database
from ..telemetry import get_logger

log = get_logger(__name__)


def ensure_partitions(database: Database, *, now: datetime, weeks_ahead: int) -> list[str]:
    """Make this week's partitions and those of the weeks ahead; returns their names."""
    return Partitions(database).ensure_ahead(now, weeks_ahead)


def watch_dead_letters(database: Database) -> int:
    """Say in the log, as an error, that dead letters wait for somebody; returns how many do."""
    with database.unrestricted_unsafe() as session:
        count, newest = count_letters(session), list_letters(session, 1)
    if newest:
        log.error("dead letters wait", letters=count, newest=newest[0].id, reason=newest[0].reason)
    return count
