"""News of commits: a worker says whose records it committed, a stream is woken to read them.

News only shorten the wait. They carry no record and may be lost; the database is the truth, and who
waits looks into it at the latest after its own time.
"""

import threading
import time
from collections.abc import Iterable
from uuid import UUID

import redis

from ..broker import Broker
from ..telemetry import NEWS, get_logger

CHANNEL = "opsledger:commits"
POLL_S = 1.0  # while there is no news to be had: everybody looks so often
RECONNECT_S = 1.0

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
        self._thread: threading.Thread | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the listener; who waits then waits for the time given."""
        self._stopped = True

    def mark(self, tenant_id: UUID) -> int:
        """What is known now: taken before one reads, so that no news fall between."""
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
                message = channel.get_message(timeout=POLL_S)
                if message is not None:
                    self._tell(UUID(one) for one in message["data"].decode().split(","))

    def _tell(self, tenant_ids: Iterable[UUID]) -> None:
        with self._lock:
            for tenant_id in tenant_ids:
                if tenant_id in self._heard:
                    self._count[tenant_id] = self._count.get(tenant_id, 0) + 1
                    self._heard[tenant_id].notify_all()

    def _tell_all(self) -> None:
        with self._lock:
            self._all += 1
            for condition in self._heard.values():
                condition.notify_all()
