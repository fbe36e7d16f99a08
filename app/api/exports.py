"""The export endpoints: records to take along, as a file that a worker makes, or at once."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import urlencode
from uuid import UUID

import flask
import marshmallow as ma
from uuid_utils.compat import uuid7
from werkzeug.wsgi import FileWrapper

from ..auth import READING, current_principal, has_scope, requires
from ..capture import AuditService
from ..capture.recorder import current_recorder
from ..domain.access import Scope
from ..domain.exports import LINK_S, OPEN_MAX, Export, ExportFormat, ExportState
from ..domain.filters import ActionFilter, AuditFilter, Filters
from ..domain.identity import format_time
from ..domain.records import IDENTIFIER_CHARS_MAX, INTEGER_MAX, IP_CHARS_MAX, NAME_CHARS_MAX, Kind
from ..errors import (
    ArchiveDamaged,
    ArchiveUnavailable,
    Conflict,
    FieldError,
    InvalidInput,
    NotFound,
    StorageFault,
)
from ..pipeline.export_files import text_of
from ..pipeline.exporting import withheld
from ..store.everything import read_everything
from ..store.exports import add_export, count_open, find_export, list_exports
from ..telemetry import get_logger
from .declared import path_uuid_parameter
from .fields import ActionType, Status, Timestamp, text, whole_number
from .identifiers import path_uuid
from .parsing import Blueprint
from .schemas import ArchiveQuery, WindowQuery
from .service import current_service, current_tenant

LISTED_MAX = 100
FILE_CHUNK_BYTES = 256 * 1024
LEAVES = "one audit log: who exports what"
OF_EXPORT = [path_uuid_parameter("export_id")]
BINARY = {"type": "string", "format": "binary"}
TYPES = {ExportFormat.CSV: "text/csv", ExportFormat.JSONL: "application/jsonl"}

log = get_logger(__name__)
blueprint = Blueprint("exports", __name__, description="Records to take along, as files.")


class ActionExportQuery(WindowQuery, ArchiveQuery):
    """The filters of the action list, but for content."""

    action_type = ma.fields.List(ActionType(), metadata={"description": "Repeatable."})
    status = ma.fields.List(Status(), metadata={"description": "Repeatable; in any case."})
    provider_name = ma.fields.List(text(1, NAME_CHARS_MAX), metadata={"description": "Repeatable."})
    min_execution_time_ms = whole_number(0, INTEGER_MAX)
    operation_id = text(1, IDENTIFIER_CHARS_MAX)


class AuditExportQuery(WindowQuery, ArchiveQuery):
    """The filters of the audit list, but for content."""

    action = text(1, NAME_CHARS_MAX)
    resource_type = text(1, NAME_CHARS_MAX)
    resource_id = text(1, IDENTIFIER_CHARS_MAX)
    user_id = text(1, IDENTIFIER_CHARS_MAX)
    ip_address = text(1, IP_CHARS_MAX)
    operation_id = text(1, IDENTIFIER_CHARS_MAX)


class ExportFilters(ActionExportQuery, AuditExportQuery):
    """The filters of either kind."""

    class Meta:
        """The archive is asked for beside the filters."""

        exclude = ("include",)


class ExportRequest(ma.Schema):
    """What to export, and how."""

    kind = ma.fields.Enum(Kind, by_value=True, required=True)
    format = ma.fields.Enum(ExportFormat, by_value=True, load_default=ExportFormat.CSV)
    filters = ma.fields.Nested(ExportFilters, load_default=dict)
    include_archived = ma.fields.Boolean(load_default=False)


class ExportSchema(ma.Schema):
    """An export: how it stands and, once it is ready, where its file is."""

    id = ma.fields.UUID(required=True)
    kind = ma.fields.String(required=True)
    format = ma.fields.String(required=True)
    filters = ma.fields.Dict(required=True)
    include_archived = ma.fields.Boolean(required=True)
    state = ma.fields.String(
        required=True, validate=ma.validate.OneOf([state.value for state in ExportState])
    )
    percent = ma.fields.Integer(required=True)
    row_count = ma.fields.Integer(required=True, allow_none=True)
    bytes = ma.fields.Integer(required=True, allow_none=True)
    sha256 = ma.fields.String(required=True, allow_none=True)
    error = ma.fields.String(required=True, allow_none=True)
    requested_by = ma.fields.String(required=True)
    requested_at = Timestamp(required=True)
    finished_at = Timestamp(required=True, allow_none=True)
    url = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of the file, for 15 minutes; needs no key."},
    )


class LinkQuery(ma.Schema):
    """What a signed link carries."""

    tenant = ma.fields.UUID(required=True)
    expires = whole_number(0, 10**11, required=True)
    signature = text(64, 64, required=True)


@blueprint.route("/exports", methods=["POST"])
@requires(Scope.LOGS_EXPORT, leaves=LEAVES)
@blueprint.no_query()
@blueprint.arguments(ExportRequest)
@blueprint.response(202, ExportSchema)
@blueprint.alt_response(409, response="CONFLICT")
def request_export(wanted: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Ask for an export; a worker makes it, and its page says how far it is."""
    kind, tenant_id, export_id = wanted["kind"], current_tenant(), uuid7()
    chosen = _jsonable(wanted["filters"])
    _filters(kind, wanted["filters"])
    with current_service().database.tenant(tenant_id) as session:
        if count_open(session, tenant_id) >= OPEN_MAX:
            raise Conflict(f"{OPEN_MAX} exports of this tenant are not finished; wait for one")
        add_export(
            session,
            tenant_id=tenant_id,
            id=export_id,
            kind=kind.value,
            format=wanted["format"].value,
            filters=chosen,
            include_archived=wanted["include_archived"],
            withhold=not has_scope(Scope.LOGS_READ_PAYLOADS),
            requested_by=_who(),
            secret=secrets.token_bytes(32),
        )
    _audit(str(export_id), kind, wanted["format"], chosen, wanted["include_archived"])
    location = flask.url_for("exports.get_export", export_id=export_id)
    return _shown(_find(export_id)), 202, {"Location": location}


@blueprint.route("/exports")
@requires(Scope.LOGS_EXPORT, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, ExportSchema(many=True))
def list_all() -> list[dict[str, Any]]:
    """List the newest exports."""
    with current_service().database.tenant(current_tenant()) as session:
        return [_shown(one) for one in list_exports(session, current_tenant(), LISTED_MAX)]


@blueprint.route("/exports/<export_id>", parameters=OF_EXPORT)
@requires(Scope.LOGS_EXPORT, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, ExportSchema)
def get_export(export_id: str) -> dict[str, Any]:
    """Get one export."""
    return _shown(_find(path_uuid("export_id", export_id)))


@blueprint.route("/exports/<export_id>/file", parameters=OF_EXPORT)
@blueprint.arguments(LinkQuery, location="query")
@blueprint.response(200, BINARY, content_type="application/octet-stream")
@blueprint.doc(security=[])
def get_file(query: dict[str, Any], export_id: str) -> flask.Response:
    """Download an export's file by a signed link; ranges may be asked for."""
    wanted = path_uuid("export_id", export_id)
    with current_service().database.tenant(query["tenant"]) as session:
        export = find_export(session, query["tenant"], wanted)
    link = (query["expires"], query["signature"], datetime.now(UTC))
    if export is None or not export.is_signed(*link) or export.state is not ExportState.READY:
        raise NotFound("This link is not valid any more; the export's page gives a new one")
    named = (export.tenant_id, str(export.id), export.requested_by)
    current_service().readings.note_download(*named)
    response = flask.Response(
        FileWrapper(_open(export), FILE_CHUNK_BYTES),
        mimetype="application/octet-stream",
        direct_passthrough=True,
    )
    name = f"{export.kind.value}s-{export.id}.{export.format.suffix}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.content_length = export.bytes or 0
    response.set_etag((export.sha256 or b"").hex())
    response.make_conditional(flask.request, accept_ranges=True, complete_length=export.bytes)
    return response


@blueprint.route("/logs/actions/export.csv")
@requires(Scope.LOGS_EXPORT, leaves=LEAVES)
@blueprint.arguments(ActionExportQuery, location="query")
@blueprint.response(200, BINARY, content_type=TYPES[ExportFormat.CSV])
def stream_actions_csv(query: dict[str, Any]) -> flask.Response:
    """Stream all action logs that match, newest first, as CSV."""
    return _stream(Kind.ACTION, ExportFormat.CSV, query)


@blueprint.route("/logs/actions/export.jsonl")
@requires(Scope.LOGS_EXPORT, leaves=LEAVES)
@blueprint.arguments(ActionExportQuery, location="query")
@blueprint.response(200, BINARY, content_type=TYPES[ExportFormat.JSONL])
def stream_actions_jsonl(query: dict[str, Any]) -> flask.Response:
    """Stream all action logs that match, newest first, as JSON lines."""
    return _stream(Kind.ACTION, ExportFormat.JSONL, query)


@blueprint.route("/logs/audits/export.csv")
@requires(Scope.LOGS_EXPORT, leaves=LEAVES)
@blueprint.arguments(AuditExportQuery, location="query")
@blueprint.response(200, BINARY, content_type=TYPES[ExportFormat.CSV])
def stream_audits_csv(query: dict[str, Any]) -> flask.Response:
    """Stream all audit logs that match, newest first, as CSV."""
    return _stream(Kind.AUDIT, ExportFormat.CSV, query)


@blueprint.route("/logs/audits/export.jsonl")
@requires(Scope.LOGS_EXPORT, leaves=LEAVES)
@blueprint.arguments(AuditExportQuery, location="query")
@blueprint.response(200, BINARY, content_type=TYPES[ExportFormat.JSONL])
def stream_audits_jsonl(query: dict[str, Any]) -> flask.Response:
    """Stream all audit logs that match, newest first, as JSON lines."""
    return _stream(Kind.AUDIT, ExportFormat.JSONL, query)


def _open(export: Export) -> BinaryIO:
    try:
        return current_service().exports.reader(export.key)
    except (ArchiveDamaged, StorageFault) as error:
        log.exception("export not readable", export=str(export.id), error=repr(error))
        raise ArchiveUnavailable from error


def _stream(kind: Kind, form: ExportFormat, query: dict[str, Any]) -> flask.Response:
    service, tenant_id = current_service(), current_tenant()
    chosen = {name: value for name, value in query.items() if name != "include"}
    cold = service.cold if "include" in query else None
    hide = not has_scope(Scope.LOGS_READ_PAYLOADS)
    _audit("stream", kind, form, _jsonable(chosen), cold is not None)
    pages = read_everything(service.reads, tenant_id, kind, _filters(kind, chosen), cold)

    def parts() -> Iterator[bytes]:
        first = True
        for page in pages:
            rows = [withheld(row) for row in page] if hide else page
            yield text_of(rows, kind, form, first=first)
            first = False
        if first:
            yield text_of((), kind, form, first=True)

    response = flask.Response(parts(), mimetype=TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="{kind.value}s.{form.value}"'
    return response


def _filters(kind: Kind, chosen: dict[str, Any]) -> Filters:
    made: Any = ActionFilter if kind is Kind.ACTION else AuditFilter
    foreign = [name for name in chosen if name not in made.__slots__]
    if foreign:
        rule = f"is not a filter of {kind.value} logs"
        raise InvalidInput(*(FieldError(f"filters.{name}", rule) for name in foreign))
    values = {
        name: tuple(sorted(set(value))) if isinstance(value, list) else value
        for name, value in chosen.items()
    }
    filters: Filters = made(**values)
    return filters


def _jsonable(chosen: dict[str, Any]) -> dict[str, Any]:
    return {
        name: format_time(value) if isinstance(value, datetime) else value
        for name, value in chosen.items()
    }


def _find(export_id: UUID) -> Export:
    with current_service().database.tenant(current_tenant()) as session:
        export = find_export(session, current_tenant(), export_id)
    if export is None:
        raise NotFound(f"There is no export {export_id}")
    return export


def _shown(export: Export) -> dict[str, Any]:
    shown = {name: getattr(export, name) for name in Export.__slots__}
    shown |= {"sha256": export.sha256 and export.sha256.hex(), "url": None}
    if export.state is ExportState.READY:
        expires = int(datetime.now(UTC).timestamp()) + LINK_S
        query = {
            "tenant": str(export.tenant_id),
            "expires": str(expires),
            "signature": export.sign(expires),
        }
        path = flask.url_for("exports.get_file", export_id=export.id)
        shown["url"] = f"{flask.request.root_url.rstrip('/')}{path}?{urlencode(query)}"
    return shown


def _who() -> str:
    principal = current_principal()
    return f"key:{principal.prefix}" if principal else "unknown"


def _audit(
    export_id: str, kind: Kind, form: ExportFormat, chosen: dict[str, Any], archived: bool
) -> None:
    AuditService(current_recorder()).log_create(
        tenant_id=current_tenant(),
        resource_type="export",
        resource_id=export_id,
        data={
            "kind": kind.value,
            "format": form.value,
            "filters": chosen,
            "include_archived": archived,
        },
        user_id=_who(),
        metadata={"outcome": "success"},  # of asking; whether it was taken along is noted then
    )
