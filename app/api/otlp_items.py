"""OpenTelemetry log records as items of the ingest API: by attributes that are documented, the rest
into metadata.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..domain.identity import EPOCH, format_time
from ..domain.records import IDENTIFIER_CHARS_MAX, NAME_CHARS_MAX, Kind

PREFIX = "opsledger."
ERROR = 17  # SeverityNumber from which on an action failed, unless it says otherwise
COMMON = ("id", "external_id", "operation_id")
OF_KIND: dict[Kind, tuple[str, ...]] = {
    Kind.ACTION: (
        *("action_type", "provider_name", "status", "execution_time_ms", "request_payload"),
        *("response_data", "error_message"),
    ),
    Kind.AUDIT: (
        *("action", "resource_type", "resource_id", "user_id", "changes", "ip_address"),
        "user_agent",
    ),
}
# Names of OpenTelemetry's semantic conventions that say what a field of ours does.
CONVENTIONS = {
    "error_message": ("exception.message", "error.message"),
    "provider_name": ("peer.service", "server.address"),
    "user_id": ("user.id", "enduser.id"),
    "ip_address": ("client.address", "source.address"),
    "user_agent": ("user_agent.original",),
}


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record of OpenTelemetry, as Python values; `resource` are its resource's attributes."""

    time_ns: int
    severity: int
    severity_text: str
    event_name: str
    body: Any
    attributes: dict[str, Any]
    trace_id: str
    span_id: str
    scope: str
    resource: dict[str, Any]


def item_of(log: LogRecord) -> tuple[Kind, dict[str, Any]]:
    """The kind and the item that a log record comes to."""
    left = dict(log.attributes)
    kind = _kind(log, left)
    item: dict[str, Any] = {}
    for name in (*COMMON, *OF_KIND[kind]):
        value = _taken(left, name)
        if value is not None:
            item[name] = value
    _FILLERS[kind](log, item)
    item.setdefault("operation_id", log.trace_id or None)
    if log.time_ns and "id" not in item:
        item["created_at"] = format_time(EPOCH + timedelta(microseconds=log.time_ns // 1000))
    item["metadata"] = _metadata(log, left)
    return kind, item


def _kind(log: LogRecord, left: dict[str, Any]) -> Kind:
    """Named by opsledger.kind, else by what it has; what says nothing is a change on record."""
    named = left.pop(f"{PREFIX}kind", None)
    if named in {kind.value for kind in Kind}:
        return Kind(named)
    acts = f"{PREFIX}action_type" in left or log.event_name == f"{PREFIX}action"
    return Kind.ACTION if acts else Kind.AUDIT


def _taken(left: dict[str, Any], name: str) -> Any:
    """The value of a field, which is not left for the metadata then."""
    for attribute in (f"{PREFIX}{name}", *CONVENTIONS.get(name, ())):
        if attribute in left:
            return left.pop(attribute)
    return None


def _fill_action(log: LogRecord, item: dict[str, Any]) -> None:
    failed = log.severity >= ERROR
    item.setdefault("status", "failure" if failed else "success")
    item.setdefault("execution_time_ms", 0)
    item.setdefault("provider_name", _named(log.resource.get("service.name"), NAME_CHARS_MAX))
    if failed and "error_message" not in item and isinstance(log.body, str):
        item["error_message"] = log.body


def _fill_audit(log: LogRecord, item: dict[str, Any]) -> None:
    item.setdefault("action", _named(log.event_name or "log", NAME_CHARS_MAX))
    item.setdefault("resource_type", "log")
    source = log.resource.get("service.name") or log.scope
    item.setdefault("resource_id", _named(source, IDENTIFIER_CHARS_MAX))


_FILLERS: Mapping[Kind, Callable[[LogRecord, dict[str, Any]], None]] = {
    Kind.ACTION: _fill_action,
    Kind.AUDIT: _fill_audit,
}


def _metadata(log: LogRecord, left: dict[str, Any]) -> dict[str, Any]:
    """What there is no field for: metadata of its own, attributes, body, trace and resource."""
    own = left.pop(f"{PREFIX}metadata", None)
    told = {
        "severity": log.severity_text or log.severity or None,
        "event_name": log.event_name or None,
        "body": log.body,
        "scope": log.scope or None,
        "attributes": left or None,
        "resource": log.resource or None,
    }
    found = dict(own) if isinstance(own, dict) else {}
    for name, value in (("trace_id", log.trace_id), ("span_id", log.span_id)):
        if value:
            found.setdefault(name, value)
    found["otel"] = {name: value for name, value in told.items() if value is not None}
    return found


def _named(value: Any, chars_max: int) -> str:
    return (str(value) if value else "unknown")[:chars_max]
