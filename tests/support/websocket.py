"""A WebSocket as a client has one: it opens, reads JSON messages, answers pings and the close."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

ABNORMAL = 1006  # a close that nobody sent
SILENT_S = 10.0


@contextmanager
def open_websocket(
    url: str, headers: Mapping[str, str]
) -> Iterator[tuple[socket.socket, WSConnection]]:
    """A WebSocket after its handshake.

    Raises:
        ConnectionRefusedError: the server answered something else: its status and its body.
    """
    to, protocol = urlsplit(url), WSConnection(ConnectionType.CLIENT)
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    with socket.create_connection((to.hostname or "", to.port or 80), SILENT_S) as sock:
        request = Request(to.netloc, f"{to.path}?{to.query}", extra_headers=sent)
        sock.sendall(protocol.send(request))
        status, body = 0, b""
        for event in received(sock, protocol):
            if isinstance(event, AcceptConnection):
                break
            if isinstance(event, RejectConnection):
                status = event.status_code
            if isinstance(event, RejectData):
                body += event.data
                if event.body_finished:
                    raise ConnectionRefusedError(status, body.decode())
        yield sock, protocol


def received(sock: socket.socket, protocol: WSConnection) -> Iterator[Event]:
    """What comes, until the connection ends."""
    yield from protocol.events()  # what came with the end of the handshake
    while data := sock.recv(65_536):
        protocol.receive_data(data)
        yield from protocol.events()


def messages(sock: socket.socket, protocol: WSConnection) -> Iterator[Any]:
    """The JSON of each message, until the server closes.

    Raises:
        ConnectionResetError: it ended without a close.
    """
    text = ""
    for event in received(sock, protocol):
        if isinstance(event, TextMessage):
            text += event.data
            if event.message_finished:
                yield json.loads(text)
                text = ""
        elif isinstance(event, Ping):
            sock.sendall(protocol.send(event.response()))
        elif isinstance(event, CloseConnection) and event.code != ABNORMAL:
            if protocol.state is ConnectionState.REMOTE_CLOSING:
                sock.sendall(protocol.send(event.response()))
            return
    raise ConnectionResetError("ended without a close")
