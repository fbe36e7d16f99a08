"""Forwarding: in every worker, destinations take turns at a few threads.

A turn is claimed in the database, so any number of workers may do this; a destination that is slow
keeps one thread busy, and those that fail are left alone for a while and never have all threads.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from ..config import Settings
from ..domain.forwarding import Destination, due_after, pause_s, purpose_of
from ..errors import QueryTimeout, SinkError, StoreUnavailable
from ..sinks import Sink, open_sink
from ..store.cold import ColdStore
from ..store.forward_progress import begin_cursors
from ..store.forwarding import (
    Claimed,
    LeaseLost,
    claim_next,
    note_failure,
    note_test,
    release,
    take,
)
from ..store.places import open_archive
from ..store.session import Database
from ..telemetry import FORWARD_FAILURES, get_logger
from ..vault import UnreadableCredentials, Vault
from .forward_turn import Turn

POLL_S = 1.0  # how soon what was committed is looked for
AWAY_S = 5.0  # until the database is asked again that did not answer
SINKS_OPEN_MAX = 64  # ways that stay open between turns
COLD_S_MAX = 60.0
TURNS_MAX = 1000  # of one run by hand
STOP_S = 10.0

log = get_logger(__name__)


class Forwarder:
    """Delivers to destinations, whosever turn it is.

    Args:
        database: of the maintenance role.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._vault = Vault(settings.credential_keys)
        self._cold = ColdStore(open_archive(settings), timeout_s=COLD_S_MAX)
        self._open: OrderedDict[UUID, tuple[datetime, Sink]] = OrderedDict()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._free = threading.Semaphore(settings.forward_at_once)
        # One that is away may hang until its timeouts; a thread is left to those that are not.
        self._free_to_failing = threading.Semaphore(max(1, settings.forward_at_once - 1))
        self._begun_at = -POLL_S
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Deliver in the background from now on, unless the settings say never."""
        if self._settings.forward_at_once and self._thread is None:
            self._thread = threading.Thread(
                target=self._loop, name="opsledger-forward", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Let turns end that have begun, and begin no more."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def run_due(self) -> int:
        """Give every destination that is due its turns, one after the other; returns how many."""
        turns = 0
        self._begin()
        while turns < TURNS_MAX and (held := self._claim()) is not None:
            self._turn(held)
            turns += 1
        return turns

    def try_now(self, tenant_id: UUID, destination_id: UUID) -> None:
        """Send a test record to one destination, whoever else delivers to it."""
        until = self._clock() + timedelta(seconds=self._settings.forward_lease_s)
        with self._database.unrestricted_unsafe() as session:
            held = take(session, tenant_id, destination_id, uuid4(), until)
        if held is not None:
            self._turn(held)

    def _loop(self) -> None:
        pool = ThreadPoolExecutor(self._settings.forward_at_once, thread_name_prefix="forward")
        with pool:
            while not self._stopping:
                pause = POLL_S
                try:
                    self._begin_at_times()
                    self._hand_out(pool)
                except (StoreUnavailable, QueryTimeout) as error:
                    log.warning("database away, nothing is forwarded", error=repr(error))
                    pause = AWAY_S
                except Exception:  # whatever it is, the next look may do better
                    log.exception("destinations not looked at")
                    pause = AWAY_S
                self._wake.wait(pause)
                self._wake.clear()

    def _hand_out(self, pool: ThreadPoolExecutor) -> None:
        """Begin a turn in every free thread, as long as somebody is due."""
        while not self._stopping and self._free.acquire(blocking=False):
            failing = self._free_to_failing.acquire(blocking=False)
            held = None
            try:
                held = self._claim(failing=failing)
            finally:
                if failing and (held is None or not held.destination.failures):
                    self._free_to_failing.release()
                if held is None:
                    self._free.release()
            if held is None:
                return
            pool.submit(self._turn_in_pool, held)

    def _turn_in_pool(self, held: Claimed) -> None:
        try:
            self._turn(held)
        finally:
            if held.destination.failures:
                self._free_to_failing.release()
            self._free.release()
            self._wake.set()  # there may be more for it, or for another

    def _begin_at_times(self) -> None:
        """Look for new destinations and tenants, however often turns end."""
        if time.monotonic() - self._begun_at >= POLL_S:
            self._begun_at = time.monotonic()
            self._begin()

    def _begin(self) -> None:
        with self._database.unrestricted_unsafe() as session:
            begin_cursors(session)

    def _claim(self, *, failing: bool = True) -> Claimed | None:
        with self._database.unrestricted_unsafe() as session:
            now, lease_s = self._clock(), self._settings.forward_lease_s
            return claim_next(session, uuid4(), now=now, lease_s=lease_s, failing=failing)

    def _turn(self, held: Claimed) -> None:
        to = held.destination
        try:
            sink = self._sink_of(held)
            turn = Turn(self._database, self._settings, self._cold, held, sink, self._clock)
            turn.run()
        except LeaseLost:
            log.info("another delivers to this destination by now", destination=str(to.id))
            return
        except (StoreUnavailable, QueryTimeout) as error:  # the lease ends by itself
            log.warning("turn broke off", destination=str(to.id), error=repr(error))
            return
        except SinkError as error:
            self._set_aside(held, error, "denied")
        except Exception as error:
            log.exception("turn failed", destination=str(to.id))
            failure = SinkError(f"Internal error: {type(error).__name__}", unsure=True)
            self._set_aside(held, failure, "internal")
        self._release(held)

    def _set_aside(self, held: Claimed, error: SinkError, reason: str) -> None:
        """Leave a destination alone whose turn failed as a whole."""
        to, now = held.destination, self._clock()
        FORWARD_FAILURES.labels(to.sink, reason).inc()
        due_at = due_after(now, pause_s(to.failures + 1, 1.0, None, denied=True))
        try:
            with self._database.unrestricted_unsafe() as session:
                note_failure(
                    session,
                    held,
                    error.detail,
                    now=now,
                    due_at=due_at,
                    again=0,
                    unsure=error.unsure,
                )
                if to.test_asked_at is not None:
                    note_test(session, held, now=now, taken=False, words=error.detail)
        except (LeaseLost, StoreUnavailable, QueryTimeout) as failure:
            log.warning("failure not noted", destination=str(to.id), error=repr(failure))

    def _release(self, held: Claimed) -> None:
        try:
            with self._database.unrestricted_unsafe() as session:
                release(session, held)
        except (StoreUnavailable, QueryTimeout) as error:
            log.warning("lease not given back", error=repr(error))

    def _sink_of(self, held: Claimed) -> Sink:
        """The open way to a destination, as it is set now.

        Raises:
            SinkError: its credentials cannot be read, or not be used.
        """
        to = held.destination
        with self._lock:
            known = self._open.pop(to.id, None)
            if known is not None and known[0] == to.updated_at:
                self._open[to.id] = known
                return known[1]
        if known is not None:
            known[1].close()
        sink = self._open_sink(to, held.credentials)
        with self._lock:
            self._open[to.id] = (to.updated_at, sink)
            # The oldest unused; a turn that has one keeps it as long as it lasts.
            old = self._open.popitem(last=False)[1] if len(self._open) > SINKS_OPEN_MAX else None
        if old is not None:
            old[1].close()
        return sink

    def _open_sink(self, to: Destination, locked: bytes | None) -> Sink:
        try:
            secrets = (
                {}
                if locked is None
                else self._vault.unlock(to.tenant_id, purpose_of(to.id), locked)
            )
            return open_sink(to, secrets, self._settings)
        except UnreadableCredentials as error:
            raise SinkError(error.detail, denied=True) from error
        except (ValueError, KeyError) as error:
            raise SinkError(f"Its settings are not usable: {error}", denied=True) from error
