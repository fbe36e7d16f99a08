"""The two kinds of record, and the rules by which a value is taken or refused.

A record that exists is valid: its constructors are `action_record` and `audit_record`. The request
that captured it completes it in place; nothing else changes one (frozen, each field would cost its
making a call, 11 of them in the request).
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from ..errors import InvalidRecord
from .identity import created_at_of

JsonObject = dict[str, Any]


class JsonText(bytes):
    """The JSON text of a payload: what capture puts in its place, so that it is encoded once."""


BUILTIN_ACTION_TYPES: tuple[str, ...] = (
    *("crm_create", "crm_update", "crm_delete", "crm_get", "crm_list", "crm_search"),
    *("helpdesk_create_ticket", "helpdesk_update_ticket", "helpdesk_get_ticket"),
    *("helpdesk_list_tickets", "helpdesk_add_comment"),
    *("calendar_create_event", "calendar_update_event", "calendar_delete_event"),
    *("calendar_get_event", "calendar_list_events"),
    *("email_send", "email_get", "email_list", "email_search"),
    *("knowledge_store", "knowledge_search", "knowledge_get", "knowledge_delete"),
    *("knowledge_update", "knowledge_list"),
)
ACTION_TYPE_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")

NAME_CHARS_MAX = 100
IDENTIFIER_CHARS_MAX = 255
IP_CHARS_MAX = 45  # an IPv6 address with an embedded IPv4 one
TEXT_CHARS_MAX = 16_384  # error_message and user_agent: enough for a stack of causes
INTEGER_MAX = 2**31 - 1  # Postgres integer


class Kind(StrEnum):
    """Which of the two logs a record belongs to."""

    ACTION = "action"
    AUDIT = "audit"


class ActionStatus(StrEnum):
    """How a provider operation stands."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    RETRY = "retry"


STATUSES = tuple(status.value for status in ActionStatus)
FAILED_STATUSES = (ActionStatus.FAILURE, ActionStatus.TIMEOUT)


@dataclass(slots=True, kw_only=True)
class ActionRecord:
    """One provider operation, before it is a row; payloads are values, or their `JsonText`."""

    id: UUID
    tenant_id: UUID
    action_type: str
    provider_name: str
    request_payload: Any
    response_data: Any
    status: ActionStatus
    error_message: str | None
    execution_time_ms: int
    operation_id: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    kind = Kind.ACTION

    @property
    def created_at(self) -> datetime:
        """When it was captured, in UTC, to the millisecond."""
        return created_at_of(self.id)


@dataclass(slots=True, kw_only=True)
class AuditRecord:
    """One system change, before it is a row."""

    id: UUID
    tenant_id: UUID
    user_id: str | None
    action: str
    resource_type: str
    resource_id: str
    changes: JsonObject
    ip_address: str | None
    user_agent: str | None
    operation_id: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    kind = Kind.AUDIT

    @property
    def created_at(self) -> datetime:
        """When it was captured, in UTC, to the millisecond."""
        return created_at_of(self.id)


Record = ActionRecord | AuditRecord


def action_record(values: Mapping[str, Any], *, action_types: Collection[str]) -> ActionRecord:
    """An action record from cleaned values.

    Args:
        values: the fields by name; JSON fields already went through `clean`.
        action_types: the names that exist on this platform.

    Raises:
        InvalidRecord: names the field and the rule it breaks.
    """
    return ActionRecord(
        id=values["id"],
        tenant_id=to_uuid("tenant_id", values["tenant_id"]),
        action_type=_one_of("action_type", values["action_type"], action_types),
        provider_name=text("provider_name", values["provider_name"], NAME_CHARS_MAX),
        request_payload={} if values.get("request_payload") is None else values["request_payload"],
        response_data=values.get("response_data"),
        status=ActionStatus(_status(values["status"])),
        error_message=_cut(values.get("error_message")),
        execution_time_ms=_milliseconds(values["execution_time_ms"]),
        operation_id=_optional("operation_id", values.get("operation_id")),
        metadata=_object("metadata", values.get("metadata")),
    )


def audit_record(values: Mapping[str, Any]) -> AuditRecord:
    """An audit record from cleaned values.

    Raises:
        InvalidRecord: names the field and the rule it breaks.
    """
    return AuditRecord(
        id=values["id"],
        tenant_id=to_uuid("tenant_id", values["tenant_id"]),
        user_id=_optional("user_id", values.get("user_id")),
        action=text("action", values["action"], NAME_CHARS_MAX),
        resource_type=text("resource_type", values["resource_type"], NAME_CHARS_MAX),
        resource_id=text("resource_id", values["resource_id"], IDENTIFIER_CHARS_MAX),
        changes=_object("changes", values.get("changes")),
        ip_address=_optional("ip_address", values.get("ip_address"), IP_CHARS_MAX),
        user_agent=_cut(values.get("user_agent")),
        operation_id=_optional("operation_id", values.get("operation_id")),
        metadata=_object("metadata", values.get("metadata")),
    )


def to_uuid(name: str, value: object) -> UUID:
    """A UUID from itself or its text.

    Raises:
        InvalidRecord: when it is neither.
    """
    if isinstance(value, UUID):
        return value
    try:
        return UUID(str(value))
    except ValueError as error:
        raise InvalidRecord(name, f"must be a UUID, not {value!r}") from error


def text(name: str, value: object, chars_max: int) -> str:
    """A text of 1 to `chars_max` characters that Postgres can hold.

    Raises:
        InvalidRecord: when it is another type, empty, too long, or holds NUL or lone surrogates.
    """
    if not isinstance(value, str):
        raise InvalidRecord(name, f"must be a string, not {type(value).__name__}")
    if not 1 <= len(value) <= chars_max:
        raise InvalidRecord(name, f"must have 1 to {chars_max} characters, not {len(value)}")
    if not (value.isascii() or _encodable(value)) or "\x00" in value:
        raise InvalidRecord(name, "must not contain NUL or lone surrogates")
    return value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _optional(name: str, value: object, chars_max: int = IDENTIFIER_CHARS_MAX) -> str | None:
    return None if value is None else text(name, value, chars_max)


def _cut(value: object) -> str | None:
    """Free text is never a reason to refuse a record: it is repaired and cut, with a mark that has
    its full size and hash.
    """
    if value is None:
        return None
    safe = str(value).replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if len(safe) <= TEXT_CHARS_MAX:
        return safe
    digest = hashlib.sha256(safe.encode()).hexdigest()
    return f"{safe[:TEXT_CHARS_MAX]}… [cut, {len(safe)} characters in all, sha256 {digest}]"


def _one_of(name: str, value: object, allowed: Collection[str]) -> str:
    if isinstance(value, str) and value in allowed:
        return str.__str__(value)  # a host's own str enum would give its member's name
    raise InvalidRecord(name, f"must be one of {', '.join(sorted(allowed))}, not {value!r}")


def _status(value: object) -> str:
    lowered = value.lower() if isinstance(value, str) else value
    return _one_of("status", lowered, STATUSES)


def _milliseconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRecord("execution_time_ms", "must be a number of milliseconds")
    if not 0 <= value <= INTEGER_MAX:
        raise InvalidRecord("execution_time_ms", f"must be from 0 to {INTEGER_MAX}, not {value}")
    return round(value)


def _object(name: str, value: object) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRecord(name, f"must be an object, not {type(value).__name__}")
    return value
