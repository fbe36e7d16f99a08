"""TLS in front of a server that has none, with a certificate nobody knows but who is told."""

import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path


def make_certificate(folder: Path, address: str) -> Path:
    """A self-signed certificate of an address, its key beside it, by openssl."""
    path = folder / "certificate.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=broker", "-addext", f"subjectAltName=IP:{address}"]
    argv += ["-keyout", str(folder / "key.pem"), "-out", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path


class TlsDoor:
    """A port of 127.0.0.1 that speaks TLS and leads to a port that does not."""

    def __init__(self, certificate: Path, port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        self._target = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # or its thread would wait on
        self._door.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                with suppress(OSError):  # who does not trust us hangs up
                    self._join(self._context.wrap_socket(client, server_side=True))

    def _join(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        for pair in ((client, server), (server, client)):
            threading.Thread(target=_carry, args=pair, daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)
