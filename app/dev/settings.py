"""What `make run` is told by its environment, and what it tells its children in theirs."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import SettingInvalid
from .server import free_port

PORT_DEFAULT = 8000
STREAM_PORT_STEP = 10  # from that of web to that of the stream
DATABASE_SETTINGS = (
    "DATABASE_URL",
    "DATABASE_READ_URL",
    "WORKER_DATABASE_URL",
    "MAINTENANCE_DATABASE_URL",
    "OWNER_DATABASE_URL",
)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where the stack runs; a server whose URL is given is somebody else's and not started."""

    root: Path
    port: int
    data_dir: Path
    database_urls: Mapping[str, str]
    redis_url: str
    broker_url: str  # of RabbitMQ, say; then there is no need for Valkey

    @classmethod
    def from_environment(cls, root: Path, environment: Mapping[str, str]) -> "RunSettings":
        """Read PORT, OPSLEDGER_DATA_DIR, and the settings of broker and database.

        The URLs of single roles count only beside a DATABASE_URL: alone, they are left over from
        another shell, and the embedded server knows better.
        """
        text = environment.get("PORT") or str(PORT_DEFAULT)
        if not text.isdecimal() or not 1 <= int(text) <= 65_535:
            raise SettingInvalid(name="PORT", allowed="a number from 1 to 65535", value=text)
        given = {name: environment[name] for name in DATABASE_SETTINGS if environment.get(name)}
        return cls(
            root=root,
            port=int(text),
            data_dir=(root / (environment.get("OPSLEDGER_DATA_DIR") or ".data")).absolute(),
            database_urls=given if "DATABASE_URL" in given else {},
            redis_url=environment.get("REDIS_URL", ""),
            broker_url=environment.get("OPSLEDGER_BROKER_URL", ""),
        )

    def children_settings(
        self, database_urls: Mapping[str, str], redis_url: str, environment: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the settings of this run, as its processes and `make flask` need them."""
        return {
            **database_urls,
            "REDIS_URL": redis_url,
            "OPSLEDGER_BROKER_URL": self.broker_url,
            "PORT": str(self.port),
            "OPSLEDGER_HOST": environment.get("OPSLEDGER_HOST") or "127.0.0.1",
            "OPSLEDGER_STREAM_PORT": environment.get("OPSLEDGER_STREAM_PORT")
            or str(free_port(prefer=min(self.port + STREAM_PORT_STEP, 65_535))),
            "OPSLEDGER_DATA_DIR": str(self.data_dir),
            "OPSLEDGER_DEMO": "1",
        }


def children_environment(
    settings: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return a whole environment: ours, without its database settings, then these settings."""
    inherited = {k: v for k, v in environment.items() if k not in DATABASE_SETTINGS}
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, environment.get("PATH", os.defpath)])
    return {**inherited, **settings, "PATH": path, "PYTHONUNBUFFERED": "1"}


def as_shell(settings: Mapping[str, str]) -> str:
    """Return settings as lines that a shell can read in."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
