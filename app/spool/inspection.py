"""Looking at the spool folder without owning anything: no lock is taken, nothing is changed."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .aside import list_aside
from .frames import FRAME_HEADER, Survey, survey
from .segment import SUFFIX

LOOKS_MAX = 3  # at a file that changes meanwhile
COUNTED_BYTES = 1024 * 1024  # read at a time


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """What lies in the folder: files, bytes, and seconds since the oldest file was last written;
    and what was set aside: files, bytes.
    """

    segments: int
    bytes: int
    oldest_age_s: float
    quarantined: int
    quarantined_bytes: int


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one file holds."""

    name: str
    bytes: int
    survey: Survey


def spool_status(folder: Path) -> SpoolStatus:
    """What lies in the folder, of all processes of this host."""
    sizes, ages = [], [0.0]
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        sizes.append(stat.st_size)
        if stat.st_size:
            ages.append(max(0.0, time.time() - stat.st_mtime))
    aside = [stat.st_size for _, stat in list_aside(folder)]
    return SpoolStatus(len(sizes), sum(sizes), max(ages), len(aside), sum(aside))


def count_records(folder: Path) -> int:
    """The records in all files; those of a file are counted until all of them are in Postgres."""
    return sum(_count(path) for path in folder.glob(f"*{SUFFIX}"))


def verify(folder: Path) -> Iterator[FileReport]:
    """Check every frame of every file, also of those that processes write to at this moment."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        report = _look(path)
        for _ in range(LOOKS_MAX):
            if report is None or not report.survey.damaged:
                break
            # The file may have been emptied and written anew while it was read: damage lasts.
            again = _look(path)
            if again == report:
                break
            report = again
        if report is not None:
            yield report


def _look(path: Path) -> FileReport | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # finished meanwhile
        return None
    try:
        length = os.fstat(descriptor).st_size
        found = survey(lambda start, count: os.pread(descriptor, count, start), length)
    finally:
        os.close(descriptor)
    return FileReport(path.name, length, found)


def _count(path: Path) -> int:
    """Hop from header to header; a file of damage is worth no closer look here."""
    count = position = 0
    try:
        with path.open("rb", buffering=COUNTED_BYTES) as file:
            while len(header := file.read(FRAME_HEADER.size)) == FRAME_HEADER.size:
                position += FRAME_HEADER.size + FRAME_HEADER.unpack(header)[0]
                file.seek(position)
                count += 1
    except OSError:
        return count
    return count
