"""The stream over a WebSocket where no process holds it: what is there now, and the close."""

import base64
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server

from tests.support.events import read_events
from tests.support.websocket import messages, open_websocket
from tests.support.world import Inhabitant, World, action, refused_fields

STREAM = "/api/v1/logs/stream"


@pytest.fixture
def address(world: World) -> Iterator[str]:
    """Where the app is served, by a server that hands over its sockets."""
    server = make_server("127.0.0.1", 0, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}{STREAM}"
    server.shutdown()
    thread.join()


def told(address: str, who: Inhabitant, query: str = "") -> list[dict[str, Any]]:
    """All messages until the server closes."""
    with open_websocket(f"{address}?{query}", who.headers) as (sock, protocol):
        return list(messages(sock, protocol))


def test_messages_are_the_events(world: World, address: str) -> None:
    """The same names, places and records, in the same order; and on from any of them."""
    who = world.settle()
    world.put(*(action(who.tenant_id, status="failure") for _ in range(150)))
    world.put(action(who.tenant_id))
    found = told(address, who, "status=failure")
    events = read_events(who.get(f"{STREAM}?status=failure").text.splitlines())
    assert found == list(events)
    assert [len(one["data"]) for one in found] == [100, 50]
    after = found[0]["id"]
    assert told(address, who, f"status=failure&after={after}") == found[1:]


def test_what_cannot_be_is_answered_before_the_handshake(world: World, address: str) -> None:
    """As any request: 401, 400, and nothing is upgraded."""
    who = world.settle()
    for headers, query, status in (
        ({"X-API-Key": "nobody"}, "", 401),
        (who.headers, "log=both", 400),
        (who.headers, "after=nonsense", 400),
        (world.settle(["logs:write"]).headers, "", 403),
    ):
        with (
            pytest.raises(ConnectionRefusedError) as refused,
            open_websocket(f"{address}?{query}", headers),
        ):
            pass
        assert refused.value.args[0] == status


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({}, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "short"}, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}, "Sec-WebSocket-Version"),
    ],
)
def test_a_handshake_that_is_none_is_a_400(
    world: World, headers: dict[str, str], field: str
) -> None:
    """It names the header."""
    who = world.settle()
    sent = {**who.headers, "Upgrade": "websocket", "Connection": "Upgrade", **headers}
    assert field in refused_fields(who.client.get(STREAM, headers=sent))


def test_where_there_is_no_socket_to_be_had_it_says_what_to_do(world: World) -> None:
    """A server of another kind."""
    who = world.settle()
    key = base64.b64encode(os.urandom(16)).decode()
    sent = {
        **who.headers,
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    }
    assert "events" in refused_fields(who.client.get(STREAM, headers=sent))["Upgrade"]


def test_a_reader_that_talks_or_breaks_off_harms_nobody(world: World, address: str) -> None:
    """Its words are not heard, nonsense ends its connection, and others are served."""
    who = world.settle()
    world.put(action(who.tenant_id))
    with open_websocket(f"{address}?", who.headers) as (sock, _):
        sock.sendall(b"\xff\xff\xff\xff not a frame")
        sock.shutdown(socket.SHUT_RDWR)
    assert len(told(address, who)) == 1
