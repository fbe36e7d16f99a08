"""Forwarding: what a destination is, what is sent of a record, and when a failing one is tried
again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import exp2
from typing import Any
from uuid import UUID

from .codec import dump_json
from .ecs import ecs_document
from .filters import ActionFilter, AuditFilter
from .identity import format_time
from .ocsf import ocsf_document
from .records import Kind
from .tail import Position

DESTINATIONS_MAX = 20  # of one tenant
LETTERS_RETRIED_MAX = 10_000  # by one request

PAUSE_FIRST_S = 1.0
PAUSE_DENIED_S = 15.0  # a destination that does not let us in will not for a while
PAUSE_MAX_S = 300.0
RETRY_AFTER_MAX_S = 3600.0  # whatever a destination asks for
OPEN_AFTER = 2  # failures in a row: from then on a single small batch tries the way
TRIAL_ROWS = 10
CALM_S = 10.0  # without a doubt about what arrived, in which what is sent at once doubles


class Format(StrEnum):
    """In which words a record is told."""

    NATIVE = "native"
    ECS = "ecs"
    OCSF = "ocsf"


class DestinationState(StrEnum):
    """Whether a destination is sent to."""

    ACTIVE = "active"
    PAUSED = "paused"


# What can be chosen of a record; what says whose and which it is goes along always.
ALWAYS = ("id", "tenant_id", "kind", "created_at")
FIELDS: dict[Kind, tuple[str, ...]] = {
    Kind.ACTION: (
        *("action_type", "provider_name", "status", "error_message", "execution_time_ms"),
        *("request_payload", "response_data", "operation_id", "metadata"),
    ),
    Kind.AUDIT: (
        *("action", "resource_type", "resource_id", "user_id", "changes", "ip_address"),
        *("user_agent", "operation_id", "metadata"),
    ),
}
ALL_FIELDS = tuple(dict.fromkeys((*FIELDS[Kind.ACTION], *FIELDS[Kind.AUDIT])))
FILTERS: dict[Kind, Any] = {Kind.ACTION: ActionFilter, Kind.AUDIT: AuditFilter}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where records are sent on.

    Args:
        settings: what its sink needs to know, and may be shown.
        kinds: of which logs.
        filters: by kind, values as the lists take them.
        fields: what of a record is sent; empty for all.
        all_tenants: whether those of every tenant; of the operator's destinations alone.
        failures: deliveries that failed since the last that did not.
        unsure_at: when a delivery last ended with nobody knowing what of it had arrived.
    """

    tenant_id: UUID
    id: UUID
    name: str
    sink: str
    settings: Mapping[str, Any]
    kinds: tuple[Kind, ...]
    filters: Mapping[str, Mapping[str, Any]]
    fields: tuple[str, ...]
    format: Format
    all_tenants: bool
    state: DestinationState
    created_at: datetime
    updated_at: datetime
    due_at: datetime
    failures: int
    sent: int
    retried: int
    dead: int
    last_success_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    unsure_at: datetime | None
    test_asked_at: datetime | None
    tested_at: datetime | None
    test_taken: bool | None
    test_answer: str | None

    def filter_of(self, kind: Kind) -> Any:
        """What the list of a kind would be asked for."""
        chosen = self.filters.get(kind.value, {})
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in chosen.items()
        }
        return FILTERS[kind](**values)


def new_destination(
    *,
    now: datetime,
    settings: Mapping[str, Any],
    kinds: tuple[Kind, ...] = tuple(Kind),
    filters: Mapping[str, Mapping[str, Any]] | None = None,
    fields: tuple[str, ...] = (),
    all_tenants: bool = False,
    **named: Any,
) -> Destination:
    """A destination to which nothing was sent yet.

    Args:
        named: its tenant_id, id, name, sink and format.
    """
    return Destination(
        **named,
        settings=settings,
        kinds=kinds,
        filters=filters or {},
        fields=fields,
        all_tenants=all_tenants,
        state=DestinationState.ACTIVE,
        created_at=now,
        updated_at=now,
        due_at=now,
        failures=0,
        sent=0,
        retried=0,
        dead=0,
        last_success_at=None,
        last_error=None,
        last_error_at=None,
        unsure_at=None,
        test_asked_at=None,
        tested_at=None,
        test_taken=None,
        test_answer=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a destination is in the log of one tenant.

    Args:
        taken: records past the position that the destination has already.
    """

    source_id: UUID
    kind: Kind
    position: Position
    taken: frozenset[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter: a record that a destination refused for what it is."""

    id: UUID
    destination_id: UUID
    source_id: UUID
    kind: Kind
    record_id: UUID
    reason: str
    state: str
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A window of time that is sent once more, newest first, and how far that is.

    Args:
        single: whether it is of the tenant source_id alone.
    """

    id: UUID
    destination_id: UUID
    since: datetime | None
    until: datetime
    single: bool
    source_id: UUID | None
    kind: Kind | None
    after_id: UUID | None
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record on its way to a destination.

    Args:
        values: what was chosen of it, without what it does not have.
        document: the same in the words of the destination's format.
        body: the document as JSON.
    """

    id: UUID
    tenant_id: UUID
    kind: Kind
    created_at: datetime
    values: dict[str, Any]
    document: dict[str, Any]
    body: bytes


_DOCUMENTS = {Format.ECS: ecs_document, Format.OCSF: ocsf_document}


def outgoing(row: Mapping[str, Any], kind: Kind, destination: Destination) -> Outgoing:
    """What a destination is sent of a record, of the values of its columns."""
    chosen = destination.fields or FIELDS[kind]
    values = {
        name: row[name] for name in FIELDS[kind] if name in chosen and row.get(name) is not None
    }
    head = {
        "id": str(row["id"]),
        "tenant_id": str(row["tenant_id"]),
        "kind": kind.value,
        "created_at": format_time(row["created_at"]),
    }
    told = {**head, **values}
    make = _DOCUMENTS.get(destination.format)
    document = told if make is None else make(told, kind, row["created_at"])
    return Outgoing(
        id=row["id"],
        tenant_id=row["tenant_id"],
        kind=kind,
        created_at=row["created_at"],
        values=told,
        document=document,
        body=dump_json(document),
    )


def test_row(destination: Destination, record_id: UUID, at: datetime) -> dict[str, Any]:
    """A record that is none of the log's, to try a destination with: an audit log of the trial."""
    return {
        "id": record_id,
        "tenant_id": destination.tenant_id,
        "created_at": at,
        "action": "test",
        "resource_type": "forward_destination",
        "resource_id": str(destination.id),
        "metadata": {"test": True},
    }


def pause_s(failures: int, chance: float, retry_after_s: float | None, *, denied: bool) -> float:
    """How long a destination is left alone after so many failures in a row, in seconds.

    Args:
        failures: at least one.
        chance: from 0 to 1, so that those who failed together do not come back together.
        retry_after_s: what the destination asked for.
        denied: whether it did not let us in, rather than being away.
    """
    first = PAUSE_DENIED_S if denied else PAUSE_FIRST_S
    own = min(first * 2.0 ** min(failures - 1, 20), PAUSE_MAX_S) * (0.5 + chance / 2)
    return max(own, min(retry_after_s or 0.0, RETRY_AFTER_MAX_S))


def rows_at_once(usual: int, failures: int, calm_s: float | None) -> int:
    """How many records are sent at once.

    Those of one delivery come twice if it ends without a word. So they are few where that happened
    a short while ago, and more and more from then on.

    Args:
        usual: as many as a sink takes.
        failures: in a row.
        calm_s: since it was last unknown what had arrived, in seconds; None if never.
    """
    if failures >= OPEN_AFTER:
        return min(TRIAL_ROWS, usual)
    if calm_s is None:
        return usual
    doublings = min(max(calm_s, 0.0) / CALM_S, 20.0)
    return min(round(TRIAL_ROWS * exp2(doublings)), usual)


def purpose_of(destination_id: UUID) -> str:
    """What the credentials of a destination are bound to, beside its tenant."""
    return f"forward {destination_id}"


def due_after(now: datetime, seconds: float) -> datetime:
    """A moment so many seconds later."""
    return now + timedelta(seconds=seconds)
