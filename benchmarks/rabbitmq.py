"""A RabbitMQ of one's own, where it is installed: one node on 127.0.0.1, as an unprivileged user,
its data in a folder. It is no part of the product, which runs on a RabbitMQ that is given.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from amqp.exceptions import AMQPError, NotFound
from amqp.protocol import queue_declare_ok_t
from kombu import Connection

from app.broker import Broker
from app.dev import cluster, files, process
from app.dev.errors import BinaryMissing
from app.dev.identity import server_identity
from app.dev.process import Identity
from app.dev.server import EmbeddedServer, free_port
from app.worker import MAINTENANCE_QUEUE, PERSIST_QUEUE

USER = "opsledger"
CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
log.console = true
log.console.level = warning
vm_memory_high_watermark.absolute = 512MiB
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 33554432
"""
# One scheduler: a test shares few cores. The channel between nodes stays on this machine.
ERLANG_ARGUMENTS = "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}"
ACCEPT_S = 2.0


def find_rabbitmq() -> Path | None:
    """The program `rabbitmq-server`; None where it is not installed."""
    # Debian's on the PATH is a wrapper that insists on a user of its own.
    debian = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    on_path = shutil.which("rabbitmq-server")
    found = debian[-1] if debian else Path(on_path).resolve() if on_path else None
    return found if shutil.which("epmd") else None


class RabbitMQ(EmbeddedServer):
    """A RabbitMQ node whose queues outlive it on disk."""

    name = "broker"
    death_signal = signal.SIGTERM
    stop_steps = ((signal.SIGTERM, 20.0),)
    start_seconds_max = 90.0  # 3 to 8 alone, far more on a busy machine

    def __init__(self, data_dir: Path, *, log_path: Path | None = None) -> None:
        super().__init__(data_dir, log_path=log_path)
        self._home = self.data_dir / "home"
        self._program = Path()
        self._password = ""
        self._user: Identity | None = None
        self._names: subprocess.Popen[bytes] | None = None
        self._names_port = 0

    @property
    def url(self) -> str:
        """Where clients find it, password included."""
        return f"amqp://{USER}:{self._password}@127.0.0.1:{self.port}//"

    @property
    def env(self) -> dict[str, str]:
        """The settings that lead here."""
        return {"OPSLEDGER_BROKER_URL": self.url}

    def waiting(self) -> int:
        """How many shipments no worker has taken yet."""
        return self._look(PERSIST_QUEUE).message_count

    def consumers(self) -> int:
        """How many workers wait for tasks; none before the first has declared the queue."""
        try:
            return self._look(PERSIST_QUEUE).consumer_count
        except NotFound:
            return 0

    def is_busy(self) -> bool:
        """Whether more is there than workers have taken; no, if it cannot be asked."""
        with suppress(OSError, AMQPError):
            return self.waiting() > 0
        return False

    def forget(self) -> None:
        """Lose everything it holds and no worker has."""
        with Connection(self.url) as link:
            for name in (PERSIST_QUEUE, MAINTENANCE_QUEUE):
                link.default_channel.queue_purge(name)

    def stop(self, hurried: Callable[[], bool] = process.never) -> None:
        """End it and the name server it needs."""
        super().stop(hurried)
        if self._names:
            process.kill(self._names)
            self._names = None

    def _look(self, name: str) -> queue_declare_ok_t:
        with Connection(self.url, connect_timeout=ACCEPT_S) as link:
            return link.default_channel.queue_declare(name, passive=True)

    def _prepare(self) -> None:
        program = find_rabbitmq()
        if program is None:
            raise BinaryMissing(
                what="RabbitMQ", package="rabbitmq-server", variable="OPSLEDGER_BROKER_URL"
            )
        self._program = program
        self._password = files.keep_passwords(self.data_dir / "passwords.json", [USER])[USER]
        self._user = server_identity(self._home, [program])
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._start_names()

    def _start_names(self) -> None:
        """Erlang's name server: left to itself, it would listen everywhere and outlive us."""
        if self._names and self._names.poll() is None:  # it outlives kill()
            return
        self._names_port = free_port()
        self._names = process.spawn(
            [shutil.which("epmd") or "", "-address", "127.0.0.1", "-port", str(self._names_port)],
            log_path=self.log_path,
            death_signal=signal.SIGKILL,
            env=self._env(),
            identity=self._user,
        )

    def _argv(self) -> Sequence[str]:
        texts = {"rabbitmq.conf": self._configuration(), "enabled_plugins": "[].\n"}
        for name, text in texts.items():
            (self._home / name).write_text(text)
        cluster.give(self._home, self._user)
        for name in texts:
            cluster.give(self._home / name, self._user)
        return [str(self._program), "-opsledger", str(self._home)]

    def _configuration(self) -> str:
        return CONFIGURATION.format(port=self.port, user=USER, password=self._password)

    def _marker(self) -> str:
        return f"-opsledger {self._home} "

    def _identity(self) -> Identity | None:
        return self._user

    def _env(self) -> dict[str, str]:
        home = str(self._home)
        return {
            **super()._env(),
            "HOME": home,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": home,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_NODENAME": "opsledger@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_ARGUMENTS,
            "detached": "1",  # no shell between us and the node: signals reach it
        }

    def _accepts(self) -> bool:
        return Broker(self.url).answers(ACCEPT_S)
