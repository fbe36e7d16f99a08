"""Where objects are kept: what the archive and exports ask of a folder or an object store alike.

An object is there whole or not at all, and never changes.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from ..domain.archive import Segment
from ..errors import ArchiveDamaged

SCRATCH = ".incoming"  # beside the objects, since a file is linked into place


class Objects(Protocol):
    """A place for objects."""

    @property
    def folder(self) -> Path:
        """Where all files lie that `opened` gives."""
        ...

    @property
    def scratch(self) -> Path:
        """A folder for files that are to become objects; of one runner at a time."""
        ...

    def put(self, key: str, source: Path) -> None:
        """Make a file of the scratch folder, which is on the disk already, the object of a key.

        Raises:
            FileExistsError: the key is taken.
            OSError: the disk did not take it.
            StorageFault: the object store did not take it.
        """
        ...

    def opened(
        self, segments: Sequence[Segment], *, within_s: float
    ) -> AbstractContextManager[list[Path]]:
        """Local files with the segments' bytes.

        Args:
            within_s: how long it may take to get them here.

        Raises:
            ArchiveDamaged: one is not there, or is not what was written.
            OSError: the disk does not give, or take, one.
            StorageFault: the object store does not give one.
            QueryTimeout: it took too long; what came by then is quick the next time.
        """
        ...

    def fetched(self, key: str) -> AbstractContextManager[Path]:
        """A local file with the bytes of an object as they are where it is kept, now.

        Raises:
            ArchiveDamaged: there is no such object.
            OSError: the disk does not give, or take, it.
            StorageFault: the object store does not give it.
        """
        ...

    def reader(self, key: str) -> BinaryIO:
        """An object to be read in parts, from any place.

        Raises:
            ArchiveDamaged: there is no such object.
            StorageFault: the object store does not say.
        """
        ...

    def list(self, prefix: str) -> list[str]:
        """The keys of the objects below a prefix that ends with a slash."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        ...


class LocalObjects:
    """Objects as files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def folder(self) -> Path:
        """Where the objects are."""
        return self._root

    @property
    def scratch(self) -> Path:
        """On the same disk, as a file is linked from it into place."""
        folder = self._root / SCRATCH
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(self, key: str, source: Path) -> None:
        """See `Objects`."""
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
        # The names lead to it only once the folders are on the disk too.
        for folder in (target.parent, *target.parent.parents):
            _sync_folder(folder)
            if folder == self._root:
                break
        source.unlink()

    @contextmanager
    def opened(
        self,
        segments: Sequence[Segment],
        *,
        within_s: float,  # noqa: ARG002 - part of the protocol
    ) -> Iterator[list[Path]]:
        """See `Objects`; they are here already."""
        yield [self._find(segment.key) for segment in segments]

    @contextmanager
    def fetched(self, key: str) -> Iterator[Path]:
        """See `Objects`."""
        yield self._find(key)

    def reader(self, key: str) -> BinaryIO:
        """See `Objects`."""
        return self._find(key).open("rb")

    def list(self, prefix: str) -> list[str]:
        """See `Objects`."""
        folder = self._root / prefix
        if not folder.is_dir():
            return []
        found = (path for path in folder.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self._root)) for path in found)

    def delete(self, key: str) -> None:
        """See `Objects`."""
        (self._root / key).unlink(missing_ok=True)

    def _find(self, key: str) -> Path:
        path = self._root / key
        if not path.is_file():
            raise ArchiveDamaged(f"{key}: the object is not there")
        return path


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
