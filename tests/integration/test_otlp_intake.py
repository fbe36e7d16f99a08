"""POST /v1/logs: what OpenTelemetry's own exporter sends becomes records, and nothing is lost."""

import gzip
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tests.support.world import World, problem_of, refused_fields

PATH = "/v1/logs"
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


@contextmanager
def served(world: World) -> Iterator[str]:
    """The app at a port of this host."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server: WSGIServer = make_server("127.0.0.1", 0, world.app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def pair(name: str, value: Any) -> dict[str, Any]:
    kinds = {bool: "boolValue", str: "stringValue", int: "intValue", float: "doubleValue"}
    if isinstance(value, dict):
        values = [pair(key, item) for key, item in value.items()]
        return {"key": name, "value": {"kvlistValue": {"values": values}}}
    return {"key": name, "value": {kinds[type(value)]: value}}


def request(*logs: dict[str, Any], service: str = "shop") -> dict[str, Any]:
    scope = {"scope": {"name": "of tests"}, "logRecords": list(logs)}
    resource = {"attributes": [pair("service.name", service)]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}


def test_the_exporter_of_the_sdk_writes_ten_thousand_records(live: World) -> None:
    """All of them can be queried; by its own batches, compressed."""
    who, count = live.settle(), 10_000
    with served(live) as url:
        from opentelemetry.exporter.otlp.proto.http import Compression

        exporter = OTLPLogExporter(
            endpoint=f"{url}{PATH}", headers=who.headers, compression=Compression.Gzip
        )
        provider = LoggerProvider(Resource.create({"service.name": "shop"}))
        processor = BatchLogRecordProcessor(exporter, max_queue_size=2 * count)
        provider.add_log_record_processor(processor)
        logger = logging.getLogger(f"otel of {who.slug}")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        handler = LoggingHandler(logger_provider=provider)
        logger.addHandler(handler)
        for number in range(count):
            logger.info(
                "charged",
                extra={
                    "opsledger.action_type": "crm_update",
                    "opsledger.execution_time_ms": number % 50,
                    "order": number,
                },
            )
        provider.shutdown()
        logger.removeHandler(handler)
    live.arrive()
    assert live_count(live, who) == count


def live_count(world: World, who: Any) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        total: int = who.get("/api/v1/logs/stats").json["total_actions"]
        if total == 10_000:
            break
        time.sleep(0.1)
    return total


def test_attributes_become_fields_and_the_rest_is_kept_in_metadata(live: World) -> None:
    """In JSON as OTLP writes it, with ids in hexadecimal."""
    who = live.settle()
    now = time.time_ns()
    acted = {
        "timeUnixNano": str(now),
        "severityNumber": 17,
        "severityText": "ERROR",
        "traceId": TRACE,
        "spanId": SPAN,
        "body": {"stringValue": "no such contact"},
        "attributes": [
            pair("opsledger.action_type", "crm_get"),
            pair("opsledger.provider_name", "hubspot"),
            pair("opsledger.execution_time_ms", 120),
            pair("opsledger.request_payload", {"id": 7}),
            pair("retries", 3),
        ],
    }
    changed = {
        "timeUnixNano": str(now),
        "severityNumber": 9,
        "attributes": [
            pair("opsledger.action", "update"),
            pair("opsledger.resource_type", "contact"),
            pair("opsledger.resource_id", "c-1"),
            pair("user.id", "u-1"),
            pair("client.address", "192.0.2.7"),
        ],
    }
    plain = {"timeUnixNano": str(now), "body": {"stringValue": "started"}, "severityNumber": 9}
    answer = who.post(PATH, json=request(acted, changed, plain))
    assert (answer.status_code, answer.json) == (200, {})
    live.arrive()
    (listed,) = who.get("/api/v1/logs/actions").json
    one = who.get(f"/api/v1/logs/actions/{listed['id']}").json
    assert (one["status"], one["error_message"]) == ("failure", "no such contact")
    assert (one["execution_time_ms"], one["request_payload"]) == (120, {"id": 7})
    assert one["operation_id"] == TRACE
    assert (one["metadata"]["trace_id"], one["metadata"]["span_id"]) == (TRACE, SPAN)
    assert one["metadata"]["otel"]["attributes"] == {"retries": 3}
    assert one["metadata"]["otel"]["resource"] == {"service.name": "shop"}
    audits = {row["action"]: row for row in who.get("/api/v1/logs/audits").json}
    contact = audits["update"]
    assert (contact["user_id"], contact["ip_address"]) == ("u-1", "192.0.2.7")
    log = audits["log"]
    assert (log["resource_type"], log["resource_id"]) == ("log", "shop")
    detail = who.get(f"/api/v1/logs/audits/{log['id']}").json
    assert detail["metadata"]["otel"]["body"] == "started"


def test_what_is_wrong_is_told_in_partial_success_and_the_rest_is_kept(world: World) -> None:
    """As OTLP has it, in protobuf."""
    who = world.settle()
    good = {"attributes": [pair("opsledger.action_type", "crm_get")]}
    bad = {"attributes": [pair("opsledger.kind", "action"), pair("opsledger.status", "odd")]}
    answer = who.post(PATH, json=request(good, bad))
    told = answer.json["partialSuccess"]
    assert told["rejectedLogRecords"] == "1"
    assert "log record 1" in told["errorMessage"]
    message = ExportLogsServiceRequest()
    of_resource = message.resource_logs.add()
    log = of_resource.scope_logs.add().log_records.add()
    log.attributes.add(key="opsledger.kind").value.string_value = "action"
    for body, headers in (
        (message.SerializeToString(), {}),
        (gzip.compress(message.SerializeToString()), {"Content-Encoding": "gzip"}),
    ):
        answer = who.client.post(
            PATH,
            data=body,
            headers={**who.headers, **headers},
            content_type="application/x-protobuf",
        )
        assert answer.content_type == "application/x-protobuf"
        told = ExportLogsServiceResponse.FromString(answer.data).partial_success
        assert told.rejected_log_records == 1
        assert "action_type" in told.error_message


def test_what_is_no_request_is_refused(world: World) -> None:
    """By scope, type, form and size."""
    who = world.settle()
    problem_of(world.settle(("logs:read",)).post(PATH, json=request()), 403)
    problem_of(who.client.post(PATH, json=request()), 401)
    problem_of(who.post(PATH, data=b"x", content_type="text/plain"), 415)
    for body, kind in (
        (b"\xff\xff\xff", "application/x-protobuf"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (json.dumps({"resourceLogs": 7}).encode(), "application/json"),
        (json.dumps(request({"traceId": "no hex"})).encode(), "application/json"),
    ):
        answer = who.post(PATH, data=body, content_type=kind)
        assert "body" in refused_fields(answer), body
    many = request(*({} for _ in range(10_001)))
    assert "10000" in refused_fields(who.post(PATH, json=many))["body"]
    assert who.post(PATH, json={}).status_code == 200
