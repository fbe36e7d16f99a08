"""The audit log endpoints."""

from typing import Any

from ..auth import requires
from ..domain.access import Scope
from ..domain.filters import AuditFilter
from ..domain.logs import AuditLog, AuditLogSummary
from ..domain.records import NAME_CHARS_MAX
from ..errors import NotFound
from ..store.audit_logs import AuditLogRepository
from .declared import path_uuid_parameter
from .identifiers import path_text, path_uuid
from .listing import LIST_HEADERS, Answer, answer, find, paths_of
from .parsing import Blueprint
from .readings import LEAVES
from .schemas import ArchiveQuery, AuditLogSchema, AuditLogSummarySchema, AuditQuery, TrailQuery
from .withholding import shown

blueprint = Blueprint("audit logs", __name__, description="System changes on record.")


@blueprint.route("/logs/audits")
@requires(Scope.LOGS_READ, leaves=LEAVES)
@blueprint.arguments(AuditQuery, location="query")
@blueprint.alt_response(410, response="GONE")
@blueprint.response(200, AuditLogSummarySchema(many=True), headers=LIST_HEADERS)
def list_audits(query: dict[str, Any]) -> Answer[AuditLogSummary]:
    """List audit logs, newest first, or tail them in commit order. The Link header leads on."""
    chosen = {name: value for name, value in query.items() if name in FILTER_FIELDS}
    return _page(query, AuditFilter(**chosen, paths=paths_of(query)))


@blueprint.route("/logs/audits/<audit_id>", parameters=[path_uuid_parameter("audit_id")])
@requires(Scope.LOGS_READ, leaves=LEAVES)
@blueprint.arguments(ArchiveQuery, location="query")
@blueprint.response(200, AuditLogSchema)
def get_audit(query: dict[str, Any], audit_id: str) -> AuditLog:
    """Get one audit log in full."""
    wanted = path_uuid("audit_id", audit_id)
    found: AuditLog | None = find(AuditLogRepository, query, wanted)
    if found is None:
        raise NotFound(f"There is no audit log {wanted}")
    return shown(found)


@blueprint.route("/logs/audits/resource/<resource_type>/<rest:resource_id>")
@requires(Scope.LOGS_READ, leaves=LEAVES)
@blueprint.arguments(TrailQuery, location="query")
@blueprint.response(200, AuditLogSummarySchema(many=True), headers=LIST_HEADERS)
def list_resource_trail(
    query: dict[str, Any], resource_type: str, resource_id: str
) -> Answer[AuditLogSummary]:
    """List all changes of one resource, newest first; its id may contain slashes."""
    filters = AuditFilter(
        resource_type=path_text("resource_type", resource_type, NAME_CHARS_MAX),
        resource_id=path_text("resource_id", resource_id),
    )
    return _page(query, filters)


FILTER_FIELDS = frozenset(AuditFilter.__slots__)


def _page(query: dict[str, Any], filters: AuditFilter) -> Answer[AuditLogSummary]:
    return answer(AuditLogRepository, query, filters, "audits")
