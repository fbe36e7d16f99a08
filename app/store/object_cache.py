"""A bounded folder of this host with objects that were read from elsewhere, each by its SHA-256.

What is in it is what was asked for: a file gets its name only once its digest is right. A file in
use is locked, and what was not read for the longest time goes first; processes share the folder.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from uuid_utils.compat import uuid7

from ..errors import ArchiveDamaged, StorageFault, StorageReason

SUFFIX = ".parquet"
UNFINISHED = ".part"
UNFINISHED_S_MAX = 3600.0  # a download that old has died
Download = Callable[[], Iterable[bytes]]


class ObjectCache:
    """Files of objects, at most so many bytes of them.

    Args:
        bytes_max: of all files together; processes that fill it at once may pass it by an object.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self.folder = folder
        self._bytes_max = bytes_max
        self._lock = Lock()
        self._coming = 0  # bytes that this process downloads right now

    @contextmanager
    def opened(self, sha256: bytes, size: int, download: Download) -> Iterator[Path]:
        """A file with an object's bytes, here already or downloaded; it stays until the end.

        Args:
            size: of the object, in bytes.
            download: gives its bytes.

        Raises:
            ArchiveDamaged: what was downloaded is something else.
            StorageFault: the cache is full of files in use.
            OSError: the disk did not take it.
        """
        path = self.folder / f"{sha256.hex()}{SUFFIX}"
        file = _hold(path)
        while file is None:
            with self._room(size):
                self._fill(path, sha256, download)
            file = _hold(path)
        try:
            os.utime(path)
            yield path
        finally:
            file.close()

    def _fill(self, path: Path, sha256: bytes, download: Download) -> None:
        begun = self.folder / f"{uuid7()}{UNFINISHED}"
        digest = hashlib.sha256()
        try:
            with begun.open("xb") as file:
                for part in download():
                    digest.update(part)
                    file.write(part)
            if digest.digest() != sha256:
                raise ArchiveDamaged(f"{path.name}: its bytes are not those that were written")
            begun.replace(path)
        finally:
            begun.unlink(missing_ok=True)

    @contextmanager
    def _room(self, size: int) -> Iterator[None]:
        with self._lock:
            self._make_room(self._coming + size)
            self._coming += size
        try:
            yield
        finally:
            with self._lock:
                self._coming -= size

    def _make_room(self, size: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        files = sorted(self._files())
        taken = sum(bytes_ for _, bytes_, _ in files)
        for _, bytes_, path in files:
            if taken + size <= self._bytes_max:
                return
            if _remove(path):
                taken -= bytes_
        if taken + size > self._bytes_max:
            raise StorageFault(
                f"The cache of {self._bytes_max} bytes has no room for an object of {size} beside"
                " those in use; narrow the query, or raise OPSLEDGER_ARCHIVE_CACHE_BYTES",
                reason=StorageReason.FULL,
            )

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """When each file was read last, and its size; what died half-way is removed."""
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                if path.suffix != UNFINISHED:
                    yield status.st_mtime, status.st_size, path
                elif time.time() - status.st_mtime > UNFINISHED_S_MAX:
                    path.unlink()


def _hold(path: Path) -> BinaryIO | None:
    """A file, locked against removal until it is closed; None if it is not there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    fcntl.flock(file, fcntl.LOCK_SH)
    if os.fstat(file.fileno()).st_nlink:
        return file
    file.close()
    return None


def _remove(path: Path) -> bool:
    """Remove a file that nobody uses; whether it is gone."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True
