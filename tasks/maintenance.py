"""Queue opsledger.maintenance: the upkeep that beat calls for, once a period each."""

from datetime import UTC, datetime

from celery import shared_task

from app.pipeline.archiving import archive
from app.pipeline.erasures import run_erasures
from app.pipeline.exporting import run_exports
from app.pipeline.folding import fold_waiting
from app.pipeline.maintenance import ensure_partitions, watch_dead_letters
from app.pipeline.periodic import once_a_period
from app.pipeline.purging import purge
from app.pipeline.restoring import release_due
from app.pipeline.vacuuming import vacuum
from app.worker import (
    ARCHIVE_TASK,
    DEAD_LETTERS_TASK,
    ERASE_TASK,
    EXPORT_TASK,
    FOLD_TASK,
    HEARTBEAT_TASK,
    PARTITIONS_TASK,
    PERIODS_S,
    PRUNE_TASK,
    PURGE_TASK,
    RELEASE_TASK,
)

from .runtime import runtime


@shared_task(name=PARTITIONS_TASK)
def ensure_partitions_ahead() -> None:
    """Make the partitions of the coming weeks."""
    database, weeks = runtime().maintenance_database, runtime().settings.partitions_ahead_weeks
    once_a_period(
        database,
        PARTITIONS_TASK,
        PERIODS_S[PARTITIONS_TASK],
        lambda: ensure_partitions(database, now=datetime.now(UTC), weeks_ahead=weeks),
    )


@shared_task(name=PRUNE_TASK)
def prune() -> None:
    """Remove what besides records is past its time."""
    database, settings = runtime().maintenance_database, runtime().settings
    period_s = PERIODS_S[PRUNE_TASK]
    once_a_period(database, PRUNE_TASK, period_s, lambda: vacuum(database, settings))


@shared_task(name=DEAD_LETTERS_TASK)
def look_for_dead_letters() -> None:
    """Remind of dead letters until they are retried or dropped."""
    database, period_s = runtime().maintenance_database, PERIODS_S[DEAD_LETTERS_TASK]
    once_a_period(database, DEAD_LETTERS_TASK, period_s, lambda: watch_dead_letters(database))


@shared_task(name=HEARTBEAT_TASK)
def heartbeat() -> None:
    """Show that beat lives: the note that this ran is all there is to it."""
    once_a_period(
        runtime().maintenance_database,
        HEARTBEAT_TASK,
        runtime().settings.heartbeat_s,
        lambda: None,
    )


@shared_task(name=FOLD_TASK)
def fold_summaries() -> None:
    """Add the summaries that wait to the rollups."""
    database = runtime().maintenance_database
    once_a_period(database, FOLD_TASK, PERIODS_S[FOLD_TASK], lambda: fold_waiting(database))


@shared_task(name=ARCHIVE_TASK)
def archive_old_partitions() -> None:
    """Move what has left the hot window to the archive."""
    database, settings = runtime().maintenance_database, runtime().settings
    period_s = PERIODS_S[ARCHIVE_TASK]
    once_a_period(database, ARCHIVE_TASK, period_s, lambda: archive(database, settings))


@shared_task(name=RELEASE_TASK)
def release_restored_records() -> None:
    """Let go of restored records whose time is over."""
    database, settings = runtime().maintenance_database, runtime().settings
    period_s = PERIODS_S[RELEASE_TASK]
    once_a_period(database, RELEASE_TASK, period_s, lambda: release_due(database, settings))


@shared_task(name=EXPORT_TASK)
def make_exports() -> None:
    """Make the exports that tenants asked for, and remove what is kept no longer."""
    database, settings = runtime().maintenance_database, runtime().settings
    period_s = PERIODS_S[EXPORT_TASK]
    once_a_period(database, EXPORT_TASK, period_s, lambda: run_exports(database, settings))


@shared_task(name=PURGE_TASK)
def purge_records() -> None:
    """Remove the records whose retention has ended."""
    database, settings = runtime().maintenance_database, runtime().settings
    period_s = PERIODS_S[PURGE_TASK]
    once_a_period(database, PURGE_TASK, period_s, lambda: purge(database, settings))


@shared_task(name=ERASE_TASK)
def erase_persons() -> None:
    """Preview the erasures that were asked for, carry out those that were confirmed."""
    database, settings = runtime().maintenance_database, runtime().settings
    persister, period_s = runtime().persister, PERIODS_S[ERASE_TASK]
    once_a_period(
        database, ERASE_TASK, period_s, lambda: run_erasures(database, settings, persister)
    )
