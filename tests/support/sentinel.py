"""A master, a replica and Sentinels that put the one in the place of the other."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from app.dev import EmbeddedBroker, files, process
from app.dev.binaries import find_broker
from app.dev.broker import connect
from app.dev.server import EmbeddedServer

PASSWORD = "of-master-and-replica"
SENTINEL_PASSWORD = "of-the-sentinels"
MASTER = "opsledger"
SENTINELS = 3
QUORUM = 2
SETTLE_S = 30.0
CONFIGURATION = """\
bind 127.0.0.1
port {port}
dir "{directory}"
daemonize no
logfile ""
requirepass {own_password}
sentinel sentinel-pass {own_password}
sentinel monitor {master} 127.0.0.1 {master_port} {quorum}
sentinel auth-pass {master} {password}
sentinel down-after-milliseconds {master} 1000
sentinel failover-timeout {master} 5000
"""


class Server(EmbeddedBroker):
    """A broker with the password of its group; a replica if it is told of whom."""

    def __init__(self, data_dir: Path, *, replica_of: "Server | None" = None) -> None:
        super().__init__(data_dir)
        self._replica_of = replica_of

    def follows(self, master: "Server") -> bool:
        """Whether it is a replica in step with this master."""
        with connect(self.url) as client:
            told = client.info("replication")
        return (told.get("master_port"), told.get("master_link_status")) == (master.port, "up")

    def _prepare(self) -> None:
        super()._prepare()
        self._password = PASSWORD

    def _argv(self) -> Sequence[str]:
        argv = super()._argv()
        lines = [f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0"]
        if self._replica_of:
            lines.append(f"replicaof 127.0.0.1 {self._replica_of.port}")
        text = self._configuration.read_text() + "\n".join(lines) + "\n"
        files.write_private(self._configuration, text)
        return argv


class Sentinel(EmbeddedServer):
    """One that watches a master."""

    name = "sentinel"
    death_signal = signal.SIGTERM
    stop_steps = ((signal.SIGTERM, 10.0),)

    def __init__(self, data_dir: Path, master: Server) -> None:
        super().__init__(data_dir)
        self._master = master

    @property
    def url(self) -> str:
        """Where clients ask for the master, whose password it carries."""
        return f"sentinel://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def names(self) -> int:
        """The port of the master."""
        with self._client() as client:
            return int(client.sentinel_get_master_addr_by_name(MASTER)[1])

    def could_act(self) -> bool:
        """Whether it knows a replica that is up, and all other Sentinels."""
        with self._client() as client:
            known = client.sentinel_master(MASTER)
            replicas = client.sentinel_slaves(MASTER)
        up = [one for one in replicas if not one["is_disconnected"] and not one["is_sdown"]]
        return bool(up) and known["num-other-sentinels"] == SENTINELS - 1

    def _client(self) -> redis.Redis:
        return connect(f"redis://:{SENTINEL_PASSWORD}@127.0.0.1:{self.port}")

    def _prepare(self) -> None:
        self._path = self.data_dir / "sentinel.conf"

    def _argv(self) -> Sequence[str]:
        text = CONFIGURATION.format(
            port=self.port,
            directory=self.data_dir,
            own_password=SENTINEL_PASSWORD,
            master=MASTER,
            master_port=self._master.port,
            quorum=QUORUM,
            password=PASSWORD,
        )
        files.write_private(self._path, text)
        return [str(find_broker()), str(self._path), "--sentinel"]

    def _marker(self) -> str:
        return f" {self._path} "

    def _accepts(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class SentinelGroup:
    """Three brokers and the Sentinels above them, until the with-block ends."""

    def __init__(self, folder: Path) -> None:
        first = Server(folder / "server0")
        others = [Server(folder / f"server{number}", replica_of=first) for number in (1, 2)]
        self.servers = [first, *others]
        self.sentinels = [
            Sentinel(folder / f"sentinel{number}", first) for number in range(SENTINELS)
        ]

    @property
    def env(self) -> dict[str, str]:
        """The settings that lead here."""
        return {
            "REDIS_URL": ";".join(sentinel.url for sentinel in self.sentinels),
            "OPSLEDGER_SENTINEL_MASTER": MASTER,
            "OPSLEDGER_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        }

    def __enter__(self) -> Self:
        for server in (*self.servers, *self.sentinels):
            server.start()
        self.wait_until_settled()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in (*self.sentinels, *self.servers):
            if server.pid:
                os.kill(server.pid, signal.SIGCONT)
            server.stop()

    def master(self) -> Server:
        """The one that all Sentinels call the master."""
        (port,) = self._named()
        return next(server for server in self.servers if server.port == port)

    def wait_until_settled(self) -> None:
        """Wait until all agree upon a master, and a replica is in step with it."""
        assert process.wait_until(self._settled, SETTLE_S)

    def wait_until_master_is_not(self, old: Server) -> None:
        """Wait for a failover."""
        assert process.wait_until(
            lambda: len(self._named()) == 1 and old.port not in self._named(), SETTLE_S
        )

    def _named(self) -> set[int]:
        return {sentinel.names() for sentinel in self.sentinels}

    def _settled(self) -> bool:
        if len(self._named()) > 1 or not all(sentinel.could_act() for sentinel in self.sentinels):
            return False
        master = self.master()
        return any(server.follows(master) for server in self.servers if server is not master)
