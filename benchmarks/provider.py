"""A provider's stand-in for load: a process that answers any HTTP request at once, on a port."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from app.dev.process import wait_until
from app.dev.server import free_port, is_port_free

BODY = b'{"id":"12345","archived":false,"properties":{"firstname":"Jane"}}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY


class _Provider(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once the body is whole; its length is in the head."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self._buffer = body[length:]
            self._transport.write(ANSWER)  # type: ignore[attr-defined]


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Provider, "127.0.0.1", port)
    await server.serve_forever()


def _run(port: int) -> None:
    asyncio.run(_serve(port))


@contextmanager
def provider() -> Iterator[str]:
    """The address of a provider that lives until the block ends."""
    port = free_port()
    child = multiprocessing.Process(target=_run, args=(port,), daemon=True)
    child.start()
    try:
        wait_until(lambda: not is_port_free(port), 10)
        yield f"http://127.0.0.1:{port}/contacts"
    finally:
        child.kill()
        child.join()
