"""Bytes of spool files that are no records, kept aside for people to look at, within a bound."""

import os
from pathlib import Path

from ..telemetry import get_logger

TORN, DAMAGED = ".torn", ".damaged"
ASIDE_BYTES_MAX = 64 * 1024 * 1024  # on one host; the oldest go first, the log names what they were

log = get_logger(__name__)


def set_aside(path: Path, data: bytes) -> None:
    """Keep bytes in a file that only its owner reads, and the bound by deleting the oldest.

    A disk that does not take them must not keep the records behind them from being shipped.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data[:ASIDE_BYTES_MAX])
        _keep_bound(path)
    except OSError as error:
        log.warning("bytes of a spool file not set aside", file=path.name, error=repr(error))


def list_aside(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """What was set aside, the oldest first."""
    found = []
    for path in folder.glob("*"):
        if path.suffix in (TORN, DAMAGED):
            try:
                found.append((path, path.stat()))
            except FileNotFoundError:  # deleted meanwhile
                continue
    return sorted(found, key=lambda item: (item[1].st_mtime_ns, item[0].name))


def _keep_bound(newest: Path) -> None:
    files = list_aside(newest.parent)
    total = sum(stat.st_size for _, stat in files)
    for path, stat in files:
        if total <= ASIDE_BYTES_MAX:
            return
        if path != newest:
            path.unlink(missing_ok=True)
            total -= stat.st_size
            log.warning("older bytes of a spool file deleted", file=path.name, bytes=stat.st_size)
