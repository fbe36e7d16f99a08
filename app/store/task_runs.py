"""The runs of periodic tasks: who may run now, and when one ran last.

A run holds the lock of its task in an open transaction, so a worker that dies frees it. All times
are the database's, since the clocks of hosts differ.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from .models import TaskRunRow

# The lock and the look at the last run are two statements: one statement would see the table as it
# was before the lock was free. Nothing is written before the work is done, so that a long run holds
# no vacuum back; the operator's bound on idle transactions is not for a transaction that waits.
LOCK = """
    SELECT pg_try_advisory_xact_lock(hashtextextended('task ' || :name, 0)),
           set_config('idle_in_transaction_session_timeout', '0', true)
"""
RAN_SINCE = """
    SELECT EXISTS (
        SELECT FROM task_runs
        WHERE name = :name AND started_at > now() - make_interval(secs => :seconds)
    )
"""
STAMP = """
    INSERT INTO task_runs (name, started_at, finished_at, runs)
    VALUES (:name, now(), clock_timestamp(), 1)
    ON CONFLICT (name) DO UPDATE SET
        started_at = excluded.started_at, finished_at = excluded.finished_at,
        runs = task_runs.runs + 1
"""


@dataclass(frozen=True, slots=True)
class LastRun:
    """When a task was last done, in UTC, and how many seconds ago."""

    finished_at: datetime
    age_s: float


def may_run(session: Session, name: str, *, not_within_s: float) -> bool:
    """Take the task's lock to the end of the transaction; False if another has it, or if the task
    started less than `not_within_s` seconds ago.
    """
    if not session.execute(text(LOCK), {"name": name}).one()[0]:
        return False
    values = {"name": name, "seconds": not_within_s}
    return not session.execute(text(RAN_SINCE), values).scalar_one()


def stamp(session: Session, name: str) -> None:
    """Note that the task, whose lock this transaction has, is done."""
    session.execute(text(STAMP), {"name": name})


def last_run(session: Session, name: str) -> LastRun | None:
    """When a task was last done; None if never."""
    age = func.extract("epoch", func.clock_timestamp() - TaskRunRow.finished_at)
    statement = select(TaskRunRow.finished_at, age).where(TaskRunRow.name == name)
    row = session.execute(statement).first()
    return None if row is None else LastRun(row[0], max(0.0, float(row[1])))
