"""A record in the words of the Elastic Common Schema; what it has no name for is in `opsledger`."""

from datetime import datetime
from ipaddress import ip_address
from typing import Any

from .records import Kind

ECS_VERSION = "8.17.0"
MS = 1_000_000  # nanoseconds, in which event.duration counts

# ECS: event.type, of what a word of an action type or an action says.
_TYPES = {
    **dict.fromkeys(("create", "add", "store", "send", "insert", "register"), "creation"),
    **dict.fromkeys(("update", "change", "patch", "modify", "replace", "rotate"), "change"),
    **dict.fromkeys(("delete", "remove", "drop", "revoke", "purge", "erase"), "deletion"),
    **dict.fromkeys(("get", "list", "search", "read", "view", "export", "download"), "access"),
}
_OUTCOMES = {"success": "success", "failure": "failure", "timeout": "failure"}


def verb_type(text: str) -> str | None:
    """What kind of thing a name like crm_create or contact.delete does; None if no word says."""
    words = text.lower().replace(".", "_").replace("-", "_").replace(" ", "_").split("_")
    return next((_TYPES[word] for word in words if word in _TYPES), None)


def is_address(text: Any) -> bool:
    """Whether a text is an IP address, which one that was masked is not."""
    try:
        ip_address(str(text))
    except ValueError:
        return False
    return True


def ecs_document(told: dict[str, Any], kind: Kind, created_at: datetime) -> dict[str, Any]:
    """The record as ECS has it, without what it does not have."""
    del created_at  # `told` has it as text
    act = str(told.get("action_type" if kind is Kind.ACTION else "action", kind.value))
    event: dict[str, Any] = {
        "id": told["id"],
        "kind": "event",
        "action": act,
        "dataset": f"opsledger.{kind.value}",
        "module": "opsledger",
        "category": ["api"] if kind is Kind.ACTION else ["configuration"],
        "type": [verb_type(act) or "info"],
    }
    document: dict[str, Any] = {
        "@timestamp": told["created_at"],
        "ecs": {"version": ECS_VERSION},
        "event": event,
        "organization": {"id": told["tenant_id"]},
    }
    if "operation_id" in told:
        document["trace"] = {"id": told["operation_id"]}
    rest = _action(told, document) if kind is Kind.ACTION else _audit(told, document)
    document["opsledger"] = {"kind": kind.value, **{n: told[n] for n in rest if n in told}}
    return document


def _action(told: dict[str, Any], document: dict[str, Any]) -> tuple[str, ...]:
    event = document["event"]
    if "provider_name" in told:
        event["provider"] = told["provider_name"]
        document["service"] = {"target": {"name": told["provider_name"]}}
    if "execution_time_ms" in told:
        event["duration"] = told["execution_time_ms"] * MS
    if "status" in told:
        event["outcome"] = _OUTCOMES.get(told["status"], "unknown")
    if "error_message" in told:
        document["error"] = {"message": told["error_message"]}
        document["message"] = told["error_message"]
    return ("status", "request_payload", "response_data", "metadata")


def _audit(told: dict[str, Any], document: dict[str, Any]) -> tuple[str, ...]:
    document["event"]["outcome"] = "success"  # a change that is on record was made
    if "user_id" in told:
        document["user"] = {"id": told["user_id"]}
    if "user_agent" in told:
        document["user_agent"] = {"original": told["user_agent"]}
    rest: tuple[str, ...] = ("resource_type", "resource_id", "changes", "metadata")
    if is_address(told.get("ip_address")):
        document["source"] = {"ip": told["ip_address"], "address": told["ip_address"]}
    else:
        rest += ("ip_address",)
    return rest
