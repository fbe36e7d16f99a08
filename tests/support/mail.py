"""A mail server of a few lines, which takes everything."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """Its port, and the mails it took."""
    mails: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 here")
            for raw in self.rfile:
                word = raw.decode().strip().upper()
                if word == "DATA":
                    self.say("354 go on")
                    lines: list[str] = []
                    while (line := self.rfile.readline().decode()) not in {".\r\n", ""}:
                        lines.append(line)
                    mails.append("".join(lines))
                self.say("221 bye" if word == "QUIT" else "250 ok")
                if word == "QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], mails
        server.shutdown()
