"""One user at a time for a directory. Invariant: the lock is the kernel's (flock), so it goes with
its holder however that ends, and children never inherit it.
"""

import fcntl
import os
from pathlib import Path

from .errors import AlreadyRunning


class DirectoryLock:
    """An exclusive claim on a directory, with the claimant's process id to tell others."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether the claim is ours."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Claim the directory, or raise AlreadyRunning; claiming it again changes nothing."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunning(directory=self._directory, pid=pid) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the directory free."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
