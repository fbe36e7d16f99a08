"""Many readers of one stream in one cheap process: python -m benchmarks.readers URL KEY N SAMPLED.

It reads until its input is closed, then prints JSON: the delays of the sampled readers' records in
milliseconds, and how many records each reader got. Only the sampled ones parse what they read, so
that it is the stream that is measured, and not this.
"""

import json
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

READ_BYTES = 262_144
TICK_S = 0.2
RECORD = b'"action_type"'
CREATED = re.compile(rb'"created_at":"([^"]+)"')


@dataclass
class Reader:
    """One connection."""

    sock: socket.socket
    sampled: bool
    records: int = 0
    rest: bytes = b""
    delays: list[float] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        """Count the records of what came; a name that is cut in two is put together again."""
        now = time.time()
        text = self.rest + data
        end = text.rfind(b"}") + 1
        whole, self.rest = text[:end], text[end:]
        self.records += whole.count(RECORD)
        if self.sampled:
            for found in CREATED.findall(whole):
                made = datetime.fromisoformat(found.decode()).timestamp()
                self.delays.append((now - made) * 1000)


def main() -> None:
    """Connect, read, report."""
    url, key, number, sampled = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    to = urlsplit(url)
    request = f"GET {to.path}?{to.query} HTTP/1.1\r\nHost: {to.netloc}\r\nX-API-Key: {key}\r\n\r\n"
    watch, readers = selectors.DefaultSelector(), []
    for place in range(number):
        sock = socket.create_connection((to.hostname or "", to.port or 80))
        sock.sendall(request.encode())
        sock.setblocking(False)
        readers.append(Reader(sock, place < sampled))
        watch.register(sock, selectors.EVENT_READ, readers[-1])
    watch.register(sys.stdin, selectors.EVENT_READ, None)
    print("reading", flush=True)
    while _read(watch):
        pass
    delays = sorted(delay for reader in readers for delay in reader.delays)
    print(json.dumps({"delays": delays, "records": [reader.records for reader in readers]}))


def _read(watch: selectors.BaseSelector) -> bool:
    """Read what there is; whether to go on."""
    for key, _ in watch.select(TICK_S):
        if key.data is None:
            return False
        data = key.data.sock.recv(READ_BYTES)
        if not data:
            watch.unregister(key.fileobj)
        key.data.take(data)
    return True


if __name__ == "__main__":
    main()
