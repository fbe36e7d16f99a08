"""WebSocket (RFC 6455) over the socket that the server has for a request.

One side talks: events go out, each when the reader has taken the last one, and of what comes in
only pings, pongs and the close are heard. So nothing is buffered but by the socket itself.
"""

import base64
import binascii
import errno
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import flask
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Message, Ping
from wsproto.events import Event as WebSocketEvent
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from ..errors import FieldError, InvalidInput
from ..telemetry import get_logger
from .events import Event

SOCKETS = ("gunicorn.socket", "werkzeug.socket")  # where servers leave it, in the WSGI environ
VERSION = "13"
KEY_BYTES = 16
READ_BYTES = 4096
PING_S = 2.0  # between two pings, however much there is to tell
CLOSE_S = 5.0  # that the other side has to answer our close
SILENT_S = 30.0  # of a reader that neither takes what is sent nor answers a ping
OURS = frozenset({"content-type", "content-length"})  # of an answer with a body, which this is not

log = get_logger(__name__)


def wants_websocket() -> bool:
    """Whether the current request asks to go on as a WebSocket."""
    return flask.request.headers.get("Upgrade", "").lower() == "websocket"


class Upgrade(flask.Response):
    """The answer by which a request becomes a WebSocket, and all that is told over it.

    Args:
        events: what to tell; the connection ends with them.

    Raises:
        InvalidInput: the request is no handshake, or its server cannot hand over the socket.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        super().__init__(status=101)
        self._events = events
        self._accept = _accepted(flask.request.headers)
        if not any(name in flask.request.environ for name in SOCKETS):
            raise InvalidInput(FieldError("Upgrade", "is not possible here; read it as events"))

    def __call__(self, environ: Any, _: Any) -> NoReturn:
        """Talk until either side ends it; the server is left a connection that is over."""
        sock = next(environ[name] for name in SOCKETS if name in environ)
        sock.settimeout(SILENT_S)
        sock.sendall(self._handshake())
        WebSocket(sock).tell(self._events)
        raise BrokenPipeError(errno.EPIPE, "this connection was a WebSocket, and is over")

    def _handshake(self) -> bytes:
        headers = [(name, value) for name, value in self.headers if name.lower() not in OURS]
        headers += [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        headers += [("Sec-WebSocket-Accept", self._accept)]
        lines = ["HTTP/1.1 101 Switching Protocols", *(f"{n}: {v}" for n, v in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


class WebSocket:
    """One connection after its handshake.

    Args:
        sock: with a timeout, past which a silent reader is given up.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._protocol = Connection(ConnectionType.SERVER)
        self._lock = threading.Lock()  # of the protocol, and so that no two frames are mixed
        self._over = False

    def tell(self, events: Iterable[Event]) -> None:
        """Send events until there are no more, or the reader is gone, and close."""
        listener = threading.Thread(target=self._listen, name="opsledger-websocket", daemon=True)
        listener.start()
        try:
            self._tell(iter(events))
            listener.join(CLOSE_S)
        except (OSError, LocalProtocolError) as error:
            log.info("a reader of the stream is gone", error=repr(error))
        finally:
            self._hang_up()
            listener.join(SILENT_S)

    def _tell(self, events: Iterator[Event]) -> None:
        pinged = 0.0
        for event in events:
            if event.data:
                self._send_frame(event.frame)
            if time.monotonic() - pinged >= PING_S:
                self._send(Ping())
                pinged = time.monotonic()
            if self._over:
                return
        self._send(CloseConnection(code=CloseReason.NORMAL_CLOSURE, reason=""))

    def _send(self, event: WebSocketEvent) -> None:
        with self._lock:
            self._sock.sendall(self._protocol.send(event))

    def _send_frame(self, frame: bytes) -> None:
        with self._lock:
            if not self._over:
                self._sock.sendall(frame)

    def _listen(self) -> None:
        """Hear what the reader sends: an answer where the protocol wants one, and its end."""
        try:
            while not self._over and (received := self._sock.recv(READ_BYTES)):
                self._hear(received)
        except (OSError, LocalProtocolError, RemoteProtocolError) as error:
            log.info("a reader of the stream is gone", error=repr(error))
        self._hang_up()

    def _hear(self, received: bytes) -> None:
        with self._lock:
            self._protocol.receive_data(received)
            heard = list(self._protocol.events())
        for event in heard:
            if isinstance(event, Ping):
                self._send(event.response())
            elif isinstance(event, CloseConnection):
                self._over = True
                if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                    self._send(event.response())
            elif isinstance(event, Message):
                log.debug("a reader of the stream said something, which nobody hears")

    def _hang_up(self) -> None:
        """End it for both sides; whoever still waits at the socket is woken."""
        self._over = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already


def _accepted(headers: Any) -> str:
    """What proves to the other side that its handshake was understood."""
    key = headers.get("Sec-WebSocket-Key", "")
    try:
        known = len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        known = False
    if not known:
        raise InvalidInput(FieldError("Sec-WebSocket-Key", "must be 16 bytes in base64"))
    if headers.get("Sec-WebSocket-Version") != VERSION:
        raise InvalidInput(FieldError("Sec-WebSocket-Version", f"must be {VERSION}"))
    return generate_accept_token(key.encode()).decode()
