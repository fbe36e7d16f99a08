"""The analytics endpoints: the questions a dashboard asks, answered from rollups."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import flask

from ..auth import READING, requires
from ..domain.access import Scope
from ..domain.analytics import ProviderLatency, SlowAction, TypeCount, UserActivity
from ..domain.filters import ActionFilter
from ..domain.grains import Grain, count_units, to_ms
from ..domain.logs import ActionLogSummary
from ..domain.records import FAILED_STATUSES
from ..errors import FieldError, InvalidInput
from ..store.action_logs import ActionLogRepository
from ..store.analytics import ActionAnalytics, AuditAnalytics
from .listing import LIST_HEADERS, Answer, answer
from .parsing import Blueprint
from .rendering import respond_series
from .schemas import (
    ActionLogSummarySchema,
    FailuresQuery,
    ProviderLatencySchema,
    SeriesPointSchema,
    SeriesQuery,
    SlowActionSchema,
    SlowestQuery,
    StatisticsQuery,
    TypeCountSchema,
    UserActivityQuery,
    UserActivitySchema,
)
from .service import current_service, reading

blueprint = Blueprint("analytics", __name__, description="The questions a dashboard asks.")

FAILURES_WINDOW = timedelta(hours=24)
ACTIVITY_WINDOW = timedelta(days=7)
SERIES_WINDOWS = {
    Grain.MINUTE: timedelta(hours=1),
    Grain.HOUR: timedelta(days=1),
    Grain.DAY: timedelta(days=30),
}
BUCKETS_MAX = 1500  # of a series: a day of minutes, two months of hours, four years of days


@blueprint.route("/logs/analytics/actions-by-type")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(StatisticsQuery, location="query")
@blueprint.response(200, TypeCountSchema(many=True))
def count_actions_by_type(query: dict[str, Any]) -> list[TypeCount]:
    """Count the actions of each type, the most frequent first."""
    with reading(snapshot=True) as (session, tenant_id):
        analytics = ActionAnalytics(session, tenant_id, current_service().cold)
        return analytics.counts_by_type(query.get("since"), query.get("until"))


@blueprint.route("/logs/analytics/failures")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(FailuresQuery, location="query")
@blueprint.response(200, ActionLogSummarySchema(many=True), headers=LIST_HEADERS)
def list_failures(query: dict[str, Any]) -> Answer[ActionLogSummary]:
    """List failures and timeouts, newest first, of the last 24 hours if no `since` is given."""
    failed = tuple(status.value for status in FAILED_STATUSES)
    asked = ActionFilter(status=failed, since=query.get("since"), until=query.get("until"))
    # The cursor is bound to what was asked: the default moves on while one pages.
    filters = asked if asked.since else replace(asked, since=_ago(FAILURES_WINDOW, asked.until))
    return answer(ActionLogRepository, query, filters, "failures", asked)


@blueprint.route("/logs/analytics/latency-by-provider")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(StatisticsQuery, location="query")
@blueprint.response(200, ProviderLatencySchema(many=True))
def get_latency_by_provider(query: dict[str, Any]) -> list[ProviderLatency]:
    """Get how long the successes of each provider took, the most called first."""
    with reading(snapshot=True) as (session, tenant_id):
        analytics = ActionAnalytics(session, tenant_id, current_service().cold)
        return analytics.latency_by_provider(query.get("since"), query.get("until"))


@blueprint.route("/logs/analytics/slowest")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(SlowestQuery, location="query")
@blueprint.response(200, SlowActionSchema(many=True))
def list_slowest(query: dict[str, Any]) -> list[SlowAction]:
    """List the slowest successes; of equally slow ones the youngest first."""
    with reading(snapshot=True) as (session, tenant_id):
        analytics = ActionAnalytics(session, tenant_id, current_service().cold)
        return analytics.slowest(query.get("since"), query.get("until"), query["limit"])


@blueprint.route("/logs/analytics/user-activity")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(UserActivityQuery, location="query")
@blueprint.response(200, UserActivitySchema(many=True))
def count_user_activity(query: dict[str, Any]) -> list[UserActivity]:
    """Count audit logs by user, action and resource type, of 7 days if no `since` is given."""
    until = query.get("until")
    since = query.get("since") or _ago(ACTIVITY_WINDOW, until)
    with reading(snapshot=True) as (session, tenant_id):
        return AuditAnalytics(session, tenant_id, current_service().cold).user_activity(
            since, until, query["limit"]
        )


@blueprint.route("/logs/analytics/timeseries")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(SeriesQuery, location="query")
@blueprint.response(200, SeriesPointSchema(many=True))
def get_timeseries(query: dict[str, Any]) -> flask.Response:
    """Get what actions add up to by minute, hour or day, oldest first, units without any too."""
    grain = Grain(query["bucket"])
    until = query.get("until") or datetime.now(UTC)
    since = query.get("since") or _ago(SERIES_WINDOWS[grain], until)
    if since > until:
        raise InvalidInput(FieldError("since", "Must not be after until."))
    if count_units(grain, to_ms(since), to_ms(until)) > BUCKETS_MAX:
        rule = f"Must leave at most {BUCKETS_MAX} buckets up to until; take a larger bucket."
        raise InvalidInput(FieldError("since", rule))
    wanted = [query.get(name, ()) for name in ("action_type", "provider_name", "status")]
    with reading(snapshot=True) as (session, tenant_id):
        analytics = ActionAnalytics(session, tenant_id, current_service().cold)
        points = analytics.series(grain, since, until, wanted)
    return respond_series(points)


def _ago(length: timedelta, until: datetime | None) -> datetime:
    """The start of a window of a length that ends at `until`, or now."""
    end = until or datetime.now(UTC)
    return max(end, datetime.min.replace(tzinfo=UTC) + length) - length
