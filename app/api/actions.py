"""The action log endpoints."""

from datetime import UTC, datetime, timedelta
from typing import Any

import flask

from ..auth import READING, requires
from ..domain.access import Scope
from ..domain.filters import ActionFilter
from ..domain.logs import ActionLog, ActionLogSummary
from ..errors import NotFound
from ..store.action_logs import ActionLogRepository
from .declared import path_uuid_parameter
from .identifiers import path_uuid
from .listing import LIST_HEADERS, Answer, answer, find, paths_of
from .parsing import Blueprint
from .readings import LEAVES
from .rendering import respond_list
from .schemas import (
    ActionLogSchema,
    ActionLogSummarySchema,
    ActionQuery,
    ArchiveQuery,
    RecentFailuresQuery,
)
from .service import reading
from .withholding import shown

blueprint = Blueprint("action logs", __name__, description="Provider operations on record.")


@blueprint.route("/logs/actions")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(ActionQuery, location="query")
@blueprint.alt_response(410, response="GONE")
@blueprint.response(200, ActionLogSummarySchema(many=True), headers=LIST_HEADERS)
def list_actions(query: dict[str, Any]) -> Answer[ActionLogSummary]:
    """List action logs, newest first, or tail them in commit order.

    Values of one filter are alternatives; all filters must match. The Link header leads on.
    """
    filters = ActionFilter(
        action_type=_distinct(query.get("action_type")),
        status=_distinct(query.get("status")),
        provider_name=_distinct(query.get("provider_name")),
        since=query.get("since"),
        until=query.get("until"),
        min_execution_time_ms=query.get("min_execution_time_ms"),
        operation_id=query.get("operation_id"),
        q=query.get("q"),
        paths=paths_of(query),
    )
    return answer(ActionLogRepository, query, filters, "actions")


@blueprint.route("/logs/actions/<action_id>", parameters=[path_uuid_parameter("action_id")])
@requires(Scope.LOGS_READ, leaves=LEAVES)
@blueprint.arguments(ArchiveQuery, location="query")
@blueprint.response(200, ActionLogSchema)
def get_action(query: dict[str, Any], action_id: str) -> ActionLog:
    """Get one action log with its request and response."""
    wanted = path_uuid("action_id", action_id)
    found: ActionLog | None = find(ActionLogRepository, query, wanted)
    if found is None:
        raise NotFound(f"There is no action log {wanted}")
    return shown(found)


@blueprint.route("/logs/actions/failed/recent")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(RecentFailuresQuery, location="query")
@blueprint.response(200, ActionLogSummarySchema(many=True))
def list_recent_failures(query: dict[str, Any]) -> flask.Response:
    """List the newest failures and timeouts of the last minutes."""
    since = datetime.now(UTC) - timedelta(minutes=query["minutes"])
    with reading(snapshot=True) as (session, tenant_id):
        rows = ActionLogRepository(session, tenant_id).recent_failures(since, query["limit"])
    return respond_list(rows)


def _distinct(values: list[str] | None) -> tuple[str, ...]:
    """Sorted and without repeats, so that the same filter makes the same cursor."""
    return tuple(sorted(set(values or ())))
