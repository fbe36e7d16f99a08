"""Many readers of one stream in one cheap process: python -m benchmarks.readers URL KEY N SAMPLED.

Every second one reads by WebSocket, the others server-sent events. It reads until its input is
closed, then prints JSON: the delays of the sampled readers' records in milliseconds, and how many
records each reader got. Only the sampled ones parse what they read, and the process has the lowest
priority, so that it is the stream that is measured, and not this, which would be elsewhere.
"""

import base64
import json
import os
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from app.priority import yield_to_others

READ_BYTES = 262_144
TICK_S = 0.2
LOWEST = 19
RECORD = b'"action_type"'
CREATED = re.compile(rb'"created_at":"([^"]+)"')
TEXT, PING = 1, 9  # opcodes of WebSocket frames
PONG = 0x8A


@dataclass
class Reader:
    """One connection."""

    sock: socket.socket
    sampled: bool
    by_websocket: bool
    records: int = 0
    answered: bool = False
    rest: bytes = b""
    delays: list[float] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        """Count the records of what came; what is cut in two is put together again."""
        self.rest += data
        if not self.answered:
            head, found, rest = self.rest.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")):
                raise RuntimeError(head.decode())
            self.answered, self.rest = True, rest
        if self.by_websocket:
            self._take_frames()
        else:
            end = self.rest.rfind(b"}") + 1
            self._count(self.rest[:end])
            self.rest = self.rest[end:]

    def _take_frames(self) -> None:
        while (frame := _frame_of(self.rest)) is not None:
            opcode, content, self.rest = frame
            if opcode == TEXT:
                self._count(content)
            elif opcode == PING:  # a mask of zeros is a mask
                self.sock.send(bytes((PONG, 0x80 | len(content))) + bytes(4) + content)

    def _count(self, text: bytes) -> None:
        self.records += text.count(RECORD)
        if self.sampled:
            now = time.time()
            for found in CREATED.findall(text):
                made = datetime.fromisoformat(found.decode()).timestamp()
                self.delays.append((now - made) * 1000)


def main() -> None:
    """Connect, read, report."""
    url, key, number, sampled = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    yield_to_others(LOWEST)
    watch, readers = selectors.DefaultSelector(), []
    for place in range(number):
        sock = _asked(url, key, by_websocket=bool(place % 2))
        readers.append(Reader(sock, place < sampled, bool(place % 2)))
        watch.register(sock, selectors.EVENT_READ, readers[-1])
    watch.register(sys.stdin, selectors.EVENT_READ, None)
    print("reading", flush=True)
    buffer = memoryview(bytearray(READ_BYTES))
    while _read(watch, buffer):
        pass
    delays = sorted(delay for reader in readers for delay in reader.delays)
    print(json.dumps({"delays": delays, "records": [reader.records for reader in readers]}))


def _asked(url: str, key: str, *, by_websocket: bool) -> socket.socket:
    to = urlsplit(url)
    lines = [f"GET {to.path}?{to.query} HTTP/1.1", f"Host: {to.netloc}", f"X-API-Key: {key}"]
    if by_websocket:
        nonce = base64.b64encode(os.urandom(16)).decode()
        lines += ["Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {nonce}"]
    sock = socket.create_connection((to.hostname or "", to.port or 80))
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    sock.setblocking(False)
    return sock


def _read(watch: selectors.BaseSelector, buffer: memoryview) -> bool:
    """Read what there is; whether to go on."""
    for key, _ in watch.select(TICK_S):
        if key.data is None:
            return False
        size = key.data.sock.recv_into(buffer)
        if not size:
            watch.unregister(key.fileobj)
        key.data.take(bytes(buffer[:size]))
    return True


def _frame_of(data: bytes) -> tuple[int, bytes, bytes] | None:
    """The opcode and content of a server's first frame, and what comes after; None if cut."""
    if len(data) < 10 and (len(data) < 2 or len(data) < 2 + _extra(data[1])):
        return None
    start = 2 + _extra(data[1])
    length = int.from_bytes(data[2:start]) if start > 2 else data[1]
    if len(data) < start + length:
        return None
    return data[0] & 0x0F, data[start : start + length], data[start + length :]


def _extra(length: int) -> int:
    """How many bytes more tell the length of a frame."""
    return {126: 2, 127: 8}.get(length, 0)


if __name__ == "__main__":
    main()
