"""A provider on a port of this host: answers as a test tells it, and keeps what it was asked."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request, as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Asked, Any], None]


@dataclass
class Peer:
    """The provider.

    Args:
        answer: writes to the handler it is given.
    """

    answer: Answer
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    url: str = ""


def reply(
    handler: Any, status: int, body: bytes = b"{}", headers: dict[str, str] | None = None
) -> None:
    """A whole, well-formed answer."""
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving(answer: Answer) -> Iterator[Peer]:
    """A peer that lives until the block ends."""
    peer, lines = Peer(answer), list[socket.socket]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            peer.connections += 1
            lines.append(self.request)
            super().setup()

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            peer.asked.append(asked)
            peer.answer(asked, self)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that went away is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    peer.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        for line in lines:  # clients keep them for their next request
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
