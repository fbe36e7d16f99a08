"""Alert rules as data: a figure of a stretch of time, compared with a threshold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from ..errors import FieldError, InvalidInput
from .records import Kind

MINUTE_S = 60
WINDOW_S_MAX = 6 * 3600  # longer ones change too slowly to need watching each 15 s
FOR_S_MAX = 24 * 3600
RULE_NAME_CHARS_MAX = 100
RULES_MAX = 100  # of one tenant; each is evaluated every 15 s
VALUES_MAX = 50  # of one filter


class Figure(StrEnum):
    """What a rule compares: of the records of its window that its filters accept."""

    COUNT = "count"
    FAILURES = "failures"  # failure and timeout
    ERROR_RATE = "error_rate"  # failures / count, from 0 to 1
    AVERAGE_MS = "average_ms"  # of execution_time_ms


class Comparison(StrEnum):
    """How the figure is compared with the threshold."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="

    def holds(self, value: float, threshold: float) -> bool:
        """Whether the figure is on the side that calls for an alert."""
        if self is Comparison.ABOVE:
            return value > threshold
        if self is Comparison.AT_LEAST:
            return value >= threshold
        return value < threshold if self is Comparison.BELOW else value <= threshold

    @property
    def downward(self) -> bool:
        """Whether too little calls for an alert; then silence does."""
        return self in {Comparison.BELOW, Comparison.AT_MOST}


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


# What records can be told apart by, in the order of a cell's names.
CELL_NAMES: dict[Kind, tuple[str, ...]] = {
    Kind.ACTION: ("action_type", "provider_name", "status"),
    Kind.AUDIT: ("action", "resource_type"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to raise an alert, and whom to tell.

    Args:
        filters: values by name, alternatives of each other; a name not given accepts any.
        group_by: raise an alert for each value of this name, rather than one.
        window_s: the length of the window in seconds, whole minutes.
        min_count: records that the window must have before a rate or an average says anything.
        for_s: how long it must hold before the alert fires, in seconds.
        channels: who is told; nobody named means all channels of the tenant.
        renotify_s: how often to tell again while it fires, in seconds; 0: once.
        muted_until: until then nobody is told.
    """

    id: UUID
    name: str
    kind: Kind
    figure: Figure
    threshold: float
    window_s: int
    comparison: Comparison = Comparison.ABOVE
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    group_by: str | None = None
    min_count: int = 0
    for_s: int = 0
    severity: Severity = Severity.WARNING
    channels: tuple[UUID, ...] = ()
    enabled: bool = True
    renotify_s: int = 0
    muted_until: datetime | None = None

    def accepts(self, names: tuple[str, ...]) -> bool:
        """Whether records of a cell count."""
        for place, name in enumerate(CELL_NAMES[self.kind]):
            values = self.filters.get(name)
            if values and names[place] not in values:
                return False
        return True

    def group_of(self, names: tuple[str, ...]) -> str:
        """The group that records of a cell belong to; empty if the rule has none."""
        return names[CELL_NAMES[self.kind].index(self.group_by)] if self.group_by else ""


DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {
        "name": "Error rate above 5 % in the last hour",
        "kind": Kind.ACTION,
        "figure": Figure.ERROR_RATE,
        "threshold": 0.05,
        "window_s": 3600,
        "min_count": 20,
        "severity": Severity.CRITICAL,
    },
    {
        "name": "Average latency of a provider above 2,000 ms",
        "kind": Kind.ACTION,
        "figure": Figure.AVERAGE_MS,
        "threshold": 2000.0,
        "window_s": 300,
        "min_count": 5,
        "group_by": "provider_name",
    },
    {
        "name": "More than 10 failed actions in 5 minutes",
        "kind": Kind.ACTION,
        "figure": Figure.FAILURES,
        "threshold": 10.0,
        "window_s": 300,
    },
    {
        "name": "More than 50 audited changes in 1 minute",
        "kind": Kind.AUDIT,
        "figure": Figure.COUNT,
        "threshold": 50.0,
        "window_s": 60,
    },
)


def check_rule(rule: Rule) -> None:
    """Refuse a rule that can never say anything.

    Raises:
        InvalidInput: names each field and its rule.
    """
    errors = tuple(_faults(rule))
    if errors:
        raise InvalidInput(*errors)


def _faults(rule: Rule) -> Iterator[FieldError]:
    known = CELL_NAMES[rule.kind]
    if rule.kind is Kind.AUDIT and rule.figure is not Figure.COUNT:
        yield FieldError("figure", "must be count: audit logs neither fail nor take time")
    if rule.window_s % MINUTE_S or not MINUTE_S <= rule.window_s <= WINDOW_S_MAX:
        yield FieldError("window_s", f"must be whole minutes, from 60 to {WINDOW_S_MAX} seconds")
    if rule.figure is Figure.ERROR_RATE and not 0 <= rule.threshold <= 1:
        yield FieldError("threshold", "must be from 0 to 1: a rate")
    if rule.threshold < 0:
        yield FieldError("threshold", "must not be below 0: no figure is")
    if rule.group_by is not None and rule.group_by not in known:
        yield FieldError("group_by", f"must be one of: {', '.join(known)}")
    if rule.group_by is not None and rule.comparison.downward:
        yield FieldError("group_by", "must not be given with < or <=: who is silent has no name")
    for name, values in rule.filters.items():
        if name not in known:
            yield FieldError(f"filters.{name}", f"is not known here; known are {', '.join(known)}")
        elif not 1 <= len(values) <= VALUES_MAX:
            yield FieldError(f"filters.{name}", f"must have 1 to {VALUES_MAX} values")
