"""One spool file: frames of length, checksum and bytes, appended by one process.

A frame is either whole or, at the very end of the file, torn by a crash and then cut off.
"""

import errno
import fcntl
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..telemetry import get_logger

FRAME_HEADER = struct.Struct("<II")  # payload length in bytes, CRC-32 of the payload
FRAME_BYTES_MAX = 4 * 1024 * 1024  # sanity bound: a longer length is damage, not a record
SUFFIX = ".seg"

sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter

log = get_logger(__name__)


class DamagedSegment(Exception):
    """A frame in the middle of a spool file does not match its checksum."""


@dataclass(frozen=True, slots=True)
class FrameRun:
    """Whole frames read from a segment, and the offset behind the last one."""

    payloads: list[bytes]
    end: int


class Segment:
    """A locked spool file; whoever has one owns its records.

    `size` counts whole frames only, in bytes; `taken` is the offset up to which records were
    handed out; `open_runs` counts the runs handed out and not yet confirmed; `receipts` are those
    who wait for a record to be confirmed, each with the offset behind it; `written` counts the
    bytes of frames ever written to it, in this process, or found when it was adopted.
    """

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self.size = size
        self.taken = 0
        self.open_runs = 0
        self.receipts: list[tuple[int, threading.Event]] = []
        self.written = size
        self._synced = 0  # of `written`
        self._named = False  # whether the folder was synced since the file has its name
        self._sync_lock = threading.Lock()
        self._closed = False
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new, empty, locked file; it gets its name once the lock is held."""
        hidden = path.with_suffix(".new")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(hidden, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(path)
        return cls(path, descriptor, 0)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """The file of a dead process, its torn end cut off; None while its process lives.

        Raises:
            DamagedSegment: a frame before the end is broken; the file is left as it is.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino != path.stat().st_ino:
                raise FileNotFoundError  # another process adopted and finished it meanwhile
            size = _whole_bytes(descriptor)
            _cut_torn_end(descriptor, size, path)
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, size)

    @property
    def finished(self) -> bool:
        """Whether every record was handed out and confirmed."""
        return self.open_runs == 0 and self.taken >= self.size

    def append(self, payload: bytes) -> None:
        """Write one frame; on a short write or a full disk the file is as it was before.

        Raises:
            OSError: the frame could not be written.
        """
        frame = FRAME_HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        if len(frame) > FRAME_BYTES_MAX:  # it could not be read back, and would bar those behind
            raise OSError(errno.EFBIG, f"record too large for a frame: {len(payload)} bytes")
        try:
            written = os.write(self._descriptor, frame)
            if written != len(frame):
                raise OSError(f"short write: {written} of {len(frame)} bytes")
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(frame)
        self.written += len(frame)

    def sync(self, mark: int) -> None:
        """Bring everything up to a mark of `written` to the platter.

        Who comes while another syncs waits for it; one of those then syncs for all of them.

        Raises:
            OSError: the disk did not confirm it.
        """
        with self._sync_lock:
            if self._closed or self._synced >= mark:
                return
            reached = self.written  # before the sync: what is written during it is not covered
            sync_data(self._descriptor)
            if not self._named:
                sync_folder(self.path.parent)
                self._named = True
            self._synced = reached

    def read(self, start: int, *, rows_max: int, bytes_max: int) -> FrameRun:
        """Whole frames from `start` on: at least one, at most `rows_max` within `bytes_max`.

        Raises:
            DamagedSegment: the file is not what was written to it.
        """
        window = os.pread(self._descriptor, min(self.size - start, bytes_max), start)
        payloads, end = _parse(window, rows_max)
        if not payloads and self.size > start:  # one frame larger than the window
            window = os.pread(self._descriptor, min(self.size - start, FRAME_BYTES_MAX), start)
            payloads, end = _parse(window, 1)
            if not payloads:
                raise DamagedSegment(f"no whole frame at byte {start}")
        return FrameRun(payloads, start + end)

    def confirm(self, start: int, end: int) -> None:
        """Note that the records from `start` to `end` are in Postgres, and tell who waits."""
        self.open_runs -= 1
        if not self.receipts:
            return
        for behind, receipt in self.receipts:
            if start < behind <= end:
                receipt.set()
        self.receipts = [item for item in self.receipts if not start < item[0] <= end]

    def empty(self) -> None:
        """Forget all records and start again at the beginning of the same file."""
        os.ftruncate(self._descriptor, 0)
        self.size = self.taken = 0

    def remove(self) -> None:
        """Delete the file and release its lock."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the lock; the records stay for whoever adopts the file."""
        with self._sync_lock:  # a sync under way must not find another file under its number
            self._closed = True
            os.close(self._descriptor)

    def abandon(self) -> None:
        """Let go of a parent's file in its child, where a thread that held a lock is not."""
        self._sync_lock = threading.Lock()
        self.close()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the platter."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cut_torn_end(descriptor: int, size: int, path: Path) -> None:
    """Cut what a crash left unfinished; the bytes are kept aside, should they not be that."""
    torn = os.pread(descriptor, os.fstat(descriptor).st_size - size, size)
    if torn:
        path.with_suffix(".torn").write_bytes(torn)
        os.ftruncate(descriptor, size)
        log.warning("spool file had a torn end, set aside", file=path.name, bytes=len(torn))


def _parse(window: bytes, rows_max: int) -> tuple[list[bytes], int]:
    payloads: list[bytes] = []
    position = 0
    while len(payloads) < rows_max and position + FRAME_HEADER.size <= len(window):
        length, checksum = FRAME_HEADER.unpack_from(window, position)
        end = position + FRAME_HEADER.size + length
        if end > len(window):
            break
        payload = window[position + FRAME_HEADER.size : end]
        if zlib.crc32(payload) != checksum:
            raise DamagedSegment(f"checksum at byte {position}")
        payloads.append(payload)
        position = end
    return payloads, position


def _whole_bytes(descriptor: int) -> int:
    """The bytes of whole frames; what follows them is torn if it is the end of the file."""
    length = os.fstat(descriptor).st_size
    position = 0
    while position < length:
        header = os.pread(descriptor, FRAME_HEADER.size, position)
        if len(header) < FRAME_HEADER.size:
            return position
        size, checksum = FRAME_HEADER.unpack(header)
        end = position + FRAME_HEADER.size + size
        if end > length:
            if size > FRAME_BYTES_MAX:
                raise DamagedSegment(f"impossible length at byte {position}")
            return position
        if zlib.crc32(os.pread(descriptor, size, position + FRAME_HEADER.size)) != checksum:
            if end == length:
                return position
            raise DamagedSegment(f"checksum at byte {position}")
        position = end
    return position
