"""The audit log endpoints."""

from typing import Any

import flask

from ..auth import requires
from ..domain.access import Scope
from ..domain.filters import AuditFilter
from ..domain.logs import AuditLog
from ..domain.records import NAME_CHARS_MAX
from ..errors import NotFound
from ..store.audit_logs import AuditLogRepository
from .identifiers import path_text, path_uuid
from .paging import Paging
from .parsing import Blueprint
from .rendering import respond_list
from .schemas import AuditLogSchema, AuditLogSummarySchema, AuditQuery, TrailQuery
from .service import reading

blueprint = Blueprint("audit logs", __name__, description="System changes on record.")


FILTER_FIELDS = frozenset(AuditFilter.__slots__)


@blueprint.route("/logs/audits")
@requires(Scope.LOGS_READ)
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, AuditLogSummarySchema(many=True))
def list_audits(query: dict[str, Any]) -> flask.Response:
    """List audit logs, newest first. The Link header leads on."""
    return _page(query, AuditFilter(**{k: v for k, v in query.items() if k in FILTER_FIELDS}))


@blueprint.route("/logs/audits/<audit_id>")
@requires(Scope.LOGS_READ)
@blueprint.no_query()
@blueprint.response(200, AuditLogSchema)
def get_audit(audit_id: str) -> AuditLog:
    """Get one audit log in full."""
    wanted = path_uuid("audit_id", audit_id)
    with reading() as (session, tenant_id):
        found = AuditLogRepository(session, tenant_id).get(wanted)
    if found is None:
        raise NotFound(f"There is no audit log {wanted}")
    return found


@blueprint.route("/logs/audits/resource/<resource_type>/<rest:resource_id>")
@requires(Scope.LOGS_READ)
@blueprint.arguments(TrailQuery, location="query")
@blueprint.response(200, AuditLogSummarySchema(many=True))
def list_resource_trail(
    query: dict[str, Any], resource_type: str, resource_id: str
) -> flask.Response:
    """List all changes of one resource, newest first; its id may contain slashes."""
    filters = AuditFilter(
        resource_type=path_text("resource_type", resource_type, NAME_CHARS_MAX),
        resource_id=path_text("resource_id", resource_id),
    )
    return _page(query, filters)


def _page(query: dict[str, Any], filters: AuditFilter) -> flask.Response:
    with reading(snapshot=True) as (session, tenant_id):
        paging = Paging(query, filters, f"audits {tenant_id}")
        rows = AuditLogRepository(session, tenant_id).search(filters, paging.page)
    shown, headers = paging.respond(rows)
    return respond_list(shown, headers)
