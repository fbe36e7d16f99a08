"""How the pipeline stands by the database: counts and ages, of all tenants together."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from .archive_state import ArchiveState, read_archive_state
from .models import TaskRunRow
from .partitions import WEEK, week_named

STATE = text("SELECT * FROM pipeline_state()")


@dataclass(frozen=True, slots=True)
class PipelineState:
    """Counts stop at 10,000; ages are in seconds, by the database's clock.

    Args:
        fold_lag_s: the age of the oldest batch that waits to be folded; 0 if none does.
        partitions_until: the end of the last week for which both logs have a partition.
        task_age_s: how long ago each periodic task was last done.
        archive: what the archive's last run came to; None if it never ran.
    """

    dead_letters: int
    late_records: int
    fold_lag_s: float
    partitions_until: datetime | None
    task_age_s: dict[str, float]
    archive: ArchiveState | None


def read_state(session: Session) -> PipelineState:
    """How things stand; a role that sees no tenant may ask."""
    found = session.execute(STATE).one()
    age = text("extract(epoch FROM clock_timestamp() - finished_at)")
    runs = session.execute(select(TaskRunRow.name, age))
    lasts = (found.last_action_partition, found.last_audit_partition)
    weeks = [week_named(name) for name in lasts if name]
    return PipelineState(
        dead_letters=found.dead_letters,
        late_records=found.late_records,
        fold_lag_s=max(0.0, float(found.fold_lag_s)),
        partitions_until=min(weeks) + WEEK if len(weeks) == len(lasts) else None,
        task_age_s={name: max(0.0, float(seconds)) for name, seconds in runs},
        archive=read_archive_state(session),
    )
