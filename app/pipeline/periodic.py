"""Periodic work: done once a period, however many beats ask for it; and whether one still asks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..errors import QueryTimeout, StoreUnavailable
from ..store.session import Database
from ..store.task_runs import last_run, may_run, stamp
from ..telemetry import TASK_RUNS, get_logger
from ..worker import HEARTBEAT_TASK

# Of a period: what is asked for again within it comes from a second beat. Above a half, so that two
# beats settle on one run a period whatever lies between their clocks; the rest is for messages that
# come sooner after the one before than they were sent.
SHARE_OF_PERIOD = 0.75
HEARTBEATS_MISSED_MAX = 6  # then beat is called late

OK, LATE, UNSEEN, UNKNOWN = "ok", "late", "never seen", "unknown"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """How beat stands, and when its last heartbeat was noted, in UTC."""

    state: str
    last_seen: datetime | None = None


def once_a_period(
    database: Database, name: str, period_s: float, work: Callable[[], object]
) -> bool:
    """Do a task's work, unless it runs somewhere or already ran in this period; whether it did.

    Work that fails is not noted as a run, so the next message does it again.

    Args:
        database: of the maintenance role.
        period_s: in seconds; how often beat asks.

    Raises:
        StoreUnavailable: the database is away; what was done may be done again.
        Exception: whatever the work raises.
    """
    outcome = "failed"
    try:
        with database.unrestricted_unsafe() as session:
            if not may_run(session, name, not_within_s=period_s * SHARE_OF_PERIOD):
                outcome = "skipped"
                log.debug("task not run, another beat was faster", task=name)
                return False
            work()
            stamp(session, name)
        outcome = "done"
    finally:
        TASK_RUNS.labels(name, outcome).inc()
    return True


def look_at_beat(database: Database, heartbeat_s: float) -> Beat:
    """Whether heartbeats still arrive, each by way of beat, broker, worker and Postgres.

    Args:
        heartbeat_s: their period, in seconds.
    """
    try:
        with database.unrestricted_unsafe() as session:
            found = last_run(session, HEARTBEAT_TASK)
    except (StoreUnavailable, QueryTimeout):
        return Beat(UNKNOWN)
    if found is None:
        return Beat(UNSEEN)
    late = found.age_s > heartbeat_s * HEARTBEATS_MISSED_MAX
    return Beat(LATE if late else OK, found.finished_at)
