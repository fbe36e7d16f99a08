"""Rate limits: judged from the memory of this process, shared with the others behind requests.

No request ever waits for the broker. A thread reports what was counted here and learns what all
counted, some times a second; while the broker is away, hung or none that can count, each process
keeps the limits by itself.
"""

import os
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import redis
from cachetools import LRUCache

from ..broker import Broker
from ..domain.access import Principal
from ..domain.quota import WINDOW_S, Quota, Tally, Verdict
from ..telemetry import LIMITED, get_logger
from .shipper import Backoff

SHARE_INTERVAL_S = 0.2  # between exchanges; what all let in meanwhile may exceed a limit
SUBJECTS_MAX = 20_000  # keys and tenants remembered by a process
EXCHANGE_MAX = 1_000  # subjects of one exchange
KEPT_S = 2 * WINDOW_S  # how long the broker keeps a count
PREFIX = "opsledger:limit"

Exchange = Callable[[str, dict[str, int]], dict[str, int]]
Subject = tuple[Quota, str]

log = get_logger(__name__)


class Limiter:
    """Judges requests by the quotas of their key and of its tenant, readers and writers apart.

    Args:
        quotas: by "read" and "write", those of a key and of a tenant; without a limit, none.
        exchange: tells how many of each a process has counted, by the process's name, and returns
            what all have; told again, it adds nothing. None for a broker that cannot count.
        clock: the time since the epoch, in seconds.
    """

    def __init__(
        self,
        quotas: dict[str, tuple[Quota, Quota]],
        exchange: Exchange | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._quotas = quotas
        self._exchange = exchange
        self._clock = clock
        self._backoff = Backoff()
        self._stopped = False
        self._begin()

    def _begin(self) -> None:
        """A process of its own: a child shares neither locks nor threads with its parent."""
        self._pid = os.getpid()
        self._name = uuid4().hex
        self._lock = threading.Lock()
        self._tallies: LRUCache[Subject, Tally] = LRUCache(SUBJECTS_MAX)
        self._touched: set[Subject] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def judge(self, principal: Principal, *, writes: bool) -> list[Verdict]:
        """What the quotas say of a request; it is counted if all let it in."""
        if self._pid != os.getpid():
            self._begin()
        of_key, of_tenant = self._quotas["write" if writes else "read"]
        subjects = [(of_key, str(principal.key_id)), (of_tenant, str(principal.tenant_id))]
        subjects = [subject for subject in subjects if subject[0].limit]
        now = self._clock()
        with self._lock:
            tallies = [self._tally(subject) for subject in subjects]
            verdicts = [
                tally.look(subject[0], now)
                for tally, subject in zip(tallies, subjects, strict=True)
            ]
            if all(verdict.allowed for verdict in verdicts):
                for tally in tallies:
                    tally.own += 1
            if self._exchange is not None and len(self._touched) < SUBJECTS_MAX:
                self._touched.update(subjects)
        for verdict in verdicts:
            if not verdict.allowed:
                LIMITED.labels(verdict.quota.name).inc()
        self._share_soon()
        return verdicts

    def stop(self) -> None:
        """End the thread; what is judged from then on is counted in this process alone."""
        self._stopped = True
        self._wake.set()

    def _tally(self, subject: Subject) -> Tally:
        found: Tally | None = self._tallies.get(subject)
        if found is None:
            found = self._tallies[subject] = Tally()
        return found

    def _share_soon(self) -> None:
        if self._exchange is None or self._stopped:
            return
        self._wake.set()
        if self._thread is None:
            thread = threading.Thread(target=self._share, name="opsledger-limits", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # none to be had: each request tries again
                self._thread = None
                log.warning("no thread for shared limits, counted in this process")

    def _share(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopped:
                return
            if self._backoff.waiting:
                self._wake.set()
            else:
                self._try_to_share()
            time.sleep(SHARE_INTERVAL_S)

    def _try_to_share(self) -> None:
        try:
            self.share()
        except (redis.RedisError, OSError) as error:
            self._wake.set()
            if self._backoff.fail():
                log.warning("limits are counted in this process alone", error=repr(error))
        else:
            self._backoff.succeed()

    def share(self) -> None:
        """Report what was counted here in the current window, and learn the sums.

        Raises:
            redis.RedisError: the broker is away, or slow; whether it heard makes no difference.
        """
        if self._exchange is None:
            return
        with self._lock:
            subjects = list(self._touched)[:EXCHANGE_MAX]
            self._touched.difference_update(subjects)
            now = self._clock()
            sent: dict[str, tuple[Subject, int, int]] = {}
            for subject in subjects:
                tally = self._tally(subject)
                tally.advance(now)
                name = f"{PREFIX}:{subject[0].name}:{subject[1]}:{tally.window}"
                sent[name] = (subject, tally.window, tally.own)
        try:
            counts = {name: count for name, (_, _, count) in sent.items()}
            sums = self._exchange(self._name, counts)
        except (redis.RedisError, OSError):
            with self._lock:
                self._touched.update(subjects)
            raise
        with self._lock:
            if self._touched:
                self._wake.set()
            for name, (subject, window, count) in sent.items():
                tally = self._tally(subject)
                if tally.window == window:
                    tally.others = sums[name] - count


def counting_in(broker: Broker, timeout_s: float) -> Exchange | None:
    """Counts kept in Valkey or Redis; None for RabbitMQ, which has no place for them.

    Args:
        timeout_s: of each step of an exchange, in seconds.
    """
    store = broker.open_store(timeout_s)
    if store is None:
        return None

    def exchange(process: str, counts: dict[str, int]) -> dict[str, int]:
        pipeline = store.pipeline(transaction=False)
        for name, count in counts.items():
            pipeline.hset(name, process, count)
            pipeline.expire(name, KEPT_S)
            pipeline.hvals(name)
        sums = (sum(map(int, of_each)) for of_each in pipeline.execute()[2::3])
        return dict(zip(counts, sums, strict=True))

    return exchange
