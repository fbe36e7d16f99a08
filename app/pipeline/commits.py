"""News of commits: a worker says whose records it committed, a stream is woken to read them.

News only shorten the wait. They carry no record and may be lost; the database is the truth, and who
waits looks into it at the latest after its own time. The more readers a tenant has, the less often
they are told, all of them together: so they stand at one place, and one query serves all.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

import redis

from ..broker import Broker
from ..telemetry import NEWS, get_logger

CHANNEL = "opsledger:commits"
POLL_S = 1.0  # while there is no news to be had: everybody looks so often
RECONNECT_S = 1.0
# Between two wakings of a tenant's readers, for each of them: about what waking one and writing to
# it costs, twice, so that half of a core is left for others; and never more than a person notices.
PACE_READER_S = 0.0008
PACE_MAX_S = 0.4

log = get_logger(__name__)


class Announcer:
    """Tells whose records were committed.

    Args:
        broker: RabbitMQ has no place for news; then streams look by themselves.
        timeout_s: the longest wait for it, in seconds.
    """

    def __init__(self, broker: Broker, timeout_s: float) -> None:
        self._store = broker.open_store(timeout_s)

    def announce(self, tenant_ids: Iterable[str]) -> None:
        """Tell of a commit; that it cannot be told is counted, and harms nothing."""
        told = ",".join(sorted(tenant_ids))
        if self._store is None or not told:
            return
        try:
            self._store.publish(CHANNEL, told)
        except (redis.RedisError, OSError) as error:
            NEWS.labels("failed").inc()
            log.warning("streams are not told of a commit", error=repr(error))
        else:
            NEWS.labels("told").inc()


class News:
    """Wakes who waits for a tenant's commits; one listener in each process."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._heard: dict[UUID, threading.Condition] = {}
        self._count: dict[UUID, int] = {}
        self._all = 0
        self._readers: Counter[UUID] = Counter()
        self._told_at: dict[UUID, float] = {}
        self._untold: set[UUID] = set()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the listener; who waits then waits for the time given."""
        self._stopped = True

    @contextmanager
    def reader(self, tenant_id: UUID) -> Iterator[None]:
        """Count one who waits for a tenant's news again and again."""
        with self._lock:
            self._readers[tenant_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers[tenant_id] -= 1

    def mark(self, tenant_id: UUID) -> int:
        """What is known now: taken before one reads, so that no news fall between."""
        if tenant_id not in self._heard:
            with self._lock:
                self._start()
                self._heard.setdefault(tenant_id, threading.Condition(self._lock))
        return self._count.get(tenant_id, 0) + self._all

    def wait(self, tenant_id: UUID, mark: int, timeout_s: float) -> None:
        """Wait for news that came after the mark, at most so many seconds."""
        with self._lock:
            self._heard[tenant_id].wait_for(
                lambda: self._count.get(tenant_id, 0) + self._all != mark, timeout_s
            )

    def _start(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._listen, name="opsledger-news", daemon=True)
            self._thread.start()

    def _listen(self) -> None:
        while not self._stopped:
            try:
                self._hear()
            except (redis.RedisError, OSError) as error:
                log.warning("no news of commits, streams look by themselves", error=repr(error))
            self._tell_all()
            time.sleep(RECONNECT_S)

    def _hear(self) -> None:
        store = self._broker.open_store(POLL_S * 5)
        if store is None:
            return
        with store.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(CHANNEL)
            self._tell_all()  # of what was missed before
            while not self._stopped:
                message = channel.get_message(timeout=self._patience())
                told = message["data"].decode().split(",") if message else ()
                self._tell(UUID(one) for one in told)

    def _patience(self) -> float:
        """How long the listener may listen before somebody who was not told yet has to be."""
        now = time.monotonic()
        dues = (self._told_at[one] + self._pace(one) - now for one in self._untold)
        return max(0.001, min((POLL_S, *dues)))

    def _pace(self, tenant_id: UUID) -> float:
        return min(self._readers[tenant_id] * PACE_READER_S, PACE_MAX_S)

    def _tell(self, tenant_ids: Iterable[UUID]) -> None:
        """Wake who waits for these tenants' news, or for news of before, if it is time to."""
        now = time.monotonic()
        with self._lock:
            self._untold.update(one for one in tenant_ids if one in self._heard)
            for tenant_id in tuple(self._untold):
                if now - self._told_at.get(tenant_id, 0.0) >= self._pace(tenant_id):
                    self._untold.discard(tenant_id)
                    self._told_at[tenant_id] = now
                    self._count[tenant_id] = self._count.get(tenant_id, 0) + 1
                    self._heard[tenant_id].notify_all()

    def _tell_all(self) -> None:
        with self._lock:
            self._all += 1
            for condition in self._heard.values():
                condition.notify_all()
