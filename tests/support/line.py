"""A line to a server that can be cut and mended, to see what happens without the server."""

import socket
import threading
from contextlib import suppress

from sqlalchemy import make_url


class Line:
    """A port that leads to Postgres, and can be cut: then connections end and new ones fail."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._door = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._cut = threading.Event()
        self._held = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL through this port."""
        port = self._door.getsockname()[1]
        return self._target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)

    def cut(self) -> None:
        """End every connection and let none through."""
        self._cut.set()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._cut.clear()

    def hold(self) -> None:
        """Take connections from now on, and let nothing through: what hangs, not what is gone."""
        self._held.set()

    def close(self) -> None:
        """Free the port."""
        self.cut()
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # or its thread would wait on
        self._door.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                if self._held.is_set():
                    self._ends.append(client)
                    continue
                if self._cut.is_set():
                    client.close()
                    continue
                server = socket.create_connection((self._target.host, self._target.port))
                self._ends += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
