"""A host that a tenant names is reached at the address that was judged, or not at all."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from app.config import Settings
from app.domain.destinations import Destinations
from app.outbound import DestinationRefused, connect, destinations_of

LOCAL = Destinations(["127.0.0.0/8"])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server of this host that must not be reached unless it is allowed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(2)
        yield server


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these addresses, one list after the other; returns what was asked."""
    asked: list[str] = []
    left = list(answers)

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1"])
def test_a_host_of_our_own_is_not_reached(listener: socket.socket, host: str) -> None:
    """However the system lets its address be written; not a byte gets there."""
    with pytest.raises((DestinationRefused, OSError)):
        connect(host, port_of(listener), Destinations(), timeout_s=1)
    listener.settimeout(0.1)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_an_allowed_host_is_reached(listener: socket.socket) -> None:
    """And what comes back has a timeout."""
    with closing(connect("127.0.0.1", port_of(listener), LOCAL, timeout_s=1.5)) as made:
        other, _ = listener.accept()
        other.sendall(b"hello")
        assert made.recv(5) == b"hello"
        assert made.gettimeout() == 1.5
        other.close()


def test_the_settings_say_what_is_allowed(listener: socket.socket) -> None:
    """OPSLEDGER_PRIVATE_DESTINATIONS."""
    named = destinations_of(Settings(private_destinations=("127.0.0.1/32",)))
    connect("127.0.0.1", port_of(listener), named, timeout_s=1).close()
    with pytest.raises(DestinationRefused):
        connect("127.0.0.1", port_of(listener), destinations_of(Settings()), timeout_s=1)


def test_a_name_that_changes_its_mind_gains_nothing(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is resolved once, and what was judged is what is connected to."""
    asked = resolving(monkeypatch, ["127.0.0.1"], ["192.0.2.1"])
    connect("rebinding.example", port_of(listener), LOCAL, timeout_s=1).close()
    assert asked == ["rebinding.example"]


def test_one_private_address_among_public_ones_spoils_them_all(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a name would be tried until the order suits."""
    for answer in (["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"]):
        resolving(monkeypatch, answer)
        with pytest.raises(DestinationRefused):
            connect("mixed.example", port_of(listener), Destinations(), timeout_s=0.2)


def test_the_next_address_is_tried_where_one_is_dead(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As any client does."""
    resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    connect("two.example", port_of(listener), LOCAL, timeout_s=2).close()


def test_a_host_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the timeout in all, not for each of its addresses."""
    with socket.socket() as full:  # a queue that is full answers no further greeting
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        resolving(monkeypatch, ["127.0.0.1"] * 5)
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connect("dead.example", port_of(full), LOCAL, timeout_s=0.4)
        assert time.monotonic() - started < 1.5
        for one in waiting:
            one.close()
