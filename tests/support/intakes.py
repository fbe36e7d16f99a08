"""Fakes of intakes that cannot run here; each checks every request by the published shape of its
API, and can be told to fail.
"""

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Reply = tuple[int, dict[str, str], bytes]
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Request:
    """What came: body as inflated."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    bytes_sent: int


@dataclass
class Intake:
    """A server that keeps what it took, by id, and what was wrong with requests."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    requests: int = 0
    fail: Callable[[Request], Reply | None] = lambda _: None  # answers in place of the server
    judge: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda _: None  # of one item
    lock: Any = field(default_factory=threading.Lock)

    def check(self, right: object, words: str) -> None:
        """Note a breach of the published shape."""
        if not right:
            self.wrong.append(words)

    def ids(self) -> list[str]:
        """The ids of what it took, in order."""
        return [one["id"] for one in self.got]

    def take(self, request: Request) -> Reply:
        """Take a request."""
        raise NotImplementedError


class Bulk(Intake):
    """Elasticsearch's _bulk: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
    A data stream takes `create` alone, and documents with @timestamp.
    """

    def __init__(self) -> None:
        super().__init__()
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}

    def take(self, request: Request) -> Reply:
        """Answer for each item, as the server does."""
        self.check(request.path.endswith("/_bulk"), f"path {request.path}")
        kind = request.headers["content-type"].partition(";")[0]
        self.check(kind in {"application/x-ndjson", "application/json"}, f"type {kind}")
        self.check(request.body.endswith(b"\n"), "the body must end with a newline")
        lines = request.body.split(b"\n")[:-1]
        self.check(len(lines) % 2 == 0, "an odd number of lines")
        items = []
        for head, source in zip(lines[::2], lines[1::2], strict=True):
            ((verb, about),) = json.loads(head).items()
            document = json.loads(source)
            self.check(verb in {"create", "index"}, f"{verb} into a data stream")
            self.check("@timestamp" in document, "no @timestamp")
            stream = document.get("data_stream")
            if stream:
                name = f"{stream['type']}-{stream['dataset']}-{stream['namespace']}"
                self.check(about["_index"] == name, f"{about['_index']} is not {name}")
            items.append({verb: self._item(about, document)})
        failed = any(next(iter(item.values()))["status"] >= 300 for item in items)
        answer = {"took": 3, "errors": failed, "items": items}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def _item(self, about: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        told = {"_index": about["_index"], "_id": about.get("_id", "made")}
        judged = self.judge(document)
        if judged:
            status, words = judged
            return {**told, "status": status, "error": {"type": "refused", "reason": words}}
        key = (about["_index"], told["_id"])
        if key in self.documents:
            error = {"type": "version_conflict_engine_exception", "reason": "exists"}
            return {**told, "status": 409, "error": error}
        self.documents[key] = document
        self.got.append({"id": told["_id"], **document})
        return {**told, "status": 201, "result": "created", "_version": 1}


class Datadog(Intake):
    """https://docs.datadoghq.com/api/latest/logs/#send-logs"""

    key = "0123456789abcdef0123456789abcdef"

    def take(self, request: Request) -> Reply:
        """Take an array of entries within the limits."""
        self.check(request.path == "/api/v2/logs", f"path {request.path}")
        self.check(request.headers["content-type"] == "application/json", "type")
        self.check(len(request.body) <= 5_000_000, f"{len(request.body)} bytes")
        if request.headers.get("dd-api-key") != self.key:
            return 403, {}, b'{"errors":[{"status":"403","title":"Forbidden"}]}'
        entries = json.loads(request.body)
        self.check(isinstance(entries, list) and len(entries) <= 1000, "more than 1,000")
        for entry in entries:
            self.check(len(json.dumps(entry)) <= 1_000_000, "an entry above 1 MB")
            for name in ("ddsource", "ddtags", "hostname", "message", "service"):
                self.check(isinstance(entry.get(name), str), f"{name} is no text")
            self.got.append({"id": entry["opsledger"]["id"], **entry})
        return 202, {"Content-Type": "application/json"}, b"{}"


class Splunk(Intake):
    """https://docs.splunk.com/Documentation/Splunk/latest/RESTREF/RESTinput: HEC, with ackId."""

    token = "11111111-2222-3333-4444-555555555555"

    def __init__(self) -> None:
        super().__init__()
        self.acks: dict[tuple[str, int], int] = {}
        self.looks_needed = 2  # until a batch is acknowledged

    def take(self, request: Request) -> Reply:
        """Take events one behind the other, or tell of acknowledgements."""
        if request.headers.get("authorization") != f"Splunk {self.token}":
            return 403, {}, b'{"text":"Invalid token","code":4}'
        channel = request.headers.get("x-splunk-request-channel", "")
        self.check(UUID_FORM.fullmatch(channel), f"channel {channel!r}")
        if request.path == "/services/collector/ack":
            self.check(request.query.get("channel") == [channel], "channel of the query")
            return self._acknowledge(channel, json.loads(request.body)["acks"])
        self.check(request.path == "/services/collector/event", f"path {request.path}")
        text, at, decoder = request.body.decode(), 0, json.JSONDecoder()
        known = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
        while at < len(text):
            event, at = decoder.raw_decode(text, at)
            at += len(text[at:]) - len(text[at:].lstrip())
            self.check(set(event) <= known, f"{set(event) - known} is not known")
            self.check(event.get("event"), "an event is required")
            flat = all(isinstance(value, str) for value in event["fields"].values())
            self.check(flat, "fields must be flat")
            self.got.append({"id": event["fields"]["record_id"], **event})
        number = len(self.acks)
        self.acks[channel, number] = 0
        answer = {"text": "Success", "code": 0, "ackId": number}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def _acknowledge(self, channel: str, numbers: list[int]) -> Reply:
        told = {}
        for number in numbers:
            self.acks[channel, number] += 1
            told[str(number)] = self.acks[channel, number] >= self.looks_needed
        return 200, {"Content-Type": "application/json"}, json.dumps({"acks": told}).encode()


@contextmanager
def serving(intake: Any) -> Iterator[Any]:
    """The intake, on this host."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = gzip.decompress(sent) if headers.get("content-encoding") == "gzip" else sent
            url = urlsplit(self.path)
            request = Request(self.command, url.path, parse_qs(url.query), headers, body, len(sent))
            with intake.lock:
                intake.requests += 1
                status, told, answer = intake.fail(request) or intake.take(request)
            if status == 0:  # hang up without a word
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Callers are killed now and then; what they sent is accounted for elsewhere."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    intake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield intake
    finally:
        server.shutdown()
        server.server_close()
