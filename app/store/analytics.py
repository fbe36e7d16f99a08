"""Analytics: what is asked of the rollups of one tenant.

A window has all that was made at or after `since` and before `until`; without them, all. The
session must be a snapshot.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from ..domain import analytics
from ..domain.analytics import ProviderLatency, SeriesPoint, SlowAction, TypeCount, UserActivity
from ..domain.grains import Grain, bounds, cover, floor, from_ms
from ..domain.logs import Statistics
from ..domain.records import Kind
from ..domain.tally import start_of
from .archived import cold_log
from .cold import ColdStore
from .rollups import RollupReader
from .summaries import waiting_summaries

# Whole days and months from their rollups, what waits of them, and rows of the days that are cut.
_USER_ACTIVITY = text(
    """
    SELECT NULLIF(user_id, '') AS user_id, action, resource_type, sum(audits)::bigint AS audits
    FROM (
        SELECT unit.* FROM unnest(CAST(:grains AS text[]), CAST(:starts AS timestamptz[]),
                                  CAST(:ends AS timestamptz[])) AS span (grain, low, high),
        LATERAL (
            SELECT user_id, action, resource_type, audits FROM user_rollups
            WHERE tenant_id = :tenant_id AND grain = span.grain
              AND start >= span.low AND start < span.high
            OFFSET 0
        ) AS unit
        UNION ALL
        SELECT * FROM unnest(CAST(:users AS text[]), CAST(:actions AS text[]),
                             CAST(:types AS text[]), CAST(:counts AS bigint[]))
        UNION ALL
        SELECT coalesce(user_id, ''), action, resource_type, 1 FROM audit_logs
        WHERE tenant_id = :tenant_id AND created_at >= :first_low AND created_at < :first_high
        UNION ALL
        SELECT coalesce(user_id, ''), action, resource_type, 1 FROM audit_logs
        WHERE tenant_id = :tenant_id AND created_at >= :last_low AND created_at < :last_high
    ) AS part
    GROUP BY part.user_id, action, resource_type
    ORDER BY sum(audits) DESC, part.user_id, action, resource_type LIMIT :limit
    """
)


class ActionAnalytics:
    """What the action logs of one tenant add up to, archived ones too.

    Args:
        cold: where these are read, as far as rollups do not tell enough.
    """

    def __init__(self, session: Session, tenant_id: UUID, cold: ColdStore | None = None) -> None:
        self._rollups = RollupReader(session, tenant_id, Kind.ACTION, cold)

    def statistics(self, since: datetime | None, until: datetime | None) -> Statistics:
        """Totals, average, percentiles and counts."""
        tally = self._rollups.tally(*bounds(since, until), totals=True)
        return analytics.statistics_of(tally, self._rollups.names)

    def counts_by_type(self, since: datetime | None, until: datetime | None) -> list[TypeCount]:
        """How many actions there were of each type, the most frequent first."""
        tally = self._rollups.tally(*bounds(since, until))
        return analytics.counts_by_type(tally, self._rollups.names)

    def latency_by_provider(
        self, since: datetime | None, until: datetime | None
    ) -> list[ProviderLatency]:
        """How long each provider's successes took, the most called first."""
        tally = self._rollups.tally(*bounds(since, until), histograms=True)
        return analytics.latency_by_provider(tally, self._rollups.names)

    def slowest(
        self, since: datetime | None, until: datetime | None, limit: int
    ) -> list[SlowAction]:
        """The slowest successes, at most SLOWEST_ROWS_MAX."""
        tally = self._rollups.tally(*bounds(since, until), slowest=True)
        return analytics.slowest_of(tally, self._rollups.names, limit)

    def series(
        self, grain: Grain, since: datetime, until: datetime, wanted: Sequence[Collection[str]]
    ) -> list[SeriesPoint]:
        """What the units of a grain within a window add up to, oldest first.

        Args:
            wanted: the action types, providers and statuses that count; none of one kind for any.
        """
        start, end = bounds(since, until)
        is_all = not any(wanted)
        tally = self._rollups.tally(
            start, end, coarsest=grain, histograms=not is_all, totals=is_all
        )
        if not is_all:
            tally = tally.only(self._rollups.names.matching(wanted))
        return analytics.series_of(tally, self._rollups.names, grain, start, end)


class AuditAnalytics:
    """What the audit logs of one tenant add up to, archived ones too.

    Args:
        cold: where these are read, as far as rollups do not tell enough.
    """

    def __init__(self, session: Session, tenant_id: UUID, cold: ColdStore | None = None) -> None:
        self._session = session
        self._cold = cold
        self._tenant_id = tenant_id

    def user_activity(
        self, since: datetime | None, until: datetime | None, limit: int
    ) -> list[UserActivity]:
        """How often each user did which action to which type of resource, the most often first."""
        start, end = bounds(since, until)
        months = {(Grain.MONTH, floor(Grain.MONTH, at)) for at in (start, end)}  # have days
        parts = cover(start, end, months)
        waiting = [
            (user_id or "", action, resource_type, count)
            for batch in waiting_summaries(self._session, self._tenant_id, Kind.AUDIT)
            for day, user_id, action, resource_type, count in batch.summary["users"]
            if any(span.start <= start_of(day) < span.end for span in parts.spans)
        ]
        counted = [*waiting, *self._cold_users(parts.edges)]
        users, actions, types, counts = (
            map(list, zip(*counted, strict=True)) if counted else [[]] * 4
        )
        edges = [*parts.edges, (start, start), (start, start)]
        asked = {
            "tenant_id": self._tenant_id,
            "grains": [span.grain.value for span in parts.spans],
            "starts": [from_ms(span.start) for span in parts.spans],
            "ends": [from_ms(span.end) for span in parts.spans],
            "users": users,
            "actions": actions,
            "types": types,
            "counts": counts,
            "first_low": from_ms(edges[0][0]),
            "first_high": from_ms(edges[0][1]),
            "last_low": from_ms(edges[1][0]),
            "last_high": from_ms(edges[1][1]),
            "limit": limit,
        }
        return [UserActivity(*row) for row in self._session.execute(_USER_ACTIVITY, asked)]

    def _cold_users(self, edges: Iterable[tuple[int, int]]) -> Iterator[tuple[Any, ...]]:
        """User, action, resource type and count of the archived records of some stretches."""
        if self._cold is None:
            return
        for low, high in edges:
            cold = cold_log(self._session, self._cold, self._tenant_id, Kind.AUDIT, low, high)
            for _, *counted in cold.users(low, high, Grain.DAY):
                yield tuple(counted)
