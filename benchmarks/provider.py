"""A provider's stand-in for load: a process that answers any HTTP request at once, on a port."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from app.dev.process import wait_until
from app.dev.server import free_port, is_port_free

BODY = b'{"id":"12345","archived":false,"properties":{"firstname":"Jane"}}'


class _Provider(asyncio.Protocol):
    def __init__(self, answer: bytes, delay_s: float) -> None:
        self._buffer = b""
        self._answer = answer
        self._delay_s = delay_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once the body is whole; its length is in the head."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self._buffer = body[length:]
            write = self._transport.write  # type: ignore[attr-defined]
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, write, self._answer)
            else:
                write(self._answer)


async def _serve(port: int, answer: bytes, delay_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: _Provider(answer, delay_s), "127.0.0.1", port
    )
    await server.serve_forever()


def _run(port: int, answer: bytes, delay_s: float) -> None:
    asyncio.run(_serve(port, answer, delay_s))


def answer_of(body: bytes) -> bytes:
    """A whole answer with this JSON body."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


@contextmanager
def provider(body: bytes = BODY, *, delay_s: float = 0.0) -> Iterator[str]:
    """The address of a provider that lives until the block ends.

    Args:
        body: the JSON it answers, whatever it is asked.
        delay_s: how long it takes to answer.
    """
    port = free_port()
    told = (port, answer_of(body), delay_s)
    child = multiprocessing.Process(target=_run, args=told, daemon=True)
    child.start()
    try:
        wait_until(lambda: not is_port_free(port), 10)
        yield f"http://127.0.0.1:{port}/contacts"
    finally:
        child.kill()
        child.join()
