"""Object stores to test with: SeaweedFS, a real server of S3 in a process of its own; and moto, a
made-up one in this process, in front of which faults can be set.
"""

import json
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from werkzeug.serving import make_server

from app.dev.server import EmbeddedServer, free_port

WRITER, READER = "writer", "reader"  # what a key of each may do
PORTS = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3.grpc")
LOCKED = "locked"  # a bucket with object lock
PLAIN = "plain"
SLOW_S = 30.0  # far longer than any test waits


@dataclass(frozen=True)
class Access:
    """Where a store is, and a key to it."""

    endpoint: str
    key: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        """The credentials as AWS's tools take them."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}

    def client(self) -> Any:
        """A client of its own, to look at what is really there."""
        config = Config(
            s3={"addressing_style": "path"},
            connect_timeout=2,
            read_timeout=20,
            retries={"total_max_attempts": 1},
        )
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=config,
        )


def find_weed() -> Path | None:
    """The program of SeaweedFS, which its wheel has for Linux alone."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.is_file() else shutil.which("weed")
    return Path(found) if found else None


class Seaweed(EmbeddedServer):
    """SeaweedFS with its S3 gateway."""

    name = "seaweed"
    death_signal = signal.SIGINT
    stop_steps = ((signal.SIGINT, 3.0),)  # it waits for clients that keep connections

    def _prepare(self) -> None:
        self._secrets = {who: secrets.token_hex(16) for who in (WRITER, READER)}
        self._ports = {name: free_port() for name in PORTS}
        (self.data_dir / "volumes").mkdir(exist_ok=True)
        rights = {WRITER: ["Admin"], READER: ["Read", "List"]}
        identities = [
            {
                "name": who,
                "credentials": [{"accessKey": who, "secretKey": secret}],
                "actions": rights[who],
            }
            for who, secret in self._secrets.items()
        ]
        (self.data_dir / "s3.json").write_text(json.dumps({"identities": identities}))

    def access(self, who: str = WRITER) -> Access:
        """A key of one who may do so much."""
        return Access(f"http://127.0.0.1:{self.port}", who, self._secrets[who])

    def _argv(self) -> Sequence[str]:
        program = find_weed()
        assert program is not None
        return [
            *(str(program), "server", "-s3", "-filer"),
            *(f"-dir={self.data_dir}/volumes", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-{name}{'' if '.' in name else '.port'}={port}" for name, port in self._named()),
            *(
                f"-s3.port={self.port}",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                f"-s3.config={self._marker()}",
            ),
            *("-s3.localSocket=", "-master.telemetry=false", "-volume.preStopSeconds=0"),
            *("-volume.max=40", "-master.volumeSizeLimitMB=64"),
        ]

    def _named(self) -> Iterator[tuple[str, int]]:
        for name, port in self._ports.items():
            yield (name.replace(".grpc", ".port.grpc") if "." in name else name), port

    def _env(self) -> dict[str, str]:
        return {**super()._env(), "WEED_S3_SSE_KEK": "ab" * 32, "HOME": str(self.data_dir)}

    def _marker(self) -> str:
        return str(self.data_dir / "s3.json")

    def _launch(self) -> None:
        super()._launch()
        client = self.access().client()
        for bucket in (PLAIN, LOCKED):
            client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bucket == LOCKED)
            # The first object has the bucket's volumes made, which takes some seconds.
            client.put_object(Bucket=bucket, Key="first", Body=b"1")

    def _accepts(self) -> bool:
        try:
            self.access().client().list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True


Answer = tuple[int, str]  # a status, and a code of S3's errors


@dataclass
class Faults:
    """What goes wrong in front of a store, while it is set.

    Attributes:
        refuse: the answer to requests of some methods.
        sleep_s: how long each request waits before it is passed on.
        spoil: whether one bit of what is read is turned around.
        lost: how many writings are done, and answered as if they were not.
    """

    refuse: dict[str, Answer] = field(default_factory=dict)
    sleep_s: float = 0.0
    spoil: bool = False
    lost: int = 0
    seen: list[tuple[str, str]] = field(default_factory=list)

    def clear(self) -> None:
        """Let everything through."""
        self.refuse, self.sleep_s, self.spoil = {}, 0.0, False


class FaultyStore:
    """moto, and faults in front of it."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self.faults = Faults()
        self._app: Any = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.access = Access(f"http://127.0.0.1:{self._server.server_port}", "moto", "moto")
        self.access.client().create_bucket(Bucket=PLAIN)

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.faults.seen.append((method, environ["PATH_INFO"]))
        if self.faults.sleep_s:
            time.sleep(self.faults.sleep_s)
        if method in self.faults.refuse:
            status, code = self.faults.refuse[method]
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = f"<Error><Code>{code}</Code><Message>as set</Message></Error>".encode()
            start(f"{status} Refused", [("Content-Type", "application/xml")])
            return [body]
        if self.faults.lost and method == "PUT":
            self.faults.lost -= 1
            list(self._app(environ, lambda *_, **__: None))
            start("500 Lost", [])
            return []
        if not (self.faults.spoil and method == "GET" and environ["PATH_INFO"].count("/") > 2):
            return list(self._app(environ, start))
        # The checksum that the store would tell goes, as it does behind many a proxy.
        kept: list[Any] = []
        found = b"".join(self._app(environ, lambda *told, **_: kept.extend(told[:2])))
        spoiled = bytearray(found)
        spoiled[len(spoiled) // 2] ^= 1
        start(kept[0], [one for one in kept[1] if "checksum" not in one[0].lower()])
        return [bytes(spoiled)]


@contextmanager
def opened_store() -> Iterator[FaultyStore]:
    """A store for one test."""
    store = FaultyStore()
    try:
        yield store
    finally:
        store.close()
