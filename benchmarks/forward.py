"""How many records a second one worker forwards, to syslog, `_bulk` and a webhook."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from uuid_utils.compat import uuid7

from app.config import load_settings
from app.domain.codec import encode
from app.domain.forwarding import (
    Destination,
    DestinationState,
    new_destination,
    purpose_of,
)
from app.pipeline.forwarding import Forwarder
from app.pipeline.persist import Persister
from app.sinks import SINKS, parted
from app.store import forwarding
from app.store.forward_progress import begin_cursors, waiting_cursors
from app.store.session import Database
from app.store.tenants import add_tenant
from app.vault import Vault, new_key

from .support import action, median, servers

BATCH = 500
ROUNDS = 3


def run(smoke: bool) -> dict[str, float]:
    """Records a second by sink, medians."""
    rows = 2_000 if smoke else 40_000
    with lines() as line, syslog_server() as syslog, bulk_server() as bulk:
        made = {
            "syslog": line.add("syslog", {"host": "127.0.0.1", "port": syslog, "tls": False}),
            "bulk": line.add("elasticsearch", {"url": bulk, "compress": False}),
            "webhook": line.add("webhook", {"url": bulk, "compress": False}),
        }
        rates: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(1 if smoke else ROUNDS):
            line.commit(line.bodies(rows))
            for name, destination in made.items():
                rates[name].append(line.drain(destination, rows))
    return {f"forward.{name}_per_s": median(found) for name, found in rates.items()}


@contextmanager
def lines(**chosen: Any) -> Iterator["Line"]:
    """A line of a tenant of its own, on a database of its own.

    Args:
        chosen: settings.
    """
    with servers() as bench:
        settings = replace(
            load_settings(bench.env),
            private_destinations=("127.0.0.0/8",),
            credential_keys=new_key(),
            **{"forward_turn_s": 3600.0, **chosen},
        )
        database = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
        worker = Database.connect(bench.env["WORKER_DATABASE_URL"])
        yield Line(database, worker, settings)
        worker.close()
        database.close()


class Line:
    """Destinations of a tenant, and a forwarder that is told whose turn it is."""

    def __init__(self, database: Database, worker: Database, settings: Any) -> None:
        self._database = database
        self._persister = Persister(worker)
        self._settings = settings
        self._vault = Vault(settings.credential_keys)
        self._tenant_id = uuid7()
        with database.unrestricted_unsafe() as session:
            slug = f"b-{self._tenant_id.hex}"
            add_tenant(session, tenant_id=self._tenant_id, name="bench", slug=slug)

    def add(self, sink: str, given: dict[str, Any], name: str | None = None) -> Destination:
        """A destination, paused."""
        values, secrets = parted(sink, given, self._settings)
        made = new_destination(
            tenant_id=self._tenant_id,
            id=uuid7(),
            name=name or sink,
            sink=sink,
            format=SINKS[sink].format,
            settings=values,
            now=datetime.now(UTC),
        )
        purpose = purpose_of(made.id)
        locked = self._vault.lock(self._tenant_id, purpose, secrets) if secrets else None
        with self._database.unrestricted_unsafe() as session:
            forwarding.add_destination(session, made, locked)
            begin_cursors(session)
        self.switch(made, DestinationState.PAUSED)
        return made

    def switch(self, destination: Destination, state: DestinationState) -> None:
        """Pause a destination, or have it sent to at once as one that never failed."""
        with self._database.unrestricted_unsafe() as session:
            forwarding.change_destination(session, destination, {"state": state.value})

    def bodies(self, rows: int) -> list[bytes]:
        """So many new records, as shipments."""
        return [
            b"\n".join(encode(action(self._tenant_id)) for _ in range(BATCH))
            for _ in range(rows // BATCH)
        ]

    def commit(self, bodies: Sequence[bytes]) -> float:
        """Commit shipments; the seconds that took."""
        begun = time.perf_counter()
        for body in bodies:
            self._persister.persist(uuid4(), body)
        return time.perf_counter() - begun

    def forwarder(self) -> Forwarder:
        """What a worker has."""
        return Forwarder(self._database, self._settings)

    def drain(self, destination: Destination, rows: int) -> float:
        """Records a second, from the first look to the last cursor."""
        self.switch(destination, DestinationState.ACTIVE)
        begun = time.perf_counter()
        self.forwarder().run_due()
        seconds = time.perf_counter() - begun
        self.switch(destination, DestinationState.PAUSED)
        if self.waits(destination):
            raise RuntimeError("a destination did not take everything")
        return rows / seconds

    def waits(self, destination: Destination) -> bool:
        """Whether there is anything that it does not have."""
        with self._database.unrestricted_unsafe() as session:
            return bool(waiting_cursors(session, destination))


@contextmanager
def syslog_server() -> Iterator[int]:
    """Takes whatever comes, and throws it away."""
    door = socket.create_server(("127.0.0.1", 0))

    def swallow() -> None:
        while True:
            try:
                link, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=_swallow, args=(link,), daemon=True).start()

    threading.Thread(target=swallow, daemon=True).start()
    yield door.getsockname()[1]
    door.close()


def _swallow(link: socket.socket) -> None:
    with link:  # who hangs up after us has read everything
        while link.recv(1 << 20):
            pass


@contextmanager
def bulk_server() -> Iterator[str]:
    """Answers as `_bulk` does, that every record is there now; and to anything else with 200."""
    item = b'{"create":{"_index":"x","_id":"y","status":201}}'
    handle: Callable[[bytes], bytes] = lambda body: (  # noqa: E731
        b'{"took":1,"errors":false,"items":[' + b",".join([item] * (body.count(b"\n") // 2)) + b"]}"
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answer = handle(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
