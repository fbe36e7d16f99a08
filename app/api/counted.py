"""What happens often, on record without a flood: the first of a kind at once, the others as one
count when the period ends.

A process that ends takes along what it counted but had not put on record yet, of a minute at most.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from ..capture import AuditService
from ..domain.identity import format_time
from ..domain.records import IP_CHARS_MAX
from ..telemetry import get_logger

PERIOD_S = 60.0
CASES_MAX = 100  # told apart within a period; a flood from everywhere is counted together
VARIOUS = "various"  # the resource of what is counted together

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Events that are counted together.

    Args:
        about: further words for the record's metadata, by name.
    """

    tenant_id: UUID
    action: str
    resource_type: str
    resource_id: str
    prefix: str | None
    address: str | None
    about: tuple[tuple[str, str], ...] = ()

    def at(self, address: str | None) -> "Case":
        """The case of a caller at an address, as much of it as a record can hold."""
        return replace(self, address=(address or "")[:IP_CHARS_MAX] or None)

    def in_general(self) -> "Case":
        """The case without what tells many apart."""
        return replace(self, resource_id=VARIOUS, prefix=None, address=None)


@dataclass(slots=True)
class _Count:
    """Events of a case that are not on record yet."""

    number: int = 0
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    until: datetime = field(default_factory=lambda: datetime.now(UTC))


class Counted:
    """Puts events on record.

    Args:
        audits: where to.
        outcome: of every one of them.
    """

    def __init__(self, audits: AuditService, outcome: str) -> None:
        self._audits = audits
        self._outcome = outcome
        self._lock = threading.Lock()
        self._cases: dict[Case, _Count] = {}
        self._due = 0.0  # when the period of these cases ends, by the monotonic clock
        self._timer: threading.Timer | None = None

    def note(self, case: Case) -> None:
        """Count an event."""
        self._flush_if_due()
        with self._lock:
            known = self._cases.get(case)
            if known is None and len(self._cases) >= CASES_MAX:
                case = case.in_general()
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
            except RuntimeError:  # no thread to be had: the next event past the period flushes
                log.warning("no thread to put counts on record, the next event will")

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
        about: Mapping[str, str] = dict(case.about)
        self._audits.log_change(
            tenant_id=case.tenant_id,
            action=case.action,
            resource_type=case.resource_type,
            resource_id=case.resource_id,
            user_id=f"key:{case.prefix}" if case.prefix else None,
            ip_address=case.address,
            metadata={
                "outcome": self._outcome,
                **about,
                "count": count.number,
                "since": format_time(count.since),
                "until": format_time(count.until),
            },
        )
