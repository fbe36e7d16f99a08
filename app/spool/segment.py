"""One spool file: frames of length, checksum and bytes, appended by one process.

A frame is whole, or torn by a crash at the very end of the file and then cut off; where bytes in
between are damaged, they alone are left out.
"""

import ctypes
import errno
import fcntl
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..telemetry import QUARANTINED, get_logger
from .aside import ASIDE_BYTES_MAX, DAMAGED, TORN, set_aside
from .frames import FRAME_BYTES_MAX, Survey, find, pack, parse, survey

SUFFIX = ".seg"

# os.write lets go of the GIL: other threads would take it, and this one wait for it with the
# spool's lock in hand, for a copy of microseconds into the page cache. See decision 0027.
_write = ctypes.PyDLL(None, use_errno=True).write
_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_write.restype = ctypes.c_ssize_t

sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter

log = get_logger(__name__)


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
        """The file of a dead process, its torn end cut off; None while its process lives."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino != path.stat().st_ino:
                raise FileNotFoundError  # another process adopted and finished it meanwhile
            length = os.fstat(descriptor).st_size
            found = survey(lambda start, count: os.pread(descriptor, count, start), length)
            _cut_tail(descriptor, found, path)
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, found.size)

    @property
    def finished(self) -> bool:
        """Whether every record was handed out and confirmed."""
        return self.open_runs == 0 and self.taken >= self.size

    def append(self, payload: bytes) -> None:
        """Write one frame; on a short write or a full disk the file is as it was before.

        Raises:
            OSError: the frame could not be written.
        """
        frame = pack(payload)
        if len(frame) > FRAME_BYTES_MAX:  # it could not be read back, and would bar those behind
            raise OSError(errno.EFBIG, f"record too large for a frame: {len(payload)} bytes")
        try:
            written = _write(self._descriptor, frame, len(frame))
            while written < 0 and ctypes.get_errno() == errno.EINTR:  # as os.write does
                written = _write(self._descriptor, frame, len(frame))
            if written < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
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
        """Whole frames from `start` on, at most `rows_max` within `bytes_max`, or one larger one.

        None before the end of the file means that the frame at `start` is damaged.
        """
        payloads, end = parse(self._bytes(start, bytes_max), rows_max)
        if not payloads and self.size > start:  # one frame larger than the window, or damaged
            payloads, end = parse(self._bytes(start, FRAME_BYTES_MAX), 1)
        return FrameRun(payloads, start + end)

    def skip_damage(self) -> None:
        """Set aside what is damaged where the next record should be, and go on behind it."""
        start = self.taken
        following = find(self._bytes, start, self.size)
        end = self.size if following is None else following
        set_aside(
            self.path.with_name(f"{self.path.stem}-{start}{DAMAGED}"),
            self._bytes(start, min(end - start, ASIDE_BYTES_MAX)),
        )
        QUARANTINED.inc()
        log.error("damage in a spool file", file=self.path.name, start=start, end=end)
        self.taken = end

    def _bytes(self, start: int, count: int) -> bytes:
        return os.pread(self._descriptor, min(self.size - start, count), start)

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


def _cut_tail(descriptor: int, found: Survey, path: Path) -> None:
    """Cut what a crash left unfinished; the bytes are kept aside, should they not be that."""
    if not found.tail:
        return
    suffix = TORN if found.torn else f"-{found.size}{DAMAGED}"
    set_aside(
        path.with_name(path.stem + suffix),
        os.pread(descriptor, min(found.tail, ASIDE_BYTES_MAX), found.size),
    )
    os.ftruncate(descriptor, found.size)
    if not found.torn:
        QUARANTINED.inc()
    said = "spool file had a torn end, set aside" if found.torn else "damage in a spool file"
    log.warning(said, file=path.name, start=found.size, bytes=found.tail)
