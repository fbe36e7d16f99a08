"""OTLP/HTTP logs: OpenTelemetry's own protobuf, one resource for each tenant.

The protobuf is imported at the first batch: most processes send none.
"""

import re
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..domain.forwarding import Outgoing
from ..domain.grains import to_ms
from ..errors import SinkError
from .datadog import summary_of
from .http import Poster, check_address
from .protocol import COMPRESS, MIB, TLS_ASKED, URL, Account, Asked, Receipt, SinkKind

ROWS_MAX = 1000
BYTES_MAX = 3 * MIB  # collectors take 4 MiB unless told otherwise
RECORD_BYTES_MAX = 2 * MIB
INFO, ERROR = 9, 17  # SeverityNumber
TRACE_ID, SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
INT64 = range(-(2**63), 2**63)


class OtlpSink:
    """POSTs export requests."""

    rows_max = ROWS_MAX
    bytes_max = BYTES_MAX
    record_bytes_max = RECORD_BYTES_MAX

    def __init__(self, account: Account) -> None:
        values = account.values
        self._poster = Poster(account)
        self._url = values["url"]
        self._service = values["service"]
        self._headers = {"Content-Type": "application/x-protobuf"}
        if account.secrets.get("authorization"):
            self._headers["Authorization"] = account.secrets["authorization"]

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Deliver one batch. One that is taken in part is parted: the answer does not say which."""
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
            ExportLogsServiceResponse,
        )

        body = self._request(records).SerializeToString()
        answer = self._poster.post(self._url, body, self._headers)
        if not answer.headers.get("content-type", "").startswith("application/x-protobuf"):
            return Receipt(words=answer.words)
        try:
            told = ExportLogsServiceResponse.FromString(answer.body).partial_success
        except ValueError as error:  # protobuf's DecodeError
            raise SinkError("This is no answer of OTLP", unsure=True) from error
        if told.rejected_log_records:
            words = f"{told.rejected_log_records} rejected: {told.error_message}"
            raise SinkError(words, permanent=True)
        return Receipt(words=told.error_message or f"{answer.status} {len(records)} taken")

    def close(self) -> None:
        """Let go of connections."""
        self._poster.close()

    def _request(self, records: Sequence[Outgoing]) -> Any:
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        request = ExportLogsServiceRequest()
        for tenant_id, group in groupby(records, key=lambda record: record.tenant_id):
            resource_logs = request.resource_logs.add()
            _put(resource_logs.resource.attributes.add(), "service.name", self._service)
            _put(resource_logs.resource.attributes.add(), "opsledger.tenant.id", str(tenant_id))
            scope_logs = resource_logs.scope_logs.add()
            scope_logs.scope.name = "opsledger"
            for record in group:
                _fill(scope_logs.log_records.add(), record)
        return request


def _fill(log: Any, record: Outgoing) -> None:
    failed = record.values.get("status") in {"failure", "timeout"}
    log.time_unix_nano = to_ms(record.created_at) * 1_000_000
    log.observed_time_unix_nano = time.time_ns()
    log.severity_number = ERROR if failed else INFO
    log.severity_text = "ERROR" if failed else "INFO"
    log.event_name = f"opsledger.{record.kind.value}"
    log.body.string_value = summary_of(record)
    for name, value in record.document.items():
        # A name of ours goes below ours; one of ECS or OCSF is that schema's.
        mine = record.document is record.values or name in record.values
        _put(log.attributes.add(), f"opsledger.{name}" if mine else name, value)
    metadata = record.values.get("metadata")
    trace = metadata if isinstance(metadata, dict) else {}
    if TRACE_ID.fullmatch(str(trace.get("trace_id", ""))):
        log.trace_id = bytes.fromhex(trace["trace_id"])
        if SPAN_ID.fullmatch(str(trace.get("span_id", ""))):
            log.span_id = bytes.fromhex(trace["span_id"])


def _put(pair: Any, name: str, value: Any) -> None:
    pair.key = name
    _set(pair.value, value)


def _set(target: Any, value: Any) -> None:
    """Set an AnyValue; null is one that is not set."""
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int) and value in INT64:
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for name, item in value.items():
            _put(target.kvlist_value.values.add(), name, item)
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            _set(target.array_value.values.add(), item)
    elif value is not None:
        target.string_value = str(value)


OTLP = SinkKind(
    name="otlp",
    words="OpenTelemetry logs over HTTP, as protobuf.",
    opener=OtlpSink,
    check=check_address,
    asked=(
        URL,
        Asked(name="service", words="service.name of the resource.", default="opsledger"),
        Asked(name="authorization", words="The header Authorization.", secret=True),
        COMPRESS,
        *TLS_ASKED,
    ),
)
