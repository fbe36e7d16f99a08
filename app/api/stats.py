"""The statistics endpoint."""

from typing import Any

from ..auth import READING, requires
from ..domain.access import Scope
from ..domain.logs import Statistics
from ..store.analytics import ActionAnalytics
from .parsing import Blueprint
from .schemas import StatisticsQuery, StatisticsSchema
from .service import current_service, reading

blueprint = Blueprint("statistics", __name__, description="What the records add up to.")


@blueprint.route("/logs/stats")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(StatisticsQuery, location="query")
@blueprint.response(200, StatisticsSchema)
def get_statistics(query: dict[str, Any]) -> Statistics:
    """Get totals, averages (ms) and counts over all action logs, or those of a window."""
    with reading(snapshot=True) as (session, tenant_id):
        analytics = ActionAnalytics(session, tenant_id, current_service().cold)
        return analytics.statistics(query.get("since"), query.get("until"))
