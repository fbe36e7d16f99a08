"""Purging: records go at the end of their tenant's retention, hot ones some thousand at a time,
archived ones by the day. What a legal hold covers stays.

Each step is one transaction, which also takes the records from what rollups say: so statistics are
those of the records that are left, at every moment. Whatever dies in between, the next run goes on.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..config import Settings
from ..domain.archive import Segment
from ..domain.grains import BEGINNING, END, Grain
from ..domain.holds import Hold, HoldScope, is_held
from ..domain.records import Kind
from ..errors import ArchiveDamaged, ArchiveUnavailable
from ..store.archives import list_cold, sole_runner
from ..store.cold import ColdStore
from ..store.cold_log import ColdLog
from ..store.fold import fold
from ..store.holds import holds_in_force
from ..store.objects import Objects
from ..store.places import open_archive
from ..store.purge import (
    FOR_RETENTION,
    NotEnded,
    NotFolded,
    Retention,
    count_past,
    list_retentions,
    next_stretch,
    purge_segment,
    purge_stretch,
)
from ..store.recount import UserCell
from ..store.session import Database
from ..telemetry import PURGE_RUNS, PURGED, get_logger
from .restoring import let_go
from .rewriting import delete_left, read_segment, rewrite

log = get_logger(__name__)

ROWS_MAX = 5000  # of one transaction: some tenths of a second
RUN_S_MAX = 600.0
COLD_S_MAX = 60.0  # one query of the archive
FOLD_TRIES_MAX = 5

TIME_IS_UP = "the time of this run is up"


@dataclass(slots=True)
class PurgeReport:
    """What a run did.

    Attributes:
        hot, cold: how many records went, of partitions and of the archive.
        held: how many stayed because of legal holds, by tenant's log; those that a hold of the
            whole tenant keeps are not counted in the archive.
        waiting: what has to wait for the next run, and why.
    """

    hot: int = 0
    cold: int = 0
    held: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What of one tenant's log is past its retention: hot records, and archived ones."""

    of: Retention
    edge: datetime
    hot: int
    cold: int


class Purger:
    """Purges what is past its retention.

    Args:
        database: of the maintenance role.
        clock: tells the present time; the database goes by its own, too.
    """

    def __init__(
        self,
        database: Database,
        objects: Objects,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._cold = ColdStore(objects, timeout_s=COLD_S_MAX)

    def plan(self) -> list[Plan]:
        """What a run would look at, holds aside."""
        found = []
        with self._database.unrestricted_unsafe() as session:
            for of in list_retentions(session):
                edge = of.edge(self._clock())
                past = list_cold(session, of.tenant_id, of.kind, None, edge)
                cold = sum(segment.content.row_count for segment in past)
                found.append(Plan(of, edge, count_past(session, of, edge), cold))
        return found

    def run(self, *, run_s_max: float = RUN_S_MAX) -> PurgeReport | None:
        """Purge what may be purged; None if somebody else works on the archive.

        Args:
            run_s_max: after so many seconds no further step is begun.

        Raises:
            StoreUnavailable: Postgres cannot be reached.
        """
        deadline = time.monotonic() + run_s_max
        with sole_runner(self._database) as alone:
            if not alone:
                return None
            try:
                report = self._run(deadline)
            except Exception as error:
                PURGE_RUNS.labels("failed").inc()
                log.exception("purge failed, the next one goes on", error=repr(error))
                raise
        PURGE_RUNS.labels("unfinished" if report.waiting else "done").inc()
        for what, reason in report.waiting.items():
            log.warning("something waits to be purged", what=what, reason=reason)
        return report

    def _run(self, deadline: float) -> PurgeReport:
        report = PurgeReport()
        delete_left(self._database, self._objects)
        with self._database.unrestricted_unsafe() as session:
            retentions = list_retentions(session)
        for of in retentions:
            edge = of.edge(self._clock())
            let_go(self._database, self._objects, of.tenant_id, until=edge)
            self._purge_hot(of, edge, report, deadline)
            self._purge_cold(of, edge, report, deadline)
        return report

    def _purge_hot(
        self, of: Retention, edge: datetime, report: PurgeReport, deadline: float
    ) -> None:
        low: datetime | None = None
        while True:
            with self._database.unrestricted_unsafe() as session:
                stretch = next_stretch(session, of, low, edge, ROWS_MAX)
            if stretch is None:
                break
            if time.monotonic() > deadline:
                report.waiting[_named(of)] = TIME_IS_UP
                return
            try:
                purged = self._purge_stretch(of, *stretch)
            except NotEnded:  # it was made longer meanwhile; the next run goes by that
                return
            except (NotFolded, ArchiveUnavailable, ArchiveDamaged) as error:
                report.waiting[_named(of)] = str(error) or "not all of it is folded"
                return
            PURGED.labels("hot").inc(purged)
            report.hot += purged
            low = stretch[1]
        if low is not None:
            with self._database.unrestricted_unsafe() as session:
                _add_held(report, of, count_past(session, of, edge))

    def _purge_stretch(self, of: Retention, low: datetime, high: datetime) -> int:
        for _ in range(FOLD_TRIES_MAX):
            try:
                with self._database.unrestricted_unsafe() as session:
                    return purge_stretch(session, of, low, high, self._cold)
            except NotFolded:
                self._fold(of)
        raise NotFolded

    def _fold(self, of: Retention) -> None:
        folded = True
        while folded:
            with self._database.unrestricted_unsafe() as session:
                folded = fold(session, of.tenant_id) > 0

    def _purge_cold(
        self, of: Retention, edge: datetime, report: PurgeReport, deadline: float
    ) -> None:
        with self._database.unrestricted_unsafe() as session:
            holds = holds_in_force(session, of.tenant_id)
            past = list_cold(session, of.tenant_id, of.kind, None, edge)
        if any(hold.target.scope is HoldScope.TENANT for hold in holds):
            return
        for segment in reversed(past):
            if time.monotonic() > deadline:
                report.waiting[_named(of)] = TIME_IS_UP
                return
            try:
                purged = self._purge_segment(segment, holds)
            except (NotFolded, ArchiveUnavailable, ArchiveDamaged, LookupError, OSError) as error:
                log.exception("segment not purged", segment=segment.key, error=repr(error))
                report.waiting[segment.key] = str(error) or "not all of its day is folded"
                continue
            PURGED.labels("cold").inc(purged)
            report.cold += purged
            _add_held(report, of, segment.content.row_count - purged)

    def _purge_segment(self, segment: Segment, holds: list[Hold]) -> int:
        """Purge the records of a segment that no hold keeps; returns how many."""
        kind, successor, kept = segment.of.kind, None, 0
        if holds:
            kept = sum(is_held(holds, kind, row) for row in read_segment(self._objects, segment))
        if kept == segment.content.row_count:
            return 0
        if kept:
            successor = rewrite(
                self._database,
                self._objects,
                segment,
                lambda row: row if is_held(holds, kind, row) else None,
            )
        gone = self._users(segment)
        gone.subtract(self._users(successor) if successor else {})
        with self._database.unrestricted_unsafe() as session:
            # None may have been placed since the segment was looked through.
            if holds_in_force(session, segment.of.tenant_id) != holds:
                raise LookupError("a legal hold was placed or released meanwhile")
            purge_segment(session, segment, FOR_RETENTION, successor, +gone, self._cold)
        delete_left(self._database, self._objects)
        return segment.content.row_count - kept

    def _users(self, segment: Segment) -> Counter[UserCell]:
        """What users did, by the audits of a segment."""
        if segment.of.kind is not Kind.AUDIT:
            return Counter()
        log_ = ColdLog(self._cold, segment.of.tenant_id, Kind.AUDIT, [segment])
        found = log_.users(BEGINNING, END, Grain.DAY)
        return Counter({(day, *names): count for day, *names, count in found})


def _named(of: Retention) -> str:
    return f"{of.kind.value}s of tenant {of.tenant_id}"


def _add_held(report: PurgeReport, of: Retention, records: int) -> None:
    if records:
        report.held[_named(of)] = report.held.get(_named(of), 0) + records


def purge(database: Database, settings: Settings) -> None:
    """Purge as the tenants' settings say; what is left over is left to the next run."""
    Purger(database, open_archive(settings)).run()
