"""Analytics: what is asked of the rollups of one tenant."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from ..domain import analytics
from ..domain.grains import bounds
from ..domain.logs import Statistics
from ..domain.records import Kind
from .rollups import RollupReader


class ActionAnalytics:
    """What the action logs of one tenant add up to, in a session that is a snapshot.

    A window has all that was made at or after `since` and before `until`; without them, all.
    """

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        self._rollups = RollupReader(session, tenant_id, Kind.ACTION)

    def statistics(self, since: datetime | None, until: datetime | None) -> Statistics:
        """Totals, average, percentiles and counts."""
        tally = self._rollups.tally(*bounds(since, until), histograms=True)
        return analytics.statistics_of(tally, self._rollups.names)
