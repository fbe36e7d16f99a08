"""Connections to hosts that tenants name: each is made to the very address that was judged.

So a name that resolves to another address the second time gains nothing.
"""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from .config import Settings
from .domain.destinations import Destinations
from .errors import OpsledgerError


class DestinationRefused(OpsledgerError):
    """This host has an address that is not public, and none of the networks that are allowed."""


def destinations_of(settings: Settings) -> Destinations:
    """Where the platform lets URLs of tenants lead."""
    return Destinations(settings.private_destinations)


def connect(
    host: str, port: int, destinations: Destinations, *, timeout_s: float, plain: bool = False
) -> socket.socket:
    """A connection to a host, all of whose addresses are allowed.

    Args:
        timeout_s: of all tries together, in seconds, and from then on of each read and write.
            Resolving the name is the system's business, and takes as long as that lets it.
        plain: whether what is sent is not encrypted, which is for named networks alone.

    Raises:
        DestinationRefused: any address of the host is not allowed; none was tried.
        OSError: its name is not known, or none of its addresses answers.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        _judge(host, str(address[0]), destinations, plain=plain)
    deadline = time.monotonic() + timeout_s
    last: OSError = TimeoutError(f"{host} does not answer")
    for family, kind, protocol, _, address in found:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(left)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.connect(address)
            made.settimeout(timeout_s)
        except OSError as error:
            made.close()
            last = error
        else:
            return made
    raise last


_guarded = threading.local()
_GUARDED_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


@contextmanager
def guarding(destinations: Destinations) -> Iterator[None]:
    """Refuse this thread every connection to an address that is not allowed, whatever makes it
    there: for libraries that resolve names and follow redirects by themselves, in no other thread.

    Raises:
        DestinationRefused: within, at the connection.
    """
    _install_guard()
    _guarded.destinations = destinations
    try:
        yield
    finally:
        _guarded.destinations = None


@cache
def _install_guard() -> None:
    """Once for the process: an audit hook cannot be taken out, and costs other events a look."""
    sys.addaudithook(_guard)


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _GUARDED_EVENTS:
        return
    destinations = getattr(_guarded, "destinations", None)
    if destinations is None or arguments[1] is None:  # None: on a connection that was judged
        return
    address = arguments[1]
    # A name here would be resolved after it was judged; a path is a socket of this machine.
    host = str(address[0]) if isinstance(address, tuple) else "a socket of this machine"
    _judge(host, host, destinations, plain=False)


def _judge(host: str, address: str, destinations: Destinations, *, plain: bool) -> None:
    if destinations.allow(address, public=not plain):
        return
    if destinations.allow(address):
        raise DestinationRefused(f"{host} must be called by https, not http")
    raise DestinationRefused(f"{host} is not a public address, and no other is allowed here")
