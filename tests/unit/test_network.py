"""Calls out, against a real server on this host: bounds, pooling, and addresses nobody may call."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.destinations import Destinations
from app.errors import ProviderAway, ProviderError, ProviderNonsense, ProviderTimeout
from app.providers import network as module
from app.providers.messages import Request, json_request
from app.providers.network import Network
from tests.support.peer import Asked, Peer, reply, serving

HERE = Destinations(["127.0.0.1/32"])


@pytest.fixture
def network() -> Iterator[Network]:
    """A client that may call this host."""
    made = Network(HERE)
    yield made
    made.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A provider that answers by what it is asked."""
    with serving(
        lambda _, handler: reply(handler, 200, b'{"a": 1}', {"X-Request-ID": "r"})
    ) as made:
        yield made


def asked(peer: Peer, path: str = "/") -> Request:
    return json_request("GET", f"{peer.url}{path}")


def test_a_request_arrives_as_it_was_made(network: Network, peer: Peer) -> None:
    """Method, path, query, headers and body; and the answer comes back whole."""
    request = json_request(
        "PATCH",
        f"{peer.url}/things/%2F",
        content={"name": "Ä"},
        query={"limit": 3, "q": "a&b", "many": ["x", "y"]},
        headers={"Authorization": "Bearer t"},
    )
    response = network.send(request, timeout_s=5)
    assert (response.status, response.json()) == (200, {"a": 1})
    assert response.headers["x-request-id"] == "r"
    (got,) = peer.asked
    assert (got.method, got.path) == ("PATCH", "/things/%2F?limit=3&q=a%26b&many=x&many=y")
    assert got.body == '{"name": "Ä"}'.encode()
    assert got.headers["authorization"] == "Bearer t"
    assert got.headers["content-type"] == "application/json"


def test_connections_are_used_again(network: Network, peer: Peer) -> None:
    """Also after a refusal."""
    for _ in range(5):
        network.send(asked(peer), timeout_s=5)
        peer.answer = lambda _, handler: reply(handler, 404)
    assert (len(peer.asked), peer.connections) == (5, 1)


def late(_: Asked, handler: Any) -> None:
    time.sleep(0.5)
    reply(handler, 200)


def dripping(_: Asked, handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    for _number in range(100):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.02)


def broken(_: Asked, handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"a')
    handler.close_connection = True


def hung_up(_: Asked, handler: Any) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def no_http(_: Asked, handler: Any) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        *((late, ProviderTimeout), (dripping, ProviderTimeout), (broken, ProviderNonsense)),
        *((hung_up, ProviderNonsense), (no_http, ProviderNonsense)),
    ],
)
def test_every_way_to_fail_has_its_error_in_time(
    network: Network, peer: Peer, answer: Any, error: type[ProviderError]
) -> None:
    """Nobody knows what the provider did; and the next call is not disturbed by what was left."""
    peer.answer = answer
    started = time.monotonic()
    with pytest.raises(error) as refusal:
        network.send(asked(peer), timeout_s=0.1)
    assert time.monotonic() - started < 2.0
    assert not refusal.value.untouched
    peer.answer = lambda _, handler: reply(handler, 200, b"[]")
    assert network.send(asked(peer), timeout_s=5).json() == []


def test_a_provider_that_is_away_was_asked_nothing(network: Network) -> None:
    """A port where nobody listens, a name that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "https://no.such.host.invalid/"):
        with pytest.raises(ProviderAway) as refusal:
            network.send(json_request("GET", url), timeout_s=1)
        assert (refusal.value.untouched, refusal.value.status) == (True, 503)


def test_an_answer_is_bounded(
    network: Network, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its length says."""
    monkeypatch.setattr(module, "ANSWER_BYTES_MAX", 100_000)
    peer.answer = lambda _, handler: reply(handler, 200, b" " * 1_000_000)
    with pytest.raises(ProviderNonsense, match="larger"):
        network.send(asked(peer), timeout_s=5)


def test_a_redirect_is_not_followed(network: Network, peer: Peer) -> None:
    """It may lead anywhere, with the tenant's credentials."""
    peer.answer = lambda _, handler: reply(handler, 302, b"", {"Location": f"{peer.url}/secret"})
    assert network.send(asked(peer), timeout_s=5).status == 302
    assert len(peer.asked) == 1


FORBIDDEN = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "224.0.0.1", "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "[::]"),
    *("localhost", "2130706433", "0x7f000001", "127.1"),
]


@pytest.mark.parametrize("host", FORBIDDEN)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_address_of_our_own_networks_can_be_called(host: str, scheme: str) -> None:
    """However it is written."""
    network = Network(Destinations())
    with pytest.raises(ProviderAway, match="public"):
        network.send(json_request("GET", f"{scheme}://{host}:1/"), timeout_s=1)


def test_a_name_that_resolves_to_an_own_address_cannot_be_called(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that is one of several; what was judged is what is connected to."""
    port = int(peer.url.rpartition(":")[2])
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in ("93.184.215.14", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ProviderAway, match="public"):
        Network(Destinations()).send(
            json_request("GET", f"https://rebound.example:{port}/"), timeout_s=1
        )
    assert peer.connections == 0


def test_plain_http_is_for_allowed_networks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials do not cross the internet in the clear."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ProviderAway, match="https"):
        Network(HERE).send(json_request("GET", "http://api.example.com/"), timeout_s=1)


@pytest.mark.parametrize("url", ["ftp://example.com/", "file:///etc/passwd", "example.com", ""])
def test_other_schemes_are_none(url: str) -> None:
    """No file, no mail, no guess."""
    with pytest.raises(ProviderAway, match="https"):
        Network(HERE).send(Request(method="GET", url=url), timeout_s=1)
