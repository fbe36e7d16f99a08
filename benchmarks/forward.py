"""How many records a second one worker forwards, to syslog, `_bulk` and a webhook; and what a dead
destination costs another.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from app.config import load_settings
from app.domain.codec import encode
from app.domain.forwarding import DestinationState, new_destination, purpose_of
from app.pipeline.forwarding import Forwarder
from app.pipeline.persist import Persister
from app.sinks import SINKS, parted
from app.store import forwarding
from app.store.forward_progress import begin_cursors
from app.store.session import Database
from app.store.tenants import add_tenant
from app.vault import Vault, new_key

from .support import action, median, servers

BATCH = 500
ROUNDS = 3


def run(smoke: bool) -> dict[str, float]:
    """Records a second by sink, medians; and the ratio with nine dead neighbours to without."""
    rows = 2_000 if smoke else 40_000
    with servers() as bench, syslog_server() as syslog, bulk_server() as bulk:
        settings = replace(
            load_settings(bench.env),
            private_destinations=("127.0.0.0/8",),
            credential_keys=new_key(),
            forward_turn_s=3600.0,
        )
        maintenance = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
        line = _Line(maintenance, settings)
        tenant_id = _tenant(maintenance)
        made = {
            "syslog": line.add(
                tenant_id, "syslog", {"host": "127.0.0.1", "port": syslog, "tls": False}
            ),
            "bulk": line.add(tenant_id, "elasticsearch", {"url": bulk, "compress": False}),
            "webhook": line.add(tenant_id, "webhook", {"url": bulk, "compress": False}),
        }
        persister = Persister(Database.connect(bench.env["WORKER_DATABASE_URL"]))
        rates: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(1 if smoke else ROUNDS):
            _put(persister, tenant_id, rows)
            for name, destination_id in made.items():
                rates[name].append(line.drain(tenant_id, destination_id, rows))
        alone = line.shared(persister, tenant_id, made["webhook"], rows // 4)
        dead = f"http://127.0.0.1:{_closed_port()}/"
        for number in range(9):
            line.add(tenant_id, "webhook", {"url": dead}, name=f"dead {number}")
        beside = line.shared(persister, tenant_id, made["webhook"], rows // 4)
        ingest = line.ingest_ratio(persister, tenant_id, rows // 20, 1 if smoke else 7)
        maintenance.close()
    figures = {f"forward.{name}_per_s": median(found) for name, found in rates.items()}
    ratios = {
        "forward.beside_9_dead_ratio": beside / alone,
        "forward.ingest_beside_9_dead_ratio": ingest,
    }
    return {**figures, **ratios}


class _Line:
    """Destinations, and a forwarder that is told whose turn it is."""

    def __init__(self, database: Database, settings: Any) -> None:
        self._database = database
        self._settings = settings
        self._vault = Vault(settings.credential_keys)

    def add(
        self, tenant_id: UUID, sink: str, given: dict[str, Any], name: str | None = None
    ) -> UUID:
        values, secrets = parted(sink, given, self._settings)
        made = new_destination(
            tenant_id=tenant_id,
            id=uuid7(),
            name=name or sink,
            sink=sink,
            format=SINKS[sink].format,
            settings=values,
            now=datetime.now(UTC),
        )
        locked = self._vault.lock(tenant_id, purpose_of(made.id), secrets) if secrets else None
        with self._database.unrestricted_unsafe() as session:
            forwarding.add_destination(session, made, locked)
            begin_cursors(session)
            forwarding.set_state(session, tenant_id, made.id, _PAUSED)
        return made.id

    def drain(self, tenant_id: UUID, destination_id: UUID, rows: int) -> float:
        """Records a second, from the first look to the last cursor."""
        self._switch(tenant_id, destination_id, _ACTIVE)
        forwarder = Forwarder(self._database, self._settings)
        begun = time.perf_counter()
        forwarder.run_due()
        seconds = time.perf_counter() - begun
        self._switch(tenant_id, destination_id, _PAUSED)
        self._expect_nothing_waits(tenant_id, destination_id)
        return rows / seconds

    def shared(
        self, persister: Persister, tenant_id: UUID, destination_id: UUID, rows: int
    ) -> float:
        """Seconds until the webhook has new records, everything that is dead being active."""
        _put(persister, tenant_id, rows)
        with self._database.unrestricted_unsafe() as session:
            others = forwarding.list_destinations(session, tenant_id)
        for one in others:
            if one.name.startswith("dead") or one.id == destination_id:
                self._switch(tenant_id, one.id, _ACTIVE)
        forwarder = Forwarder(self._database, self._settings)
        begun = time.perf_counter()
        forwarder.start()
        while self._waiting(tenant_id, destination_id):
            time.sleep(0.01)
        seconds = time.perf_counter() - begun
        forwarder.stop()
        return seconds

    def ingest_ratio(self, persister: Persister, tenant_id: UUID, rows: int, rounds: int) -> float:
        """Seconds of commits beside a forwarder in this process whose destinations are all dead, to
        those without one; the median of turns.
        """
        with self._database.unrestricted_unsafe() as session:
            for one in forwarding.list_destinations(session, tenant_id):
                dead = one.name.startswith("dead")
                state = _ACTIVE if dead else _PAUSED
                forwarding.set_state(session, tenant_id, one.id, state)
        ratios = []
        for _ in range(rounds):
            alone = _put(persister, tenant_id, rows)
            forwarder = Forwarder(self._database, self._settings)
            forwarder.start()
            beside = _put(persister, tenant_id, rows)
            forwarder.stop()
            ratios.append(beside / alone)
        return median(ratios)

    def _switch(self, tenant_id: UUID, destination_id: UUID, state: Any) -> None:
        with self._database.unrestricted_unsafe() as session:
            forwarding.set_state(session, tenant_id, destination_id, state)

    def _waiting(self, tenant_id: UUID, destination_id: UUID) -> int:
        with self._database.tenant(tenant_id) as session:
            found = forwarding.read_standings(session)
        return next(one.waiting_records for one in found if one.id == destination_id)

    def _expect_nothing_waits(self, tenant_id: UUID, destination_id: UUID) -> None:
        if self._waiting(tenant_id, destination_id):
            raise RuntimeError("a destination did not take everything")


_PAUSED, _ACTIVE = DestinationState.PAUSED, DestinationState.ACTIVE


def _tenant(database: Database) -> UUID:
    tenant_id = uuid7()
    with database.unrestricted_unsafe() as session:
        add_tenant(session, tenant_id=tenant_id, name="bench", slug=f"b-{tenant_id.hex}")
    return tenant_id


def _put(persister: Persister, tenant_id: UUID, rows: int) -> float:
    """Commit records; the seconds that took."""
    bodies = [
        b"\n".join(encode(action(tenant_id)) for _ in range(BATCH)) for _ in range(rows // BATCH)
    ]
    begun = time.perf_counter()
    for body in bodies:
        persister.persist(uuid4(), body)
    return time.perf_counter() - begun


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
    return port


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
