"""Folding: summaries that wait are added to rollups, a bounded transaction at a time."""

import time
from collections.abc import Callable
from threading import Lock
from uuid import UUID

from ..store.fold import fold, pending_tenants
from ..store.session import Database
from ..telemetry import FOLDED

# Readers add up what waits: some dozens of batches cost them a few ms, while each fold of a tenant
# rewrites its units of the hour, day and month.
WAITING_BATCHES = 20
WAITING_AGE_S = 5.0
RUN_S_MAX = 20.0  # then the worker's thread is free for others; beat asks again every second


class Folder:
    """Folds what waits, one thread of a process at a time; processes share the tenants.

    Args:
        clock: tells seconds, for the bound of a run.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._busy = Lock()

    def run(
        self, *, waiting_batches: int = WAITING_BATCHES, waiting_age_s: float = WAITING_AGE_S
    ) -> int:
        """Fold the tenants of whom so many batches wait, or one for so long.

        Returns:
            How many batches were folded; 0 if another thread of this process is at it.

        Raises:
            StoreUnavailable: Postgres cannot be reached; what was committed stays folded.
        """
        if not self._busy.acquire(blocking=False):
            return 0
        try:
            return self._run(waiting_batches, waiting_age_s)
        finally:
            self._busy.release()

    def _run(self, waiting_batches: int, waiting_age_s: float) -> int:
        deadline = self._clock() + RUN_S_MAX
        folded, progress = 0, True
        while progress and self._clock() < deadline:
            with self._database.unrestricted_unsafe() as session:
                tenants = pending_tenants(session, batches=waiting_batches, age_s=waiting_age_s)
            before = folded
            for tenant_id in tenants:  # one transaction each, so that none waits for a long one
                if self._clock() < deadline:
                    folded += self._fold(tenant_id)
            progress = folded > before
        return folded

    def _fold(self, tenant_id: UUID) -> int:
        with self._database.unrestricted_unsafe() as session:
            batches = fold(session, tenant_id)
        FOLDED.inc(batches)
        return batches
