"""The timeline of one operation: its attempts, its outcome and what it changed."""

from typing import Any

from ..auth import requires
from ..domain.access import Scope
from ..domain.logs import ActionLog, AuditLog
from ..domain.records import Kind
from ..errors import NotFound
from ..store.action_logs import ActionLogRepository
from ..store.audit_logs import AuditLogRepository
from .identifiers import path_text
from .parsing import Blueprint
from .schemas import ActionLogSchema, AuditLogSchema, OperationRecordSchema
from .service import reading

blueprint = Blueprint("operations", __name__, description="Records that belong together.")


@blueprint.route("/logs/operations/<rest:operation_id>")
@requires(Scope.LOGS_READ)
@blueprint.no_query()
@blueprint.response(200, OperationRecordSchema(many=True))
def list_operation(operation_id: str) -> list[dict[str, Any]]:
    """List the action and audit logs of one operation, oldest first."""
    wanted = path_text("operation_id", operation_id)
    with reading() as (session, tenant_id):
        actions = ActionLogRepository(session, tenant_id).of_operation(wanted)
        audits = AuditLogRepository(session, tenant_id).of_operation(wanted)
    if not actions and not audits:
        raise NotFound(f"There is no record of an operation {wanted}")
    records: list[ActionLog | AuditLog] = [*actions, *audits]
    return [_shown(record) for record in sorted(records, key=lambda r: (r.created_at, r.id))]


def _shown(record: ActionLog | AuditLog) -> dict[str, Any]:
    if isinstance(record, ActionLog):
        return {"kind": Kind.ACTION, **ActionLogSchema().dump(record)}
    return {"kind": Kind.AUDIT, **AuditLogSchema().dump(record)}
