"""A web server that takes notifications, or does not, and keeps what it got."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HERE = ("127.0.0.0/8",)  # what a platform allows that sends to itself


@dataclass
class Receiver:
    """What came, and how the next ones are answered."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    # The status of an answer, by what was sent; 0 to hang up without one.
    judge: Callable[[bytes], int] | None = None


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver on this host, at any port unless one is named."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((dict(self.headers), body))
            status = receiver.judge(body) if receiver.judge else receiver.status
            if status == 0:
                return
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook?x=1"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
