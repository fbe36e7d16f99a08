"""Secrets planted wherever one can be, in the running product: they appear nowhere that anything
is kept or shown.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from sqlalchemy import make_url

from app.dev import EmbeddedBroker
from tests.support.ingest import ACTIONS, AUDITS, call, change
from tests.support.planted import (
    AWS,
    GITHUB,
    HEADERS,
    KEY,
    PASSWORD,
    PAYLOAD,
    STRIPE,
    TEXT,
    found_in,
)
from tests.support.product import Product

CONTACTS = "/api/v1/crm/contacts"
MARK = "[redacted: stripe_key]"


@pytest.fixture
def leaky(product_environment: dict[str, str], tmp_path: Path) -> Iterator[Product]:
    """Web alone: what it captures lies in the spool and in the broker until a worker comes."""
    application = "tests.support.planted:application"
    with Product(product_environment, tmp_path, ("web",), application=application) as product:
        yield product


def plant(product: Product) -> str:
    """Send secrets through every door; returns the errors that callers were shown."""

    def ask(method: str, path: str, **options: Any) -> Any:
        headers = {**HEADERS, **options.pop("headers", {})}
        url = f"http://127.0.0.1:{product.port}{path}"
        return product.session.request(method, url, headers=headers, timeout=30, **options)

    texts = {"operation_id": GITHUB, "metadata": PAYLOAD}
    action = call(request_payload=PAYLOAD, response_data=TEXT, error_message=TEXT, **texts)
    audit = change(changes=PAYLOAD, user_agent=TEXT, user_id=f"u {AWS}", **texts)
    contact = {"email": "jane@example.com", "last_name": STRIPE, "properties": PAYLOAD}
    kept = [
        ask("POST", ACTIONS, json=[action, call(status=TEXT)]),
        ask("POST", AUDITS, json=[audit, change(tenant_id=TEXT)]),
    ]
    assert [answer.json()["accepted"] for answer in kept] == [1, 1]
    assert ask("POST", CONTACTS, json=contact).status_code == 201  # the provider's answer, as it is
    shown = [
        *kept,
        ask("GET", f"{CONTACTS}/{STRIPE}"),
        ask("PATCH", f"{CONTACTS}/1", json=contact),
        ask("DELETE", f"{CONTACTS}/1"),
        ask("GET", f"{CONTACTS}/search", params={"q": STRIPE}),
        ask("GET", f"/api/v1/logs/{STRIPE}", params={"token": PASSWORD}),
        ask("GET", "/api/v1/logs/actions", params={"a": TEXT, TEXT: "b"}),
        ask("GET", "/api/v1/logs/actions", params={"status": TEXT}),
        ask("POST", CONTACTS, json={TEXT: TEXT}),
        ask("POST", CONTACTS, data=TEXT, headers={"Content-Type": "application/json"}),
        ask("GET", "/api/v1/logs/actions", headers={"X-API-Key": KEY}),
        ask("POST", "/health/live", data=TEXT),
        ask("GET", "/metrics"),
    ]
    statuses = [answer.status_code for answer in shown[2:12]]
    assert statuses == [404, 504, 500, 400, 404, 400, 400, 400, 400, 401]
    return "\n".join(f"{answer.headers}{answer.text}" for answer in shown)


def speak(product: Product, request: bytes) -> str:
    """The answer to bytes that a client library would not send."""
    with socket.create_connection(("127.0.0.1", product.port), timeout=10) as line:
        line.sendall(request)
        return line.recv(65_536).decode("latin-1")


def send_what_is_no_request(product: Product) -> None:
    """Headers past gunicorn's bounds (the line, one field, how many), and such as are none."""
    host = b"Host: x\r\n"
    line = b"GET /api/v1/logs/actions?q=" + b"x" * 8200 + b" HTTP/1.1\r\n" + host + b"\r\n"
    assert speak(product, line).startswith("HTTP/1.1 414 ")
    start = b"GET /health/live HTTP/1.1\r\n" + host
    for fields in (b"X-A: " + b"x" * 8200 + b"\r\n", b"X-A: x\r\n" * 64):
        assert speak(product, start + fields + b"\r\n").startswith("HTTP/1.1 431 ")
    fields = b"X-A: x\r\n" * 62 + b"Connection: close\r\n"
    assert speak(product, start + fields + b"\r\n").startswith("HTTP/1.1 200 ")
    for broken in (f"Authorization Bearer {STRIPE}\r\n", f"X {KEY}: {AWS}\r\n"):
        assert speak(product, start + broken.encode() + b"\r\n").startswith("HTTP/1.1 400 ")
    assert speak(product, f"GET {TEXT} HTTP/1.1\r\n\r\n".encode()).startswith("HTTP/1.1 400 ")
    assert product.answers()


def held_by(broker: EmbeddedBroker) -> str:
    """All that the broker has in any key, and in its file on disk."""
    found = [path.read_bytes() for path in broker.data_dir.rglob("*.aof")]
    with redis.Redis.from_url(broker.url) as client:
        readers = {
            b"string": client.get,
            b"list": lambda key: b"".join(client.lrange(key, 0, -1)),
            b"set": lambda key: b"".join(client.smembers(key)),
            b"hash": lambda key: repr(client.hgetall(key)).encode(),
            b"zset": lambda key: b"".join(client.zrange(key, 0, -1)),
        }
        for key in client.scan_iter("*"):
            found += [key, readers[client.type(key)](key) or b""]
    return b"\n".join(found).decode("utf-8", "replace")


def dumped(url: str) -> str:
    """Every row of every table as text, read as the owner."""
    given = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg2.connect(given)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
                " AND relnamespace = 'public'::regnamespace"
            )
            tables = [row[0] for row in cursor.fetchall()]
            rows = []
            for table in tables:
                cursor.execute(f"SELECT t::text FROM {table} t")
                rows += [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()
    assert {"dead_letters", "log_batches", "api_keys"} <= set(tables)
    return "\n".join(rows)


def test_no_planted_secret_is_kept_or_shown_anywhere(
    leaky: Product, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Headers, query, body, provider's answer, exceptions: not in the spool, the broker, the
    database, a log or an error; the masks are there in each, so each was looked into.
    """
    errors = plant(leaky)
    assert found_in(errors) == []
    assert MARK in errors
    send_what_is_no_request(leaky)
    data = Path(leaky.env["OPSLEDGER_DATA_DIR"])
    assert leaky.wait_for(lambda: held_by(broker).count(MARK) > 10)
    spool = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    for kept in (spool.decode("utf-8", "replace"), held_by(broker)):
        assert kept.count(MARK) > 10
        assert found_in(kept) == []

    worker = leaky.start_another("worker")
    try:
        assert leaky.wait_for(lambda: dumped(leaky.env["OWNER_DATABASE_URL"]).count(MARK) > 10)
        rows = dumped(leaky.env["OWNER_DATABASE_URL"])
        shown = leaky.get("/api/v1/logs/actions?limit=1000").text
    finally:
        worker.stop()
    assert found_in(rows + shown + held_by(broker)) == []
    assert "the provider failed: Bearer [redacted: bearer]" in rows
    logs = "".join(path.read_text("utf-8", "replace") for path in tmp_path.rglob("*.log"))
    assert "the provider failed: Bearer [redacted: bearer]" in logs
    assert "ValueError: Bearer [redacted: bearer]" in logs
    assert "Invalid HTTP Header: 'Authorization Bearer [redacted: " in logs
    assert found_in(logs) == []
