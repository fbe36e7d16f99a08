"""POST /v1/logs: what any SDK of OpenTelemetry exports, as OTLP over HTTP has it.

The protobuf is imported at the first request: most processes get none.
"""

import base64
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import flask
from werkzeug.exceptions import UnsupportedMediaType

from ..auth import requires
from ..domain.access import Scope
from ..domain.records import Kind, Record
from ..errors import FieldError, InvalidInput
from ..telemetry import INGESTED
from .bodies import read_inflated
from .ingest import UNKEPT_RULES, keep, open_intake
from .otlp_items import LogRecord, item_of
from .parsing import Blueprint, parse_json

PROTOBUF, JSON = "application/x-protobuf", "application/json"
RECORDS_MAX = 10_000  # of one request; collectors send 8,192 unless told otherwise
NAMED_MAX = 3  # of the rejected ones in an answer
_HEX_FIELDS = {"traceId": 16, "spanId": 8, "trace_id": 16, "span_id": 8}

blueprint = Blueprint("otlp", __name__, description="What SDKs of OpenTelemetry export.")

_SCHEMA = {"type": "object", "description": "ExportLogsServiceRequest"}
_BODY = {
    "required": True,
    "description": f"At most 5 MB and {RECORDS_MAX} records; Content-Encoding: gzip is understood.",
    "content": {
        PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
        JSON: {"schema": _SCHEMA},
    },
}
_ANSWER = {"type": "object", "description": "ExportLogsServiceResponse, in the type of the request"}


@blueprint.route("/v1/logs", methods=["POST"])
@requires(Scope.LOGS_WRITE, leaves="the records, each with the request in metadata.ingest")
@blueprint.no_query()
@blueprint.doc(requestBody=_BODY)
@blueprint.response(200, _ANSWER)
def export_logs() -> flask.Response:
    """Keep log records of OpenTelemetry as action and audit records, by their attributes.

    Rejected ones are counted in partial_success; the others are on this host's disk.
    """
    kind_of_body = flask.request.mimetype
    request = _parsed(read_inflated(flask.request), kind_of_body)
    accepted, rejected = _take(request)
    return _answer(kind_of_body, rejected, accepted)


def _take(request: Any) -> tuple[int, list[str]]:
    """Keep the records of a request; how many, and why others were rejected."""
    intakes = {kind: open_intake(kind) for kind in Kind}
    records: dict[UUID, Record] = {}
    rejected: list[str] = []
    for index, log in enumerate(_logs(request)):
        if index >= RECORDS_MAX:
            rule = f"must have at most {RECORDS_MAX} log records"
            raise InvalidInput(FieldError("body", rule))
        kind, item = item_of(log)
        try:
            record = intakes[kind].record(item)
        except InvalidInput as error:
            rejected.append(f"log record {index}: {error.detail}")
            INGESTED.labels(kind.value, "rejected").inc()
        else:
            records.setdefault(record.id, record)
    unkept = keep(records)
    for record_id, record in records.items():
        if record_id in unkept:
            rejected.append(f"record {record_id} {UNKEPT_RULES[unkept[record_id]]}")
        else:
            INGESTED.labels(record.kind.value, "accepted").inc()
    return len(records) - len(unkept), rejected


def _parsed(body: bytes, kind_of_body: str) -> Any:
    from google.protobuf.json_format import ParseDict, ParseError
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    if kind_of_body not in {PROTOBUF, JSON}:
        raise UnsupportedMediaType(f"The body must be {PROTOBUF} or {JSON}")
    request = ExportLogsServiceRequest()
    try:
        if kind_of_body == PROTOBUF:
            request.ParseFromString(body)
        else:
            value = parse_json(body)
            if not isinstance(value, dict):
                raise TypeError("it must be an object")
            ParseDict(_ids_as_protobuf_has_them(value), request, ignore_unknown_fields=True)
    except (DecodeError, ParseError, ValueError, TypeError, AttributeError) as error:
        rule = f"is not an ExportLogsServiceRequest: {str(error)[:300]}"
        raise InvalidInput(FieldError("body", rule)) from error
    return request


def _ids_as_protobuf_has_them(value: Any) -> Any:
    """OTLP writes ids in hexadecimal, where JSON of protobuf has base64."""
    if isinstance(value, list):
        return [_ids_as_protobuf_has_them(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for name, item in value.items():
        if name in _HEX_FIELDS and isinstance(item, str):
            made[name] = base64.b64encode(bytes.fromhex(item)).decode()
        else:
            made[name] = _ids_as_protobuf_has_them(item)
    return made


def _logs(request: Any) -> Iterator[LogRecord]:
    for of_resource in request.resource_logs:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_logs:
            for log in of_scope.log_records:
                yield LogRecord(
                    time_ns=log.time_unix_nano or log.observed_time_unix_nano,
                    severity=log.severity_number,
                    severity_text=log.severity_text,
                    event_name=log.event_name,
                    body=_value(log.body),
                    attributes=_attributes(log.attributes),
                    trace_id=log.trace_id.hex() if any(log.trace_id) else "",
                    span_id=log.span_id.hex() if any(log.span_id) else "",
                    scope=of_scope.scope.name,
                    resource=resource,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    """An AnyValue as a JSON value; bytes are base64, as in JSON of protobuf."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    found = getattr(value, kind)
    if kind == "kvlist_value":
        return _attributes(found.values)
    if kind == "array_value":
        return [_value(item) for item in found.values]
    return base64.b64encode(found).decode() if kind == "bytes_value" else found


def _answer(kind_of_body: str, rejected: list[str], accepted: int) -> flask.Response:
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    answer = ExportLogsServiceResponse()
    if rejected:
        answer.partial_success.rejected_log_records = len(rejected)
        more = len(rejected) - NAMED_MAX
        words = "; ".join(rejected[:NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")
        answer.partial_success.error_message = f"{accepted} accepted. {words}"
    if kind_of_body == PROTOBUF:
        return flask.Response(answer.SerializeToString(), mimetype=PROTOBUF)
    return flask.jsonify(MessageToDict(answer))
