"""The shipper: carries records from the spool to the broker until Postgres confirms them.

One background thread per process, started at the first record after a fork. The spool forgets a
shipment only when its id was read back from the database.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from ..config import Settings
from ..spool import BACKLOG_BYTES, Shipment, Spool
from ..telemetry import (
    CONFIRM_SECONDS,
    PUBLISH_SECONDS,
    SHIPMENT_RECORDS,
    SHIPMENTS,
    get_logger,
)

CONFIRM_INTERVAL_S = 0.2  # between two looks at the shipments table, a query each
HURRY_INTERVAL_S = 0.01  # the same while a caller waits for its record
ADOPT_INTERVAL_S = 5.0  # between two looks for files of dead processes
UNSENT_MAX = 4  # shipments in memory that no broker took yet; the others wait on disk
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0

Publish = Callable[[UUID, tuple[bytes, ...]], bytes | None]
Confirmed = Callable[[list[UUID]], set[UUID]]
Learn = Callable[[], None]

log = get_logger(__name__)


@dataclass(slots=True)
class _InFlight:
    """A shipment on its way, when to send it again, and how often it was sent."""

    shipment: Shipment
    due_at: float
    sends: int = 1
    first_sent_at: float = 0.0


class Backoff:
    """Growing pauses with jitter, so that many processes do not return at the same instant."""

    def __init__(self) -> None:
        self._pause_s = 0.0
        self._until = 0.0

    @property
    def waiting(self) -> bool:
        """Whether the pause still lasts."""
        return time.monotonic() < self._until

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._pause_s > 0

    def fail(self) -> bool:
        """Pause, longer than last time; returns whether this is the first failure in a row."""
        first = self._pause_s == 0.0
        self._pause_s = min(max(BACKOFF_FIRST_S, self._pause_s * 2), BACKOFF_MAX_S)
        self._until = time.monotonic() + self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311  # nosec B311
        return first

    def succeed(self) -> None:
        """Start over."""
        self._pause_s = self._until = 0.0


class Shipper:
    """Ships one spool.

    Args:
        publish: hands a shipment to the broker; raises when it is away. Returns the broker's
            epoch: a new one tells that it lost what it held.
        confirmed: says which shipments Postgres holds; raises when it is away.
        learn: refreshes what capture knows of the platform; raises when Postgres is away.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        publish: Publish,
        confirmed: Confirmed,
        learn: Learn,
        settings: Settings,
    ) -> None:
        self._spool = spool
        self._publish = publish
        self._confirmed = confirmed
        self._learn = learn
        self._settings = settings
        self._in_flight: dict[UUID, _InFlight] = {}
        self._epoch: bytes | None = None
        self._broker = Backoff()
        self._database = Backoff()
        self._adopt_at = self._asked_at = self._sync_at = self._sent_at = 0.0
        self._start_lock = threading.Lock()
        self._step_lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._hurry = threading.Event()  # set while there are awaited receipts, and at the end
        self._awaited: set[threading.Event] = set()
        self._thread: threading.Thread | None = None
        self._made_in = os.getpid()
        self._runs_in = 0

    def notify(self) -> None:
        """Say that the spool has a new record; starts the thread where there is none yet."""
        self.start()
        if not self._wake.is_set():
            self._wake.set()

    def start(self) -> None:
        """Start the thread in this process, once; after a fork with a clean slate."""
        if self._runs_in == os.getpid():
            return
        with self._start_lock:
            if self._runs_in == os.getpid():
                return
            if self._made_in != os.getpid():  # after a fork: what is in flight is the parent's
                self._in_flight = {}
                self._step_lock = threading.Lock()
                self._wake, self._stopping = threading.Event(), threading.Event()
                self._hurry, self._awaited = threading.Event(), set()
            thread = threading.Thread(target=self._run, name="opsledger-shipper", daemon=True)
            thread.start()  # may fail; then the next record tries again
            self._thread, self._runs_in = thread, os.getpid()

    def await_receipt(self, receipt: threading.Event, timeout_s: float | None = None) -> bool:
        """Wait until the spool confirms a record, shipping it without delay; whether it did.

        Args:
            timeout_s: the longest wait, in seconds; by the settings if not given.
        """
        self._awaited.add(receipt)
        self._hurry.set()
        self._wake.set()
        try:
            return receipt.wait(self._settings.wait_timeout_s if timeout_s is None else timeout_s)
        finally:
            self._awaited.discard(receipt)

    def flush(self, timeout_s: float) -> bool:
        """Ship and await confirmation in this thread; returns whether nothing is left unconfirmed.

        Args:
            timeout_s: the longest wait, in seconds.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            # The thread may be stuck in a step, as with a database that froze.
            self._step_safely(wait_s=max(0.0, deadline - time.monotonic()))
            if not self._spool.pending:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)

    def stop(self, grace_s: float | None = None) -> bool:
        """Flush within the grace period and end the thread; what is left stays on disk.

        Args:
            grace_s: in seconds; by the settings if not given.
        """
        self._stopping.set()
        self._hurry.set()
        self._wake.set()
        grace = self._settings.flush_grace_s if grace_s is None else grace_s
        flushed = self.flush(grace) if self._spool.pending else True
        if not flushed:
            log.info("records wait on disk for another process", spool=str(self._spool.folder))
        if self._thread is not None and self._runs_in == os.getpid():
            self._thread.join(timeout=1.0)
        self._spool.close()
        return flushed

    def _run(self) -> None:
        interval = self._settings.flush_interval_ms / 1000
        while not self._stopping.is_set():
            # In flight: keep looking for receipts. Idle: sleep until a record or an orphan comes.
            pace = HURRY_INTERVAL_S if self._awaited else interval
            self._wake.wait(pace if self._spool.pending else ADOPT_INTERVAL_S)
            self._wake.clear()
            self._hurry.wait(self._linger_s())
            self._step_safely()
            self._calm_down()

    def _linger_s(self) -> float:
        """How long the record that woke us waits for company: after a quiet time not long, in a
        steady stream until the next shipment is due. A backlog has company enough.
        """
        interval = self._settings.flush_interval_ms / 1000
        if self._spool.waiting_bytes >= BACKLOG_BYTES:
            return interval
        due_at = self._sent_at + self._settings.flush_pause_ms / 1000
        return max(interval, due_at - time.monotonic())

    def _calm_down(self) -> None:
        """Go back to the usual pace once nobody waits."""
        if not self._awaited and not self._stopping.is_set():
            self._hurry.clear()
            if self._awaited or self._stopping.is_set():  # came in between
                self._hurry.set()

    def _step_safely(self, wait_s: float = -1) -> None:
        lock = self._step_lock
        if not lock.acquire(timeout=wait_s):
            return
        try:
            self._step()
        except Exception:
            log.exception("shipper step failed; it goes on")
        finally:
            lock.release()

    def _step(self) -> None:
        now = time.monotonic()
        if now >= self._adopt_at:
            self._adopt_at = now + ADOPT_INTERVAL_S
            adopted = self._spool.adopt()
            if adopted:
                log.info("adopted spool files of dead processes", files=adopted)
            self._ask_database(self._learn)
        self._send_new()
        self._send_again(now)
        pause = HURRY_INTERVAL_S if self._awaited else CONFIRM_INTERVAL_S
        if self._in_flight and now >= self._asked_at + pause:
            self._asked_at = now
            self._ask_database(self._collect_receipts)
        if now >= self._sync_at:  # last: what was confirmed by now needs no sync
            self._sync_at = now + self._settings.spool_sync_interval_s
            self._spool.sync()

    def _send_new(self) -> None:
        # What comes meanwhile goes with the next: here, each of its records would be a shipment.
        left = self._spool.waiting_bytes
        while left > 0 and not self._broker.waiting and self._room():
            shipment = self._spool.take(self._settings.batch_rows_max)
            if shipment is None:
                return
            left -= shipment.size
            self._in_flight[shipment.id] = _InFlight(shipment, due_at=0.0, sends=0)
            self._send(self._in_flight[shipment.id])
            self._sent_at = time.monotonic()

    def _room(self) -> bool:
        unsent = sum(not item.sends for item in self._in_flight.values())
        return unsent < UNSENT_MAX and len(self._in_flight) < self._settings.inflight_max

    def _send_again(self, now: float) -> None:
        for item in [item for item in self._in_flight.values() if now >= item.due_at]:
            if self._broker.waiting:
                return
            if item.sends:
                SHIPMENTS.labels("resent").inc()
            self._send(item)

    def _send(self, item: _InFlight) -> None:
        started = time.monotonic()
        try:
            epoch = self._publish(item.shipment.id, item.shipment.payloads)
        except Exception as error:
            SHIPMENTS.labels("failed").inc()
            if self._broker.fail():
                log.warning("broker away, records wait on disk", error=repr(error))
            return
        if self._broker.failing:
            self._doubt_all()
        self._broker.succeed()
        SHIPMENTS.labels("published").inc()
        PUBLISH_SECONDS.observe(time.monotonic() - started)
        if not item.first_sent_at:
            item.first_sent_at = started
            SHIPMENT_RECORDS.observe(len(item.shipment.payloads))
        item.sends += 1
        wait = self._settings.confirm_timeout_s * 2 ** min(item.sends - 1, 6)
        item.due_at = time.monotonic() + wait
        if epoch != self._epoch:
            if self._epoch is not None:
                self._send_all_again_but(item)
            self._epoch = epoch

    def _doubt_all(self) -> None:
        """After an outage: the broker may have forgotten the last second or more, or dropped what
        came back too often while the database was away. What was sent often has long to wait for
        its next turn, and must not.
        """
        soon = time.monotonic() + self._settings.confirm_timeout_s
        for item in self._in_flight.values():
            item.due_at = min(item.due_at, soon)
            item.sends = min(item.sends, 1)

    def _send_all_again_but(self, sent: _InFlight) -> None:
        log.warning("the broker lost what it held; shipping again", shipments=len(self._in_flight))
        for item in self._in_flight.values():
            if item is not sent:
                item.due_at = 0.0

    def _collect_receipts(self) -> None:
        sent = [key for key, item in self._in_flight.items() if item.sends]
        for shipment_id in self._confirmed(sent) if sent else ():
            item = self._in_flight.pop(shipment_id, None)
            self._spool.forget(shipment_id)
            SHIPMENTS.labels("confirmed").inc()
            if item is not None:
                CONFIRM_SECONDS.observe(time.monotonic() - item.first_sent_at)

    def _ask_database(self, question: Callable[[], None]) -> None:
        if self._database.waiting:
            return
        try:
            question()
        except Exception as error:
            if self._database.fail():
                log.warning("database away, receipts wait", error=repr(error))
            return
        if self._database.failing:
            self._doubt_all()
        self._database.succeed()
