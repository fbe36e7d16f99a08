"""The timeline of one operation: its attempts, its outcome and what it changed."""

from typing import Any
from uuid import UUID

from ..auth import READING, requires
from ..domain.access import Scope
from ..domain.filters import open_cursor, seal_cursor
from ..domain.identity import is_record_id
from ..domain.logs import ActionLog, AuditLog
from ..domain.records import Kind
from ..errors import NotFound
from ..store.action_logs import ActionLogRepository
from ..store.audit_logs import AuditLogRepository
from .identifiers import path_text
from .paging import next_link
from .parsing import Blueprint
from .schemas import ActionLogSchema, AuditLogSchema, OperationQuery, OperationRecordSchema
from .service import reading
from .withholding import all_shown

blueprint = Blueprint("operations", __name__, description="Records that belong together.")

KINDS = {b"a": Kind.ACTION, b"u": Kind.AUDIT}  # as a cursor writes them
LETTERS = {kind: letter for letter, kind in KINDS.items()}

Operation = tuple[list[dict[str, Any]], int, dict[str, str]]


@blueprint.route("/logs/operations/<rest:operation_id>")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(OperationQuery, location="query")
@blueprint.response(200, OperationRecordSchema(many=True))
def list_operation(query: dict[str, Any], operation_id: str) -> Operation:
    """List the action and audit logs of one operation, oldest first. The Link header leads on."""
    wanted = path_text("operation_id", operation_id)
    limit = query["limit"]
    with reading() as (session, tenant_id):
        scope = f"operation {tenant_id} {wanted}"
        after, kind = _place(query.get("after"), scope)
        # One more than shown says whether there is a next page. An action log stands before an
        # audit log of the same id: behind the one, the other is still to come.
        actions = ActionLogRepository(session, tenant_id).of_operation(
            wanted, limit + 1, after=after
        )
        audits = AuditLogRepository(session, tenant_id).of_operation(
            wanted, limit + 1, after=after, inclusive=kind is Kind.ACTION
        )
    if not actions and not audits and after is None:
        raise NotFound(f"There is no record of an operation {wanted}")
    records: list[ActionLog | AuditLog] = [*actions, *audits]
    records.sort(key=lambda record: record.id)  # stable: actions stay before audits
    page = [_dumped(record) for record in all_shown(records[:limit])]
    if len(records) <= limit:
        return page, 200, {}
    last = records[limit - 1]
    cursor = seal_cursor(last.id.bytes + LETTERS[_kind(last)], None, scope)
    return page, 200, {"Link": next_link(cursor)}


def _place(cursor: str | None, scope: str) -> tuple[UUID | None, Kind | None]:
    """The record that a cursor names, by id and kind."""
    return (None, None) if cursor is None else open_cursor(cursor, None, scope, _read_place)


def _read_place(place: bytes) -> tuple[UUID, Kind] | None:
    if len(place) != 17 or place[16:] not in KINDS or not is_record_id(UUID(bytes=place[:16])):
        return None
    return UUID(bytes=place[:16]), KINDS[place[16:]]


def _kind(record: ActionLog | AuditLog) -> Kind:
    return Kind.ACTION if isinstance(record, ActionLog) else Kind.AUDIT


def _dumped(record: ActionLog | AuditLog) -> dict[str, Any]:
    schema = ActionLogSchema() if isinstance(record, ActionLog) else AuditLogSchema()
    return {"kind": _kind(record), **schema.dump(record)}
