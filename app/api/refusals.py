"""Callers that were turned away, on record without a flood: the first of a kind at once, the others
as one count when the period ends.

A key that is known belongs to its tenant's audit log; one that is not, to the operator's. Nothing
of what was sent as a key is kept. A process that ends takes along what it counted but had not put
on record yet, of a minute at most.
"""

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from ..capture import AuditService
from ..domain.access import OPERATOR_TENANT_ID, Principal
from ..domain.identity import format_time
from ..domain.records import IP_CHARS_MAX
from ..telemetry import REFUSED, get_logger

PERIOD_S = 60.0
CASES_MAX = 100  # told apart within a period; a flood from everywhere is counted together

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Case:
    """Refusals that are counted together."""

    tenant_id: UUID
    key_id: UUID | None
    prefix: str | None
    reason: str
    address: str | None


@dataclass(slots=True)
class _Count:
    """Refusals of a case that are not on record yet."""

    number: int = 0
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    until: datetime = field(default_factory=lambda: datetime.now(UTC))


class Refusals:
    """Puts refusals on record.

    Args:
        audits: where to.
    """

    def __init__(self, audits: AuditService) -> None:
        self._audits = audits
        self._lock = threading.Lock()
        self._cases: dict[Case, _Count] = {}
        self._due = 0.0  # when the period of these cases ends, by the monotonic clock
        self._timer: threading.Timer | None = None

    def note(self, reason: str, principal: Principal | None, address: str | None) -> None:
        """Count a refusal: unknown, expired, revoked or network."""
        REFUSED.labels(reason).inc()
        self._flush_if_due()
        case = _case(reason, principal, address)
        with self._lock:
            known = self._cases.get(case)
            if known is None and len(self._cases) >= CASES_MAX:
                case = Case(case.tenant_id, None, None, reason, None)
                known = self._cases.get(case)
            if known is None:
                if not self._cases:
                    self._due = time.monotonic() + PERIOD_S
                self._cases[case] = _Count()
            else:
                self._add(known)
        if known is None:
            self._put(case, _Count(1))

    def _add(self, count: _Count) -> None:
        count.number += 1
        count.until = datetime.now(UTC)
        if count.number == 1:
            count.since = count.until
        if self._timer is None:
            self._timer = threading.Timer(max(0.0, self._due - time.monotonic()), self.flush)
            self._timer.daemon = True
            try:
                self._timer.start()
            except RuntimeError:  # no thread to be had: the next refusal past the period flushes
                log.warning("no thread to put refusals on record, the next one will")

    def flush(self) -> None:
        """Put on record what was counted so far, and begin anew."""
        with self._lock:
            cases, self._cases, self._timer = self._cases, {}, None
        for case, count in cases.items():
            if count.number:
                self._put(case, count)

    def _flush_if_due(self) -> None:
        """Here, and not only by the timer, since a forked process has no timer of its parent's."""
        if self._cases and time.monotonic() >= self._due:
            self.flush()

    def _put(self, case: Case, count: _Count) -> None:
        self._audits.log_change(
            tenant_id=case.tenant_id,
            action="refuse",
            resource_type="api_key",
            resource_id=str(case.key_id or "unknown"),
            user_id=f"key:{case.prefix}" if case.prefix else None,
            ip_address=case.address,
            metadata={
                "outcome": "refused",
                "reason": case.reason,
                "count": count.number,
                "since": format_time(count.since),
                "until": format_time(count.until),
            },
        )


def _case(reason: str, principal: Principal | None, address: str | None) -> Case:
    where = (address or "")[:IP_CHARS_MAX] or None
    if principal is None:
        return Case(OPERATOR_TENANT_ID, None, None, reason, where)
    return Case(principal.tenant_id, principal.key_id, principal.prefix, reason, where)
