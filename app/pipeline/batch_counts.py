"""What committed batches add to the metrics; counted from their summaries, not record by record.

Cells are summed first, since to find a metric's labels takes longer than to add.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from ..domain.records import FAILED_STATUSES, Kind
from ..store.batches import Batch
from ..telemetry import (
    ACTIONS,
    AUDIT_CHANGES,
    AUDITS,
    BATCH_RECORDS,
    DELAY_SECONDS,
    PROVIDER_ACTIONS,
    PROVIDER_SECONDS,
    TENANT_RECORDS,
    Names,
)

FAILED = frozenset(status.value for status in FAILED_STATUSES)


class BatchCounts:
    """Counts what one process commits.

    Args:
        tenants_shown: how many tenants get counts of their own; without any, no tenant is counted.
    """

    def __init__(self, tenants_shown: int = 0) -> None:
        self._providers = Names()
        self._types = Names()
        self._tenants = Names(tenants_shown) if tenants_shown else None

    def count(self, batches: Iterable[Batch], committed_at: datetime) -> None:
        """Add batches that were committed at a moment."""
        for batch in batches:
            BATCH_RECORDS.observe(batch.row_count)
            oldest = datetime.fromisoformat(batch.min_created_at).replace(tzinfo=UTC)
            DELAY_SECONDS.observe(max(0.0, (committed_at - oldest).total_seconds()))
            if batch.kind is Kind.ACTION:
                self._count_actions(batch)
            else:
                self._count_audits(batch)

    def _count_actions(self, batch: Batch) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        total_ms: Counter[str] = Counter()
        for _, _, name, status, count, milliseconds, *_ in batch.summary["cells"]:
            counts[name, status] += count
            total_ms[name] += milliseconds
        for (name, status), count in counts.items():
            ACTIONS.labels(status).inc(count)
            PROVIDER_ACTIONS.labels(self._providers.shown(name), status).inc(count)
        for name, milliseconds in total_ms.items():
            PROVIDER_SECONDS.labels(self._providers.shown(name)).inc(milliseconds / 1000)
        failed = sum(count for (_, status), count in counts.items() if status in FAILED)
        self._count_tenant(batch, "failed", failed)
        self._count_tenant(batch, "ok", batch.row_count - failed)

    def _count_audits(self, batch: Batch) -> None:
        AUDITS.inc(batch.row_count)
        counts: Counter[str] = Counter()
        for _, _, resource_type, count, *_ in batch.summary["cells"]:
            counts[resource_type] += count
        for resource_type, count in counts.items():
            AUDIT_CHANGES.labels(self._types.shown(resource_type)).inc(count)
        self._count_tenant(batch, "audit", batch.row_count)

    def _count_tenant(self, batch: Batch, outcome: str, count: int) -> None:
        if self._tenants is not None and count:
            TENANT_RECORDS.labels(self._tenants.shown(str(batch.tenant_id)), outcome).inc(count)
