"""Where queries read: a replica while it answers, the primary while it does not, and it is counted.

A replica is a little behind, so what was just committed may be missing from a query for a moment;
what must know (keys, receipts) asks the primary.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from uuid import UUID

from sqlalchemy.orm import Session

from ..errors import StoreUnavailable
from ..telemetry import READ_FALLBACKS, get_logger
from .session import Database

AWAY_S = 2.0  # until a replica that did not answer is tried again, by one query of each process
REPLICA_CONNECT_TIMEOUT_S = 1  # it is near, and there is another database to ask

log = get_logger(__name__)


class ReadDatabase:
    """Transactions that only read, each on one of two databases.

    Args:
        primary: has everything, at once.
        replica: follows it; None if there is none.
        clock: tells seconds.
    """

    def __init__(
        self,
        primary: Database,
        replica: Database | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self._replica = replica
        self._clock = clock
        self._lock = Lock()
        self._retry_at = 0.0

    @contextmanager
    def tenant(self, tenant_id: UUID, *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction that sees one tenant's rows only, as Database.tenant() has it.

        A replica that dies in the middle of it costs this one query; the next is answered.

        Raises:
            StoreUnavailable: neither database can be reached, or the replica was lost meanwhile.
            QueryTimeout: a statement took longer than the pool allows.
        """
        with ExitStack() as stack:
            replica = self._chosen()
            session = None
            if replica is not None:
                try:
                    session = stack.enter_context(replica.tenant(tenant_id, snapshot=snapshot))
                except StoreUnavailable as error:
                    self._leave(error)
                else:
                    self._retry_at = 0.0
            if session is None:
                if self._replica is not None:
                    READ_FALLBACKS.inc()
                session = stack.enter_context(self._primary.tenant(tenant_id, snapshot=snapshot))
            yield session

    def close(self) -> None:
        """Close all idle connections to the replica."""
        if self._replica is not None:
            self._replica.close()

    def _chosen(self) -> Database | None:
        """The replica, unless it is away; when that was a while ago, for one query to try."""
        with self._lock:
            now = self._clock()
            if now < self._retry_at:
                return None
            if self._retry_at:
                self._retry_at = now + AWAY_S
            return self._replica

    def _leave(self, error: StoreUnavailable) -> None:
        with self._lock:
            self._retry_at = self._clock() + AWAY_S
        log.warning("read replica away, queries go to the primary", error=repr(error.__cause__))
