"""Five destinations, each failing in its own way, while workers are killed: who has every record,
and how many came more than once. `python -m benchmarks.forwarding_chaos --records 100000`.
"""

import argparse
import json
import random
import re
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.config import Settings, load_settings
from app.dev import process
from app.domain.codec import encode
from app.domain.forwarding import new_destination, purpose_of
from app.pipeline.persist import Persister
from app.sinks import SINKS, parted
from app.store import forwarding
from app.store.forward_progress import begin_cursors
from app.store.session import Database
from app.store.tenants import add_tenant
from app.vault import Vault, new_key
from tests.support.intakes import Bulk, Datadog, Intake, Reply, Request, serving

from .support import ROOT, action, servers

BATCH = 500
LEASE_S = 6.0
WORKERS = 2
FRAME = re.compile(rb"(\d+) ")
ONCE_MIN = 0.99  # of the records of each destination
ID_FORM = re.compile(rb'\[opsledger@32473 id="([0-9a-f-]{36})"')


@dataclass
class Outcome:
    """What came of one destination."""

    missing: int
    once_share: float
    dead: int


@dataclass
class Tried:
    """What came of a run.

    Args:
        passed: records that a cursor had behind it and the destination had not, at any look.
    """

    records: int
    kills: int
    seconds: float
    passed: int
    wrong: list[str]
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def try_it(records: int, *, trouble_s: float, kill_every_s: float, end_s: float) -> Tried:
    """Send records while everything fails for a while, and see who has what in the end."""
    with ExitStack() as stack:
        bench = stack.enter_context(servers())
        taken = _Taken()
        until = time.monotonic() + trouble_s
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = _Authority(folder)
        targets = {
            "webhook": stack.enter_context(serving(_Webhook(taken, until))),
            "elasticsearch": stack.enter_context(serving(_Bulk(taken, until))),
            "datadog": stack.enter_context(serving(_Datadog(taken, until))),
            "otlp": stack.enter_context(serving(_Otlp(taken, until))),
        }
        port = stack.enter_context(_syslog(taken, until, authority))
        given: dict[str, dict[str, Any]] = {
            "webhook": {"url": targets["webhook"].url},
            "elasticsearch": {"url": targets["elasticsearch"].url},
            "datadog": {"url": targets["datadog"].url, "api_key": Datadog.key},
            "otlp": {"url": f"{targets['otlp'].url}/v1/logs"},
            "syslog": {"host": "127.0.0.1", "port": port, "ca": authority.pem},
        }
        env = {
            **bench.env,
            "OPSLEDGER_PRIVATE_DESTINATIONS": "127.0.0.0/8",
            "OPSLEDGER_CREDENTIAL_KEYS": new_key(),
            "OPSLEDGER_FORWARD_LEASE_S": str(LEASE_S),
            "OPSLEDGER_FORWARD_AT_ONCE": "5",
        }
        settings = load_settings(env)
        database = Database.connect(env["MAINTENANCE_DATABASE_URL"])
        tenant_id = _tenant(database)
        for sink, values in given.items():
            _add(database, settings, tenant_id, sink, values)
        workers = stack.enter_context(_Workers(folder, env))
        sent = _Feeder(Database.connect(env["WORKER_DATABASE_URL"]), tenant_id, records)
        sent.start()
        begun, passed = time.monotonic(), 0
        next_kill = begun + kill_every_s
        while time.monotonic() - begun < end_s:
            if time.monotonic() > next_kill and time.monotonic() < until:
                workers.kill_one()
                next_kill += kill_every_s
            passed += _passed(database, tenant_id, taken)
            if sent.done and time.monotonic() > until and _nothing_waits(database, tenant_id):
                break
            time.sleep(1.0)
        tried = Tried(
            records=records,
            kills=workers.kills,
            seconds=time.monotonic() - begun,
            passed=passed,
            wrong=[words for one in targets.values() for words in one.wrong],
        )
        dead = _dead(database, tenant_id)
        for sink in given:
            tried.outcomes[sink] = taken.outcome(sink, sent.ids, dead.get(sink, 0))
        database.close()
    return tried


class _Taken:
    """How often each destination took each record."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._lock = threading.Lock()

    def take(self, sink: str, ids: list[str]) -> None:
        with self._lock:
            self._counts.setdefault(sink, Counter()).update(ids)

    def has(self, sink: str, ids: set[str]) -> set[str]:
        with self._lock:
            return ids & self._counts.get(sink, Counter()).keys()

    def outcome(self, sink: str, ids: set[str], dead: int) -> Outcome:
        with self._lock:
            counts = self._counts.get(sink, Counter())
            once = sum(1 for one in ids if counts[one] == 1)
            missing = sum(1 for one in ids if not counts[one])
        return Outcome(missing, once / max(1, len(ids)), dead)


class _Webhook(Intake):
    """Down, and then too busy, with Retry-After."""

    def __init__(self, taken: _Taken, until: float) -> None:
        super().__init__()
        self._taken, self._until = taken, until

    def take(self, request: Request) -> Reply:
        left = self._until - time.monotonic()
        if left > 0:
            half = random.random() < 0.5
            return (0, {}, b"") if half else (429, {"Retry-After": "2"}, b"later")
        self._taken.take("webhook", [one["id"] for one in json.loads(request.body)])
        return 200, {}, b"ok"


class _Bulk(Bulk):
    """Half of each bulk is refused for now; and large ones are too large."""

    def __init__(self, taken: _Taken, until: float) -> None:
        super().__init__()
        self._taken, self._until = taken, until

    def take(self, request: Request) -> Reply:
        trouble = time.monotonic() < self._until
        if trouble and request.body.count(b"\n") > 400:
            return 413, {}, b"too large"
        busy = (429, "rejected execution")
        self.judge = lambda _: busy if trouble and random.random() < 0.5 else None
        before = len(self.got)
        reply = super().take(request)
        self._taken.take("elasticsearch", [one["id"] for one in self.got[before:]])
        return reply


class _Datadog(Datadog):
    """Slow, and now and then broken."""

    def __init__(self, taken: _Taken, until: float) -> None:
        super().__init__()
        self._taken, self._until = taken, until

    def take(self, request: Request) -> Reply:
        if time.monotonic() < self._until:
            time.sleep(0.5)
            if random.random() < 0.3:
                return 503, {}, b"broken"
        before = len(self.got)
        reply = super().take(request)
        self._taken.take("datadog", [one["id"] for one in self.got[before:]])
        return reply


class _Otlp(Intake):
    """Hangs up in the middle, having taken nothing."""

    def __init__(self, taken: _Taken, until: float) -> None:
        super().__init__()
        self._taken, self._until = taken, until

    def take(self, request: Request) -> Reply:
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        if time.monotonic() < self._until and random.random() < 0.5:
            return 0, {}, b""
        message = ExportLogsServiceRequest.FromString(request.body)
        ids = [
            log.attributes[0].value.string_value
            for of_resource in message.resource_logs
            for of_scope in of_resource.scope_logs
            for log in of_scope.log_records
        ]
        self._taken.take("otlp", ids)
        return 200, {"Content-Type": "application/x-protobuf"}, b""


class _Authority:
    """Certificates of 127.0.0.1, one of them expired."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        made = self._made(self._name, self._key, days=2, constraints=True)
        self.pem = made.public_bytes(serialization.Encoding.PEM).decode()

    def context(self, *, expired: bool) -> ssl.SSLContext:
        """What a server speaks TLS by."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "syslog")])
        made = self._made(name, key, days=-1 if expired else 2, constraints=False)
        path = self._folder / f"{expired}.pem"
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        secret = key.private_bytes(*form, serialization.NoEncryption())
        path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _made(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int, constraints: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=constraints, path_length=None), critical=True)
        )
        if not constraints:
            address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
            builder = builder.add_extension(address, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@contextmanager
def _syslog(taken: _Taken, until: float, authority: _Authority) -> Iterator[int]:
    """A receiver over TLS: its certificate is expired for a while, then it hangs up at times."""
    door = socket.create_server(("127.0.0.1", 0))
    expired, valid = authority.context(expired=True), authority.context(expired=False)
    renewed = time.monotonic() + (until - time.monotonic()) / 2

    def serve() -> None:
        while True:
            try:
                link, _ = door.accept()
            except OSError:
                return
            context = valid if time.monotonic() > renewed else expired
            threading.Thread(
                target=_receive, args=(link, context, taken, until), daemon=True
            ).start()

    threading.Thread(target=serve, daemon=True).start()
    yield door.getsockname()[1]
    door.close()


def _receive(link: socket.socket, context: ssl.SSLContext, taken: _Taken, until: float) -> None:
    with suppress(OSError), context.wrap_socket(link, server_side=True) as tls:
        held = b""
        while data := tls.recv(1 << 18):
            held += data
            ids, held = _frames(held)
            taken.take("syslog", ids)
            if time.monotonic() < until and random.random() < 0.02:
                return


def _frames(held: bytes) -> tuple[list[str], bytes]:
    """The ids of the whole frames, and what is left."""
    ids, at = [], 0
    while (match := FRAME.match(held, at)) and match.end() + int(match[1]) <= len(held):
        frame = held[match.end() : match.end() + int(match[1])]
        found = ID_FORM.search(frame)
        if found:
            ids.append(found[1].decode())
        at = match.end() + int(match[1])
    return ids, held[at:]


class _Feeder(threading.Thread):
    """Commits records, all of which are to arrive everywhere."""

    def __init__(self, database: Database, tenant_id: UUID, records: int) -> None:
        super().__init__(daemon=True)
        self._persister = Persister(database)
        self._tenant_id, self._left = tenant_id, records
        self.ids: set[str] = set()
        self.done = False

    def run(self) -> None:
        while self._left > 0:
            made = [action(self._tenant_id) for _ in range(min(BATCH, self._left))]
            self._persister.persist(uuid4(), b"\n".join(encode(one) for one in made))
            self.ids |= {str(one.id) for one in made}
            self._left -= len(made)
        self.done = True


class _Workers:
    """Workers as production runs them, of which one is killed now and then, and started again."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env
        self._running = [self._started(number) for number in range(WORKERS)]
        self.kills = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._running:
            process.stop(child, [(signal.SIGTERM, 10.0)])

    def kill_one(self) -> None:
        """By SIGKILL, in whatever it is doing."""
        number = self.kills % WORKERS
        self._running[number].kill()
        self._running[number].wait()
        self.kills += 1
        self._running[number] = self._started(number)

    def _started(self, number: int) -> Any:
        argv = [sys.executable, "-m", "celery", "--quiet", "-A", "tasks", "worker"]
        argv += ["--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle"]
        argv += ["--queues", "opsledger.maintenance", "--loglevel", "ERROR"]
        log_path = self._folder / f"worker-{number}.log"
        return process.spawn(argv, log_path=log_path, env=self._env, cwd=ROOT)


def _tenant(database: Database) -> UUID:
    tenant_id = uuid7()
    with database.unrestricted_unsafe() as session:
        add_tenant(session, tenant_id=tenant_id, name="chaos", slug=f"c-{tenant_id.hex}")
    return tenant_id


def _add(
    database: Database, settings: Settings, tenant_id: UUID, sink: str, given: dict[str, Any]
) -> None:
    values, secrets = parted(sink, given, settings)
    made = new_destination(
        tenant_id=tenant_id,
        id=uuid7(),
        name=sink,
        sink=sink,
        format=SINKS[sink].format,
        settings=values,
        now=datetime.now(UTC),
    )
    vault = Vault(settings.credential_keys)
    locked = vault.lock(tenant_id, purpose_of(made.id), secrets) if secrets else None
    with database.unrestricted_unsafe() as session:
        forwarding.add_destination(session, made, locked)
        begin_cursors(session)


_BEHIND = text(
    """
    SELECT d.sink, l.id::text AS id FROM forward_cursors c
    JOIN forward_destinations d ON d.tenant_id = c.tenant_id AND d.id = c.destination_id
    JOIN log_batches b ON b.tenant_id = c.source_id AND b.kind = c.kind AND b.seq <= c.seq
        AND b.seq > c.seq - 20
    JOIN action_logs l ON l.tenant_id = c.source_id AND l.batch_id = b.id
    WHERE c.tenant_id = :tenant_id AND c.kind = 'action'
    """
)


def _passed(database: Database, tenant_id: UUID, taken: _Taken) -> int:
    """How many of the records right behind cursors their destinations do not have."""
    behind: dict[str, set[str]] = {}
    with database.unrestricted_unsafe() as session:
        for row in session.execute(_BEHIND, {"tenant_id": tenant_id}):
            behind.setdefault(row.sink, set()).add(row.id)
    return sum(len(ids - taken.has(sink, ids)) for sink, ids in behind.items())


def _nothing_waits(database: Database, tenant_id: UUID) -> bool:
    with database.tenant(tenant_id) as session:
        return not any(one.waiting_records for one in forwarding.read_standings(session))


def _dead(database: Database, tenant_id: UUID) -> dict[str, int]:
    with database.tenant(tenant_id) as session:
        return {one.sink: one.dead_letters for one in forwarding.read_standings(session)}


def main() -> None:
    """Run, print; exit 1 if anything was lost or passed over, or too much came twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--trouble-s", type=float, default=90.0)
    parser.add_argument("--kill-every-s", type=float, default=9.0)
    parser.add_argument("--end-s", type=float, default=500.0)
    parser.add_argument("--seed", type=int, help="of what fails by chance; else any")
    asked = parser.parse_args()
    random.seed(asked.seed)
    tried = try_it(
        asked.records,
        trouble_s=asked.trouble_s,
        kill_every_s=asked.kill_every_s,
        end_s=asked.end_s,
    )
    print(
        f"{tried.records} records, {tried.kills} workers killed, {tried.seconds:.0f} s;"
        f" passed over: {tried.passed}"
    )
    for sink, outcome in tried.outcomes.items():
        print(
            f"  {sink:<14} missing {outcome.missing:>6}   exactly once"
            f" {outcome.once_share:8.3%}   dead letters {outcome.dead}"
        )
    for words in set(tried.wrong):
        print(f"  breach: {words}")
    lost = tried.passed + sum(one.missing for one in tried.outcomes.values())
    twice = any(one.once_share < ONCE_MIN for one in tried.outcomes.values())
    sys.exit(1 if lost or twice or tried.wrong else 0)


if __name__ == "__main__":
    main()
