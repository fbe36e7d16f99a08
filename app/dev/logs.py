"""What of a service's log a person should see at once: its warnings and errors, a bounded number.
Everything else stays in the file.
"""

import re
from pathlib import Path

from . import files

LINES_PER_LOOK_MAX = 5
SERIOUS = re.compile(
    r"\b(WARNING|ERROR|CRITICAL|FATAL|PANIC)\b"
    r"|\[(warning|error|critical)\s*\]"
    r"|\"?level\"?\s*[:=]\s*\"?(warning|error|critical)"
)
# Ordinary here: a shipment that comes twice finds its records in place.
EXPECTED = re.compile(r"duplicate key value violates unique constraint \"\w+_logs_")


class LogFollower:
    """Reads what is appended to a log from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = files.size_of(path)

    def skip(self) -> None:
        """Take what is there as read: a server that starts complains about clients too early."""
        self._read_to = files.size_of(self._path)

    def warnings(self) -> list[str]:
        """Return the new lines that warn, the first few of them; keep the file within bounds."""
        size = files.size_of(self._path)
        if size <= self._read_to:
            self._read_to = size
            return []
        # Only whole lines: what comes after the last newline is for the next look.
        with self._path.open("rb") as file:
            file.seek(max(self._read_to, size - files.TAIL_BYTES_MAX))
            fresh = file.read(files.TAIL_BYTES_MAX)
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._read_to = file.tell() - len(fresh) + len(whole)
        if files.rotate(self._path):
            self._read_to = 0
        lines = whole.decode("utf-8", "replace").splitlines()
        serious = [line for line in lines if SERIOUS.search(line) and not EXPECTED.search(line)]
        return serious[:LINES_PER_LOOK_MAX]
