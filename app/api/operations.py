"""The timeline of one operation: its attempts, its outcome and what it changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ..auth import requires
from ..domain.access import Scope
from ..domain.archive import Segment
from ..domain.filters import open_cursor, seal_cursor
from ..domain.identity import created_at_of, format_time, is_record_id
from ..domain.logs import ActionLog, AuditLog
from ..domain.records import Kind
from ..errors import NotFound
from ..store.action_logs import ActionLogRepository
from ..store.audit_logs import AuditLogRepository
from ..store.cold_log import ColdLog
from .identifiers import path_text
from .listing import ARCHIVED, ARCHIVED_UNTIL, LIST_HEADERS
from .paging import next_link
from .parsing import Blueprint
from .readings import LEAVES
from .schemas import ActionLogSchema, AuditLogSchema, OperationQuery, OperationRecordSchema
from .service import current_service, current_tenant, reading
from .withholding import all_shown

blueprint = Blueprint("operations", __name__, description="Records that belong together.")

KINDS = {b"a": Kind.ACTION, b"u": Kind.AUDIT}  # as a cursor writes them
LETTERS = {kind: letter for letter, kind in KINDS.items()}

OPERATION_HEADERS = {ARCHIVED_UNTIL: LIST_HEADERS[ARCHIVED_UNTIL]}

Operation = tuple[list[dict[str, Any]], int, dict[str, str]]


@blueprint.route("/logs/operations/<rest:operation_id>")
@requires(Scope.LOGS_READ, leaves=LEAVES)
@blueprint.arguments(OperationQuery, location="query")
@blueprint.response(200, OperationRecordSchema(many=True), headers=OPERATION_HEADERS)
def list_operation(query: dict[str, Any], operation_id: str) -> Operation:
    """List the action and audit logs of one operation, oldest first. The Link header leads on."""
    wanted = path_text("operation_id", operation_id)
    limit = query["limit"]
    scope = f"operation {current_tenant()} {wanted}"
    after, kind = _place(query.get("after"), scope)
    # One more than shown says whether there is a next page. An action log stands before an audit
    # log of the same id: behind the one, the other is still to come.
    place = _Place(limit + 1, after, inclusive=kind is Kind.ACTION)
    records, headers = _records(wanted, place, query.get("include") == ARCHIVED)
    if not records and after is None:
        raise NotFound(f"There is no record of an operation {wanted}")
    records.sort(key=lambda record: record.id)  # stable: actions stay before audits
    page = [_dumped(record) for record in all_shown(records[:limit], operation_id=wanted)]
    if len(records) <= limit:
        return page, 200, headers
    last = records[limit - 1]
    cursor = seal_cursor(last.id.bytes + LETTERS[_kind(last)], None, scope)
    return page, 200, {"Link": next_link(cursor), **headers}


@dataclass(frozen=True, slots=True)
class _Place:
    """So many records past the id `after`; audits from it on, if inclusive."""

    limit: int
    after: UUID | None
    inclusive: bool

    @property
    def since(self) -> datetime | None:
        return None if self.after is None else created_at_of(self.after)


def _records(
    wanted: str, place: _Place, include_archived: bool
) -> tuple[list[ActionLog | AuditLog], dict[str, str]]:
    """The records of an operation, actions before audits, and what is said of those left out."""
    found: dict[tuple[Kind, UUID], ActionLog | AuditLog] = {}
    logs: list[tuple[Any, list[Segment], bool]] = []
    with reading() as (session, tenant_id):
        for log_type in (ActionLogRepository, AuditLogRepository):
            inclusive = place.inclusive and log_type.kind is Kind.AUDIT
            log = log_type(session, tenant_id)
            for record in log.of_operation(
                wanted, place.limit, after=place.after, inclusive=inclusive
            ):
                found[log.kind, record.id] = record
            segments = log.archived(place.since, None, restored=include_archived)
            logs.append((log, segments, inclusive))
    if include_archived:
        for log, segments, inclusive in logs:
            cold = ColdLog(current_service().cold, tenant_id, log.kind, segments)
            for values in cold.of_operation(
                wanted, place.limit, after=place.after, inclusive=inclusive
            ):
                found.setdefault((log.kind, values["id"]), log.detail(values))
        return sorted(found.values(), key=_kind), {}
    left_out = [segment.content.max_created_at for _, segments, _ in logs for segment in segments]
    return list(found.values()), ({ARCHIVED_UNTIL: format_time(max(left_out))} if left_out else {})


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
