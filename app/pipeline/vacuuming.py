"""Vacuuming: what besides records has its time goes, some at once, each by its own setting."""

import time

from ..config import Settings
from ..store.session import Database
from ..store.vacuum import THINGS, remove_past, steps_of
from ..telemetry import VACUUMED

ROWS_MAX = 5000  # of one transaction
RUN_S_MAX = 120.0


def vacuum(
    database: Database, settings: Settings, *, run_s_max: float = RUN_S_MAX
) -> dict[str, int]:
    """Remove what is past its time; what is left over is left to the next run.

    Args:
        database: of the maintenance role.
        run_s_max: after so many seconds no further transaction is begun.

    Returns:
        How many rows of each thing went.
    """
    deadline = time.monotonic() + run_s_max
    removed = dict.fromkeys(THINGS, 0)
    for thing, days in days_of(settings).items():
        for step in range(steps_of(thing) if days else 0):
            gone = ROWS_MAX
            while gone == ROWS_MAX and time.monotonic() < deadline:
                with database.unrestricted_unsafe() as session:
                    gone = remove_past(session, thing, step, days=days, limit=ROWS_MAX)
                removed[thing] += gone
                VACUUMED.labels(thing).inc(gone)
    return removed


def days_of(settings: Settings) -> dict[str, int]:
    """For how many days each thing is kept; 0 for ever."""
    return {
        "receipts": settings.receipt_days,
        "dead letters": settings.dead_letter_days,
        "exports": settings.export_days,
        "alerts": settings.alert_days,
        "messages": settings.message_days,
        "sandbox": settings.sandbox_days,
    }
