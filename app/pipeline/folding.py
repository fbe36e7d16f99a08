"""Folding: summaries that wait are added to rollups, a bounded transaction at a time."""

import time
from uuid import UUID

from ..store.fold import fold, pending_tenants
from ..store.session import Database
from ..telemetry import FOLDED

# Readers add up what waits: some dozens of batches cost them a few ms, while each fold of a tenant
# rewrites its units of the hour, day and month.
WAITING_BATCHES = 20
WAITING_AGE_S = 5.0
RUN_S_MAX = 20.0  # then the worker's thread is free for others; beat asks again every second


def fold_waiting(
    database: Database,
    *,
    batches: int = WAITING_BATCHES,
    age_s: float = WAITING_AGE_S,
    run_s_max: float = RUN_S_MAX,
) -> int:
    """Fold the tenants of whom so many batches wait, or one for so long; returns how many batches.

    Safe to die in and to run twice at once: what a transaction folded stays folded, once.

    Args:
        database: of the maintenance role.
        age_s: in seconds.
        run_s_max: after so many seconds no further transaction is begun.

    Raises:
        StoreUnavailable: Postgres cannot be reached; what was committed stays folded.
    """
    deadline = time.monotonic() + run_s_max
    folded, progress = 0, True
    while progress and time.monotonic() < deadline:
        with database.unrestricted_unsafe() as session:
            tenants = pending_tenants(session, batches=batches, age_s=age_s)
        before = folded
        for tenant_id in tenants:  # one transaction each, so that none waits for a long one
            if time.monotonic() < deadline:
                folded += _fold(database, tenant_id)
        progress = folded > before
    return folded


def _fold(database: Database, tenant_id: UUID) -> int:
    with database.unrestricted_unsafe() as session:
        batches = fold(session, tenant_id)
    FOLDED.inc(batches)
    return batches
