"""The spool folder: appends, hands out shipments, forgets what Postgres has.

Hides files, locks and forks. A record leaves only by `forget`, which the shipper calls once the
database confirmed its shipment.
"""

import os
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from uuid_utils.compat import uuid4, uuid7

from ..errors import NotDurable, SpoolFull
from ..telemetry import get_logger
from .frames import FRAME_HEADER
from .inspection import SpoolStatus, spool_status
from .segment import SUFFIX, FrameRun, Segment

SHIPMENT_BYTES_MAX = 1024 * 1024  # of one broker message; records are bounded well below
BACKLOG_BYTES = 4 * 1024 * 1024  # of other files; less is shipped in the blink of an eye
FRESH_TURN = 4  # with a longer backlog, one shipment of so many is of what was appended last
USAGE_SECONDS = 1.0  # how stale the folder's size may be; the bound is not a razor

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shipment:
    """A run of records on its way; its id comes back from Postgres as the receipt."""

    id: UUID
    payloads: tuple[bytes, ...]
    size: int  # bytes that they take in the spool


@dataclass(frozen=True, slots=True)
class _Run:
    """Where the records of a shipment lie."""

    segment: Segment
    start: int
    end: int


class Spool:
    """This process's door to the spool folder; safe between threads and across forks.

    Args:
        bytes_max: bound of the folder, over all processes of the host.
        reserve_bytes: what reserved records may use beyond it.
        segment_bytes_max: size at which a new file is started.
        fsync: "always" before an append returns, "interval" when `sync` is called, or "off".
    """

    def __init__(
        self,
        folder: Path,
        *,
        bytes_max: int,
        reserve_bytes: int,
        segment_bytes_max: int,
        fsync: str = "off",
    ) -> None:
        self.folder = folder
        self._fsync = fsync
        self._bytes_max = bytes_max
        self._reserve_bytes = reserve_bytes
        self._segment_bytes_max = segment_bytes_max
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._segments: deque[Segment] = deque()
        self._current: Segment | None = None
        self._taken: dict[UUID, _Run] = {}
        self._turn = 0
        self._used = 0
        self._used_at = float("-inf")
        _guard_forks(self)

    def append(
        self,
        payload: bytes,
        *,
        reserved: bool = False,
        receipt: threading.Event | None = None,
        durable: bool = False,
    ) -> None:
        """Keep one record on disk; returns once the kernel has it.

        Args:
            payload: the encoded record.
            reserved: whether it may use the reserve beyond the bound.
            receipt: set once Postgres has the record, if this process is the one to learn it.
            durable: return only once it is on the platter, whatever the spool does usually.

        Raises:
            SpoolFull: the bound is reached; the record was not kept.
            OSError: the disk refused it; the record was not kept.
            NotDurable: it was kept, and was to be durable, but the disk did not confirm that.
        """
        size = FRAME_HEADER.size + len(payload)
        with self._lock:
            self._check_room(size, reserved)
            segment = self._current
            if segment is None or segment.size >= self._segment_bytes_max:
                segment = self._current = Segment.create(self.folder / f"{uuid7().hex}{SUFFIX}")
                self._segments.append(segment)
            segment.append(payload)
            self._used += size
            if receipt is not None:
                segment.receipts.append((segment.size, receipt))
            mark = segment.written
        if (durable or self._fsync == "always") and not _synced(segment, mark) and durable:
            raise NotDurable

    def sync(self) -> None:
        """Bring to the platter what waits and is not there yet, unless that is switched off."""
        if self._fsync == "off":
            return
        with self._lock:
            waiting = [(item, item.written) for item in self._segments if not item.finished]
        for segment, mark in waiting:
            _synced(segment, mark)

    def take(self, rows_max: int) -> Shipment | None:
        """The oldest records not yet handed out, at most `rows_max`; None if there are none.

        With a long backlog, fresh ones now and then, so that they do not wait for all of it.
        """
        with self._lock:
            for segment in self._in_turn():
                shipment = self._take_from(segment, rows_max)
                if shipment is not None:
                    return shipment
        return None

    def forget(self, shipment_id: UUID) -> None:
        """Drop a shipment that Postgres holds; the disk space follows file by file."""
        with self._lock:
            run = self._taken.pop(shipment_id, None)
            if run is None:
                return
            run.segment.confirm(run.start, run.end)
            self._tidy(run.segment)

    def adopt(self) -> int:
        """Take over the files of dead processes; returns how many."""
        with self._lock:
            own = {segment.path for segment in self._segments}
        adopted = 0
        # Each goes to the front: the newest first, so that the oldest is handed out first.
        for path in sorted(self.folder.glob(f"*{SUFFIX}"), reverse=True):
            if path not in own and self._adopt(path):
                adopted += 1
        return adopted

    def status(self) -> SpoolStatus:
        """What lies in the folder, of all processes of this host."""
        return spool_status(self.folder)

    @property
    def pending(self) -> bool:
        """Whether this process holds records that Postgres has not confirmed."""
        with self._lock:
            return any(not segment.finished for segment in self._segments)

    @property
    def waiting_bytes(self) -> int:
        """How much this process holds that was not handed out yet."""
        with self._lock:
            return sum(segment.size - segment.taken for segment in self._segments)

    def close(self) -> None:
        """Let go of all files; what is unconfirmed stays for the next process."""
        with self._lock:
            for segment in self._segments:
                segment.remove() if segment.finished else segment.close()
            self._let_go()

    def _let_go(self) -> None:
        self._segments.clear()
        self._taken.clear()
        self._current = None
        self._used_at = float("-inf")

    def after_fork(self) -> None:
        """A child must not hold its parent's locks: they would outlive the parent."""
        for segment in self._segments:
            segment.abandon()
        self._lock = threading.Lock()  # the parent's may be held by a thread that is not here
        self._let_go()

    def _check_room(self, size: int, reserved: bool) -> None:
        now = time.monotonic()
        if now - self._used_at > USAGE_SECONDS:
            self._used = sum(_size(path) for path in self.folder.glob(f"*{SUFFIX}"))
            self._used_at = now
        room = self._bytes_max + (self._reserve_bytes if reserved else 0)
        if self._used + size > room:
            raise SpoolFull(f"The spool of this host has reached its bound of {room} bytes")

    def _in_turn(self) -> list[Segment]:
        segments = list(self._segments)
        self._turn = (self._turn + 1) % FRESH_TURN
        current = self._current
        if self._turn == 0 and current is not None and current.taken < current.size:
            behind = sum(item.size - item.taken for item in segments if item is not current)
            if behind >= BACKLOG_BYTES:
                segments.insert(0, current)
        return segments

    def _take_from(self, segment: Segment, rows_max: int) -> Shipment | None:
        while (start := segment.taken) < segment.size:
            run = segment.read(start, rows_max=rows_max, bytes_max=SHIPMENT_BYTES_MAX)
            if run.payloads:
                return self._hand_out(segment, run)
            segment.skip_damage()
            if segment is self._current:  # it may be shorter than we know: write to another
                self._current = None
            self._tidy(segment)
        return None

    def _hand_out(self, segment: Segment, run: FrameRun) -> Shipment:
        shipment = Shipment(uuid4(), tuple(run.payloads), run.end - segment.taken)
        self._taken[shipment.id] = _Run(segment, segment.taken, run.end)
        segment.taken = run.end
        segment.open_runs += 1
        return shipment

    def _tidy(self, segment: Segment) -> None:
        if not segment.finished:
            return
        if segment is self._current:
            segment.empty()
        else:
            self._segments.remove(segment)
            segment.remove()
        self._used_at = float("-inf")

    def _adopt(self, path: Path) -> bool:
        try:
            segment = Segment.adopt(path)
        except OSError as error:
            log.warning("spool file cannot be adopted", file=path.name, error=repr(error))
            return False
        if segment is None:
            return False
        if segment.size == 0:
            segment.remove()
            return False
        with self._lock:
            self._segments.appendleft(segment)
        return True


def _synced(segment: Segment, mark: int) -> bool:
    try:
        segment.sync(mark)
    except OSError:
        log.exception("spool file not synced", file=segment.path.name)
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _guard_forks(spool: Spool) -> None:
    """Register the fork hooks without keeping the spool alive.

    A fork waits for the append under way: a file just opened and not yet on the list would stay
    locked by the child.
    """
    reference = weakref.ref(spool)
    held: list[threading.Lock] = []

    def before() -> None:
        living = reference()
        if living is not None:
            living._lock.acquire()  # noqa: SLF001
            held.append(living._lock)  # noqa: SLF001

    def after_in_parent() -> None:
        while held:
            held.pop().release()

    def after_in_child() -> None:
        held.clear()
        living = reference()
        if living is not None:
            living.after_fork()

    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )
