"""Files and standard output, for agents that tail: one record a line, on disk before it counts."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import Settings
from ..domain.forwarding import Outgoing
from ..errors import SinkError
from .protocol import MIB, Account, Asked, Receipt, SinkKind

ROWS_MAX = 1000
BYTES_MAX = 8 * MIB
STDOUT = "-"


class FileSink:
    """Appends lines to a file below OPSLEDGER_FORWARD_DIR; one that was moved away is made anew."""

    rows_max = ROWS_MAX
    bytes_max = BYTES_MAX
    record_bytes_max = BYTES_MAX

    def __init__(self, account: Account) -> None:
        name = account.values["path"]
        self._path = None if name == STDOUT else Path(account.settings.forward_dir) / name

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Append a line for each record."""
        lines = b"".join(record.body + b"\n" for record in records)
        try:
            if self._path is None:
                sys.stdout.buffer.write(lines)
                sys.stdout.buffer.flush()
            else:
                self._append(self._path, lines)
        except (OSError, ValueError) as error:
            raise SinkError(f"Not written: {error}") from error
        return Receipt(words=f"{len(lines)} bytes written")

    def close(self) -> None:
        """Nothing stays open."""

    @staticmethod
    def _append(path: Path, lines: bytes) -> None:
        """Append all of it or nothing, so that no reader finds half a line for good."""
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(number).st_size
            # Whoever was killed in the middle of a line left it without its end.
            torn = size > 0 and os.pread(number, 1, size - 1) != b"\n"
            try:
                left = memoryview(b"\n" + lines if torn else lines)
                while left:
                    left = left[os.write(number, left) :]
                os.fsync(number)
            except OSError:
                os.ftruncate(number, size)
                raise
        finally:
            os.close(number)


def _check(values: Mapping[str, Any], _: Mapping[str, str], settings: Settings) -> None:
    name = values["path"]
    if name == STDOUT:
        return
    if not settings.forward_dir:
        raise ValueError("needs OPSLEDGER_FORWARD_DIR, the folder that such files are in")
    if Path(name).is_absolute() or ".." in Path(name).parts or "\x00" in name:
        raise ValueError("must be a path below OPSLEDGER_FORWARD_DIR, without ..")


FILE = SinkKind(
    name="file",
    words="A line of JSON for each record, in a file of the worker's host or on standard output.",
    opener=FileSink,
    check=_check,
    asked=(Asked(name="path", words="Below the folder; - is standard output.", required=True),),
    operator_only=True,
)
