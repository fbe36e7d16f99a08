"""Opsledger: the action and audit ledger of a multi-tenant platform.

The public Python interface. Names are imported when first used, so that workers, which need
neither Flask nor the API, can import their part alone.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "Opsledger": ".extension",
    "log_action": ".capture",
    "ActionLogger": ".capture",
    "AuditService": ".capture",
    "acting": ".capture",
    "audit_changes": ".changes",
    "carry_into_tasks": ".capture.tasks",
    "instrument": ".capture",
    "logs_action": ".capture",
    "ActionLogRepository": ".store.action_logs",
    "AuditLogRepository": ".store.audit_logs",
    "Database": ".store.session",
    "create_app": ".factory",
    "InvalidRecord": ".errors",
    "NotDurable": ".errors",
    "NotYetCommitted": ".errors",
    "RecordRefused": ".errors",
    "SpoolFull": ".errors",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name], __name__), name)
