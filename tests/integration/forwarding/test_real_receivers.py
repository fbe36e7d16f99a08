"""Forwarding to programs of others: rsyslog, an agent of OpenTelemetry, a server that speaks S3."""

import gzip
import importlib.util
import json
import re
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from app.dev import process
from app.dev.server import free_port
from tests.support.forwarding import Line, made, shown
from tests.support.intakes import Bulk, Intake, Reply, Request, serving
from tests.support.rsyslog import make_certificates, needs_rsyslog, running, tls_receiver
from tests.support.tails import ids
from tests.support.world import World, action, audit, eventually


def test_rsyslog_takes_records_by_tls_from_whoever_it_knows(
    world: World, line: Line, tmp_path: Path
) -> None:
    """TLS 1.3 with a client's certificate; structured data and all of the record, line by line."""
    who = world.settle()
    certificates = make_certificates(tmp_path / "certificates")
    with tls_receiver(tmp_path, certificates) as (port, out):
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "ca": certificates.read("ca.pem"),
        }
        stranger = made(who, "syslog", settings, name="stranger")
        known = {
            "client_certificate": certificates.read("client.pem"),
            "client_key": certificates.read("client.key"),
        }
        friend = made(who, "syslog", {**settings, **known}, name="friend")
        assert "PRIVATE KEY" not in json.dumps(friend)
        hard = {"quote": 'a"b]c\\d', "line": "one\ntwo", "sign": "é😀"}
        records = [
            action(who.tenant_id, request_payload=hard, status="failure", operation_id='x"]\\'),
            *(action(who.tenant_id) for _ in range(50)),
            audit(who.tenant_id),
        ]
        world.put(*records)
        line.run()
        eventually(lambda: out.exists() and len(out.read_text().splitlines()) >= len(records))
        found = shown(who, friend)
        assert (found["sent"], found["last_error"]) == (len(records), None)
        refused = shown(who, stranger)
        assert (refused["sent"], refused["waiting_records"]) == (0, len(records))
        assert refused["last_error"]
    told = {}
    for text_line in out.read_text().splitlines():
        head, _, message = text_line.partition("|")
        priority, _, host, app, kind, data = head.split(" ", 5)
        record_id = re.search(r'id="([0-9a-f-]{36})"', data)
        assert record_id
        told[record_id[1]] = (int(priority), kind, json.loads(message))
        assert (host, app) == ("opsledger", "opsledger")
        assert data.startswith("[opsledger@32473 ")
    assert sorted(told) == sorted(ids(*records))
    priority, kind, message = told[str(records[0].id)]
    assert (priority, kind, message["request_payload"]) == (13 * 8 + 3, "action", hard)


class Listener:
    """A receiver of plain syslog, which may hang up before it has read everything."""

    def __init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.breaks_off = False
        self.got: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)  # who waits at it lets go
        self._door.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self._door.accept()
                with link, suppress(OSError):
                    self._receive(link)

    def _receive(self, link: socket.socket) -> None:
        if self.breaks_off:
            link.recv(10)
            time.sleep(0.1)  # the rest is confirmed by this system, and read by nobody
            return
        held = b""
        while data := link.recv(65_536):
            held += data
        self.got.append(held)


def test_a_receiver_of_syslog_that_hangs_up_before_it_has_read_all_gets_it_again(
    world: World, line: Line
) -> None:
    """Although its system had confirmed every byte. What is too large is a dead letter."""
    who, listener = world.settle(), Listener()
    settings = {"host": "127.0.0.1", "port": listener.port, "tls": False}
    destination = made(who, "syslog", {**settings, "message_bytes_max": 2000})
    small = action(who.tenant_id)
    world.put(action(who.tenant_id, request_payload={"x": "y" * 3000}), small)
    listener.breaks_off = True
    line.run()
    found = shown(who, destination)
    assert (found["sent"], found["waiting_records"]) == (0, 2)
    assert "reset" in found["last_error"]
    listener.breaks_off = False
    line.run(later_s=10)
    found = shown(who, destination)
    assert (found["sent"], found["dead_letters"], found["waiting_records"]) == (1, 1, 0)
    (received,) = listener.got
    length, _, rest = received.partition(b" ")
    assert int(length) == len(rest)
    assert str(small.id).encode() in rest
    listener.close()
    world.put(action(who.tenant_id))
    line.run(later_s=10)
    found = shown(who, destination)
    assert (found["sent"], found["waiting_records"]) == (1, 1)


class Export(Intake):
    """Takes what an agent of OpenTelemetry exports."""

    def take(self, request: Request) -> Reply:
        message = ExportLogsServiceRequest.FromString(request.body)
        for of_resource in message.resource_logs:
            resource = {
                pair.key: pair.value.string_value for pair in of_resource.resource.attributes
            }
            for of_scope in of_resource.scope_logs:
                for log in of_scope.log_records:
                    told = {pair.key: pair.value for pair in log.attributes}
                    self.got.append(
                        {
                            "id": told["opsledger.id"].string_value,
                            "resource": resource,
                            "severity": log.severity_number,
                            "trace": log.trace_id.hex(),
                            "body": log.body.string_value,
                            "attributes": told,
                        }
                    )
        return 200, {"Content-Type": "application/x-protobuf"}, b""


def test_an_agent_of_opentelemetry_takes_records_and_passes_them_on(
    world: World, line: Line, tmp_path: Path
) -> None:
    """rotel, another's implementation, by OTLP over HTTP in and out."""
    spec = importlib.util.find_spec("rotel")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel rotel is not installed here")
    port = free_port()
    who = world.settle()
    with serving(Export()) as export:
        argv = [str(Path(spec.origin).with_name("rotel-agent")), "start"]
        argv += ["--otlp-http-endpoint", f"127.0.0.1:{port}"]
        argv += ["--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--exporter", "otlp"]
        argv += ["--otlp-exporter-endpoint", export.url, "--otlp-exporter-protocol", "http"]
        argv += ["--logs-batch-timeout", "200ms"]
        child = process.spawn(argv, log_path=tmp_path / "rotel.log")
        try:
            eventually(lambda: answers(port))
            destination = made(who, "otlp", {"url": f"http://127.0.0.1:{port}/v1/logs"})
            trace = {"trace_id": "5b8efff798038103d269b633813fc60c"}
            odd = {"n": None, "deep": [1, {"x": 2.5}], "big": 2**70, "yes": True}
            record = action(who.tenant_id, metadata=trace, request_payload=odd, status="timeout")
            changed = audit(who.tenant_id)
            world.put(record, changed)
            line.run()
            found = shown(who, destination)
            assert (found["sent"], found["last_error"]) == (2, None)
            eventually(lambda: len(export.got) == 2)
        finally:
            process.stop(child, [(signal.SIGTERM, 5.0)])
    assert set(export.ids()) == set(ids(record, changed))
    told = next(one for one in export.got if one["id"] == str(record.id))
    assert (told["severity"], told["trace"]) == (17, trace["trace_id"])
    assert told["resource"]["opsledger.tenant.id"] == str(who.tenant_id)
    assert told["attributes"]["opsledger.execution_time_ms"].int_value == 12
    payload = told["attributes"]["opsledger.request_payload"].kvlist_value.values
    shapes = {pair.key: pair.value.WhichOneof("value") for pair in payload}
    assert shapes == {"n": None, "deep": "array_value", "big": "string_value", "yes": "bool_value"}


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_server_of_s3_gets_an_object_for_each_hour(world: World, line: Line) -> None:
    """The same one if it is sent again; at most every minute."""
    moto = pytest.importorskip("moto.server", reason="moto's server is not installed here")
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.create_bucket(Bucket="ledger")
        who = world.settle()
        settings = {
            "bucket": "ledger",
            "endpoint": url,
            "prefix": "/ops/",
            "access_key_id": "key",
            "secret_access_key": "secret",
        }
        destination = made(who, "s3", settings, kinds=["action"])
        records = [action(who.tenant_id) for _ in range(3)]
        world.put(*records)
        line.run()
        assert shown(who, destination)["last_error"] is None
        later = action(who.tenant_id)
        world.put(later)
        assert line.run() == 0  # it gathers
        line.run(later_s=61)
        listed = client.list_objects_v2(Bucket="ledger", Prefix="ops/")["Contents"]
        place = rf"ops/tenant={who.tenant_id}/kind=action/date=[0-9-]{{10}}/hour=\d\d/.*\.jsonl\.gz"
        assert all(re.fullmatch(place, one["Key"]) for one in listed)
        found = []
        for one in listed:
            body = client.get_object(Bucket="ledger", Key=one["Key"])["Body"].read()
            found += [json.loads(text)["id"] for text in gzip.decompress(body).splitlines()]
        assert sorted(found) == sorted(ids(*records, later))
    finally:
        server.stop()


def test_rsyslog_writes_to_the_same_bulk_as_we_do(tmp_path: Path) -> None:
    """An independent writer finds nothing wrong with the fake, and the fake nothing with it."""
    needs_rsyslog("omelasticsearch")
    port = free_port()
    with serving(Bulk()) as bulk:
        where = bulk.url.rpartition(":")[2]
        config = f"""
global(workDirectory="{tmp_path}")
module(load="imtcp") module(load="omelasticsearch")
template(name="document" type="list") {{
    constant(value="{{\\"@timestamp\\":\\"") property(name="timestamp" dateFormat="rfc3339")
    constant(value="\\",\\"message\\":\\"") property(name="msg" format="json")
    constant(value="\\"}}")
}}
template(name="number" type="string" string="%syslogtag%%msg%")
ruleset(name="bulk") {{
    action(type="omelasticsearch" server="127.0.0.1" serverport="{where}" template="document"
        searchIndex="logs-independent-default" searchType="" bulkmode="on" writeoperation="create"
        bulkid="number" dynBulkId="on"
        queue.type="linkedList" queue.dequeueBatchSize="5")
}}
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="bulk")
"""
        health: Reply = (200, {"Content-Type": "application/json"}, b"{}")
        bulk.fail = lambda request: None if request.path.endswith("_bulk") else health
        with running(tmp_path, config, port):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
                for number in range(10):
                    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                    link.sendall(f"<14>1 {stamp} host app - - - message {number}\n".encode())
            eventually(lambda: len(bulk.got) == 10)
        assert bulk.wrong == []
        assert {one["message"].strip() for one in bulk.got} == {f"message {n}" for n in range(10)}
