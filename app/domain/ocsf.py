"""A record as an event of the Open Cybersecurity Schema Framework: actions are API Activity (6003),
audits Entity Management (3004); what these have no place for is in `unmapped`.
"""

from datetime import datetime
from typing import Any

from .ecs import is_address, verb_type
from .grains import to_ms
from .records import Kind

OCSF_VERSION = "1.6.0"
PRODUCT = {"name": "Opsledger", "vendor_name": "Opsledger"}
OTHER = 99
INFORMATIONAL, LOW = 1, 2

_ACTIVITIES = {"creation": 1, "access": 2, "change": 3, "deletion": 4}
_NAMES = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}
_STATUSES = {"success": (1, "Success"), "failure": (2, "Failure"), "timeout": (2, "Failure")}
_CLASSES = {
    Kind.ACTION: (6, "Application Activity", 6003, "API Activity"),
    Kind.AUDIT: (3, "Identity & Access Management", 3004, "Entity Management"),
}


def ocsf_document(told: dict[str, Any], kind: Kind, created_at: datetime) -> dict[str, Any]:
    """The record as OCSF has it, without what it does not have."""
    act = str(told.get("action_type" if kind is Kind.ACTION else "action", kind.value))
    activity = _ACTIVITIES.get(verb_type(act) or "", OTHER)
    category, category_name, class_uid, class_name = _CLASSES[kind]
    metadata = {
        "version": OCSF_VERSION,
        "product": PRODUCT,
        "uid": told["id"],
        "tenant_uid": told["tenant_id"],
        "log_name": f"{kind.value}_logs",
    }
    if "operation_id" in told:
        metadata["correlation_uid"] = told["operation_id"]
    event: dict[str, Any] = {
        "category_uid": category,
        "category_name": category_name,
        "class_uid": class_uid,
        "class_name": class_name,
        "activity_id": activity,
        "activity_name": _NAMES.get(activity, act),
        "type_uid": class_uid * 100 + activity,
        "type_name": f"{class_name}: {_NAMES.get(activity, 'Other')}",
        "time": to_ms(created_at),
        "severity_id": INFORMATIONAL,
        "metadata": metadata,
        **(_action(told, act) if kind is Kind.ACTION else _audit(told, act)),
    }
    if event.get("status_id") == 2:
        event["severity_id"] = LOW
    return event


def _action(told: dict[str, Any], act: str) -> dict[str, Any]:
    api: dict[str, Any] = {"operation": act}
    made: dict[str, Any] = {
        "actor": {"app_name": "opsledger", "app_uid": told["tenant_id"]},
        "src_endpoint": _caller(told),
        "api": api,
    }
    if "provider_name" in told:
        api["service"] = {"name": told["provider_name"]}
        made["dst_endpoint"] = {"svc_name": told["provider_name"]}
    if "request_payload" in told:
        uid = told.get("operation_id", told["id"])
        api["request"] = {"uid": uid, "data": _object(told["request_payload"])}
    response: dict[str, Any] = {}
    if "response_data" in told:
        response["data"] = _object(told["response_data"])
    if "error_message" in told:
        response["error_message"] = made["status_detail"] = told["error_message"]
    if response:
        api["response"] = response
    if "execution_time_ms" in told:
        made["duration"] = told["execution_time_ms"]
    if "status" in told:
        made["status_id"], made["status"] = _STATUSES.get(told["status"], (OTHER, told["status"]))
    return made | _unmapped(told, "metadata")


def _audit(told: dict[str, Any], act: str) -> dict[str, Any]:
    entity: dict[str, Any] = {"uid": str(told.get("resource_id", told["id"]))}
    if "resource_type" in told:
        entity["type"] = told["resource_type"]
    made: dict[str, Any] = {"entity": entity, "comment": act, "status_id": 1, "status": "Success"}
    changes = told.get("changes")
    if isinstance(changes, dict):
        if isinstance(changes.get("before"), dict):
            entity["data"] = changes["before"]
        if isinstance(changes.get("after"), dict):
            made["entity_result"] = {**entity, "data": changes["after"]}
    if "user_id" in told:
        made["actor"] = {"user": {"uid": told["user_id"]}}
    if "user_agent" in told:
        made["http_request"] = {"user_agent": told["user_agent"]}
    rest = ["metadata", *(("changes",) if _has_more(changes) else ())]
    if is_address(told.get("ip_address")):
        made["src_endpoint"] = {"ip": told["ip_address"]}
    else:
        rest.append("ip_address")
    return made | _unmapped(told, *rest)


def _has_more(changes: Any) -> bool:
    """Whether changes say something that before and after, as objects, do not."""
    if not isinstance(changes, dict):
        return changes is not None
    return any(n not in {"before", "after"} or not isinstance(v, dict) for n, v in changes.items())


def _caller(told: dict[str, Any]) -> dict[str, Any]:
    """Where an action was asked from: the address of its request, else this service."""
    metadata = told.get("metadata")
    request = metadata.get("http") if isinstance(metadata, dict) else None
    address = request.get("ip_address") if isinstance(request, dict) else None
    found = {"svc_name": "opsledger"}
    return {**found, "ip": str(address)} if is_address(address) else found


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else {"value": value}


def _unmapped(told: dict[str, Any], *names: str) -> dict[str, Any]:
    found = {name: told[name] for name in names if name in told}
    return {"unmapped": found} if found else {}
