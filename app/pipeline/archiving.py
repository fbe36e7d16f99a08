"""Archiving: a week that has left the hot window becomes Parquet, verified, and then is dropped.

Each step can be repeated and leaves either the rows or a verified segment of them: a day is
exported to an object of its own name, read back, registered; and a partition goes only when the
register has all its days as they are, which the database itself counts under its lock.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from uuid_utils.compat import uuid7

from ..config import Settings
from ..domain.archive import Segment, TenantDay
from ..domain.records import Kind
from ..domain.secret_values import masked
from ..errors import QueryTimeout, StoreUnavailable, reason_of
from ..store.archive_state import DONE, FAILED, UNFINISHED, note_failure, note_run
from ..store.archives import (
    HotDay,
    HotPartition,
    PartitionBusy,
    copy_day,
    drop_archived,
    forget_day,
    is_unfolded,
    list_archivable,
    list_hot_days,
    purge_batches,
    register,
    sole_runner,
    verified_days,
)
from ..store.objects import Objects
from ..store.places import open_archive
from ..store.session import Database
from ..telemetry import ARCHIVE_RUNS, ARCHIVED, get_logger
from .folding import fold_waiting
from .late import archive_late
from .sweeping import sweep

log = get_logger(__name__)

# Well below the hour after which a broker takes a task for lost and hands it out again.
RUN_S_MAX = 1500.0
ROUNDS_MAX = 5  # of a partition whose rows change while it is exported
DROP_TRIES_MAX = 120
PURGED_MAX = 5000  # batches in one transaction
PAUSE_S_MAX = 5.0  # after a tenant's day, for as long as it took
DROP_PAUSE_S = 0.25  # while others have their turn at the log

CHANGED = "its rows changed"

Progress = Callable[[int], None]  # told how many more records are done


@dataclass(slots=True)
class Report:
    """What a run did.

    Attributes:
        dropped: the partitions that are cold now.
        waiting: those that are old enough and still hot, and why.
        rows: the records of the segments that were made of partitions.
        late: those of segments that were made of late records.
    """

    dropped: list[str]
    waiting: dict[str, str]
    rows: int = 0
    late: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing is left for the next run."""
        return not self.waiting


class Archiver:
    """Archives what is older than the hot window.

    Args:
        database: of the maintenance role.
        hot_days: how long records stay in Postgres.
        clock: tells the present time.
        progress: is told of records that are done.
    """

    def __init__(
        self,
        database: Database,
        objects: Objects,
        *,
        hot_days: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        progress: Progress | None = None,
    ) -> None:
        self._database = database
        self._objects = objects
        self._hot_days = hot_days
        self._clock = clock
        self._progress = progress or (lambda _: None)

    def plan(self) -> list[tuple[HotPartition, list[HotDay]]]:
        """What a run would archive: partitions, and the tenants' days in each."""
        with self._database.unrestricted_unsafe() as session:
            return [
                (partition, list_hot_days(session, partition))
                for partition in list_archivable(session, self._edge())
            ]

    def run(self, *, run_s_max: float = RUN_S_MAX) -> Report | None:
        """Archive every partition that is old enough; None if another runner is at it.

        Safe to die in at any moment: the next run goes on.

        Args:
            run_s_max: after so many seconds no further day is begun.

        Raises:
            StoreUnavailable: Postgres cannot be reached.
            ArchiveDamaged: an object is not what was written.
            StorageFault: the object store did not do its part.
            OSError: a disk did not take a file.
        """
        deadline = time.monotonic() + run_s_max
        with sole_runner(self._database) as alone:
            if not alone:
                return None
            try:
                report = self._run(deadline)
            except Exception as error:
                ARCHIVE_RUNS.labels(FAILED).inc()
                why, said = reason_of(error), masked(str(error))
                log.exception(
                    "archive run failed, nothing was dropped for it", reason=why.value, error=said
                )
                self._note(lambda session: note_failure(session, why, said))
                raise
            outcome = DONE if report.finished else UNFINISHED
            self._note(lambda session: note_run(session, outcome, report.waiting))
        ARCHIVE_RUNS.labels(outcome).inc()
        for partition, reason in report.waiting.items():
            log.warning("something waits to be archived", what=partition, reason=reason)
        return report

    def _note(self, write: Callable[[Any], None]) -> None:
        """Have health and doctor know of the run, unless it is the database that is away."""
        try:
            with self._database.unrestricted_unsafe() as session:
                write(session)
        except (StoreUnavailable, QueryTimeout) as error:
            log.warning("what the run came to is not noted", error=repr(error))

    def _run(self, deadline: float) -> Report:
        for left in self._objects.scratch.iterdir():
            left.unlink()
        report = Report([], {})
        with self._database.unrestricted_unsafe() as session:
            partitions = list_archivable(session, self._edge())
        for partition in partitions:
            reason = self._archive(partition, report, deadline)
            if reason is None:
                report.dropped.append(partition.name)
            else:
                report.waiting[partition.name] = reason
        if report.dropped:
            self._purge_batches()
        report.late, waiting = archive_late(self._database, self._objects, deadline)
        report.waiting |= waiting
        return report

    def _archive(self, partition: HotPartition, report: Report, deadline: float) -> str | None:
        """Archive a partition and drop it; why it could not be dropped yet, if so."""
        for _ in range(ROUNDS_MAX):
            # Rollups are made of rows in part, so they have to be made before these go.
            fold_waiting(self._database, batches=1, age_s=0)
            with self._database.unrestricted_unsafe() as session:
                days = list_hot_days(session, partition)
                if is_unfolded(session, partition):
                    return "not all its batches are folded"
                known = verified_days(session, partition)
            self._tidy(partition, known, {day.of for day in days})
            for day in days:
                if time.monotonic() > deadline:
                    return "the time of this run is up"
                if known.get(day.of) != day:
                    started = time.monotonic()
                    self._archive_day(partition, day)
                    report.rows += day.rows
                    # Ingest has the processors for as long: nobody waits for an archive.
                    time.sleep(min(time.monotonic() - started, PAUSE_S_MAX))
                self._progress(day.rows)
            reason = self._drop(partition, sum(day.rows for day in days))
            if reason is not CHANGED:
                return reason
        return "its rows keep changing"

    def _archive_day(self, partition: HotPartition, day: HotDay) -> None:
        """Export a tenant's day, read it back and register it."""
        # Arrow takes 60 MB: of the many processes that know how to archive, only one does.
        from ..store.segment_file import selected, verify, writing

        segment_id = uuid7()
        path = self._objects.scratch / f"{segment_id}.parquet"
        with writing(path, day.of, day.rows) as writer:
            with self._database.unrestricted_unsafe() as session:
                copy_day(session, day.of, selected(day.of.kind), writer)
            content = writer.close()
        segment = Segment(id=segment_id, of=day.of, content=content)
        self._objects.put(segment.key, path)
        with self._objects.fetched(segment.key) as found:
            verify(found, day.of, content)
        with self._database.unrestricted_unsafe() as session:
            register(session, partition, day, segment)
        sweep(self._database, self._objects, day.of)

    def _tidy(
        self, partition: HotPartition, known: Iterable[TenantDay], hot: set[TenantDay]
    ) -> None:
        """Put in order what a run left behind that was cut short."""
        for of in known:
            if of not in hot:
                with self._database.unrestricted_unsafe() as session:
                    forget_day(session, partition, of)
            sweep(self._database, self._objects, of)

    def _purge_batches(self) -> None:
        """Delete the batches whose rows are all cold, some at a time."""
        for kind in Kind:
            purged = PURGED_MAX
            while purged == PURGED_MAX:
                with self._database.unrestricted_unsafe() as session:
                    purged = purge_batches(session, kind, PURGED_MAX)

    def _drop(self, partition: HotPartition, rows: int) -> str | None:
        for _ in range(DROP_TRIES_MAX):
            try:
                with self._database.unrestricted_unsafe() as session:
                    changed = drop_archived(session, partition)
            except PartitionBusy:
                time.sleep(DROP_PAUSE_S)
                continue
            if changed:
                log.info("days changed since they were exported", days=len(changed))
                return CHANGED
            ARCHIVED.inc(rows)
            log.info("partition archived", partition=partition.name, rows=rows)
            return None
        return "it is in use"

    def _edge(self) -> datetime:
        return self._clock() - timedelta(days=self._hot_days)


def archive(database: Database, settings: Settings) -> None:
    """Archive as the settings say; what is left over is left to the next run."""
    Archiver(database, open_archive(settings), hot_days=settings.hot_days).run()
