"""Records as they are read back: the rows of the two logs, without their storage."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from .records import ActionStatus, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionLogSummary:
    """An action log as lists show it."""

    id: UUID
    tenant_id: UUID
    action_type: str
    provider_name: str
    status: str
    error_message: str | None
    execution_time_ms: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionLog(ActionLogSummary):
    """An action log with its payloads."""

    request_payload: Any
    response_data: Any
    operation_id: str | None
    metadata: JsonObject
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLogSummary:
    """An audit log as lists show it."""

    id: UUID
    tenant_id: UUID
    action: str
    resource_type: str
    resource_id: str
    user_id: str | None
    changes: JsonObject
    ip_address: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog(AuditLogSummary):
    """An audit log in full."""

    user_agent: str | None
    operation_id: str | None
    metadata: JsonObject
    updated_at: datetime


@dataclass(slots=True)
class Statistics:
    """What all action logs of a tenant add up to within a window.

    Failed counts failures and timeouts; the average and the percentiles (ms) are over all.
    """

    total_actions: int = 0
    successful_actions: int = 0
    failed_actions: int = 0
    average_execution_time_ms: float = 0.0
    actions_by_type: dict[str, int] = field(default_factory=dict)
    actions_by_provider: dict[str, int] = field(default_factory=dict)
    actions_by_status: dict[str, int] = field(default_factory=dict)
    percentiles_ms: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatisticsCell:
    """The count and total time of one action type, provider and status."""

    action_type: str
    provider_name: str
    status: str
    actions: int
    execution_time_ms: int


def add_up(cells: list[StatisticsCell], percentiles_ms: dict[str, float | None]) -> Statistics:
    """The statistics of disjoint cells."""
    result = Statistics(percentiles_ms=percentiles_ms)
    total_ms = 0
    for cell in cells:
        result.total_actions += cell.actions
        total_ms += cell.execution_time_ms
        for counts, key in (
            (result.actions_by_type, cell.action_type),
            (result.actions_by_provider, cell.provider_name),
            (result.actions_by_status, cell.status),
        ):
            counts[key] = counts.get(key, 0) + cell.actions
    by_status = result.actions_by_status
    result.successful_actions = by_status.get(ActionStatus.SUCCESS, 0)
    result.failed_actions = sum(
        by_status.get(status, 0) for status in (ActionStatus.FAILURE, ActionStatus.TIMEOUT)
    )
    if result.total_actions:
        result.average_execution_time_ms = round(total_ms / result.total_actions, 2)
    return result
