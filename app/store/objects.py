"""Where the archive's objects are: a local folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ArchiveDamaged

SCRATCH = ".incoming"  # beside the objects, since a file is linked into place


class LocalObjects:
    """Objects as files below a folder; one is there whole or not at all, and never changes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def folder(self) -> Path:
        """Where the objects are."""
        return self._root

    @property
    def scratch(self) -> Path:
        """A folder for files that are to become objects; of one runner at a time."""
        folder = self._root / SCRATCH
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(self, key: str, source: Path) -> None:
        """Make a file of the scratch folder, which is on the disk already, the object of a key.

        Raises:
            FileExistsError: the key is taken.
            OSError: the disk did not take it.
        """
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
    def opened(self, key: str) -> Iterator[Path]:
        """A local file with the object's bytes.

        Raises:
            ArchiveDamaged: there is no such object.
        """
        path = self._root / key
        if not path.is_file():
            raise ArchiveDamaged(f"{key}: the object is not there")
        yield path

    def list(self, prefix: str) -> list[str]:
        """The keys of the objects below a prefix that ends with a slash."""
        folder = self._root / prefix
        if not folder.is_dir():
            return []
        found = (path for path in folder.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self._root)) for path in found)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        (self._root / key).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
