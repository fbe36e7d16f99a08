"""A TCP proxy on 127.0.0.1 that stands for the network: it can be cut and slowed.

One thread of its own; what the product sees of a cut is what a reset connection and a refused one
look like.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CHUNK_BYTES = 64 * 1024
STOP_SECONDS_MAX = 5.0


@contextmanager
def linked(upstream_port: Callable[[], int]) -> Iterator["Link"]:
    """A link that serves as long as the with-block."""
    link = Link(upstream_port)
    link.start()
    try:
        yield link
    finally:
        link.stop()


class Link:
    """The way to one server.

    Args:
        upstream_port: says where the server listens now, on 127.0.0.1.
    """

    def __init__(self, upstream_port: Callable[[], int]) -> None:
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="chaos-link", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._closed = False
        self._delay_s = 0.0

    def start(self) -> None:
        """Serve, until stop()."""
        self._thread.start()

    def stop(self) -> None:
        """Cut everything and end."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS_MAX)

    def cut(self) -> None:
        """Reset every connection, and each new one, until heal()."""
        self._closed = True
        self._loop.call_soon_threadsafe(self._reset)

    def slow(self, delay_s: float) -> None:
        """Let everything on its way to the server take so many seconds longer, until heal()."""
        self._delay_s = delay_s

    def heal(self) -> None:
        """Be a good network again."""
        self._closed, self._delay_s = False, 0.0

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = asyncio.start_server(self._serve, sock=self._listener)
        self._loop.run_until_complete(server)
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(asyncio.sleep(0))
        self._listener.close()

    def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        server: asyncio.StreamWriter | None = None
        try:
            if self._closed:
                return
            answers, server = await asyncio.open_connection("127.0.0.1", self._upstream_port())
            self._writers.add(server)
            there = asyncio.ensure_future(self._pump(reader, server, delayed=True))
            back = asyncio.ensure_future(self._pump(answers, writer, delayed=False))
            _, unfinished = await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for pump in unfinished:
                pump.cancel()
        except OSError:  # nobody listens there at the moment
            pass
        finally:
            for end in (writer, server):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort() if self._closed else end.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, delayed: bool
    ) -> None:
        with suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                if delayed and self._delay_s:
                    await asyncio.sleep(self._delay_s)
                sink.write(chunk)
                await sink.drain()
