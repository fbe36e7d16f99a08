"""The lists that are asked for: every filter, alone and together, frequent, rare, absent and never
together, as our repositories and our API take them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from app.domain.filters import ActionFilter, AuditFilter
from app.domain.identity import format_time

LIMIT = 100
ACTIONS, AUDITS = "/api/v1/logs/actions", "/api/v1/logs/audits"
TRAIL = f"{AUDITS}/resource"


@dataclass(frozen=True)
class Probe:
    """One list.

    Args:
        name: what it is called among the figures.
        filters: as the repository takes them.
        path: as the API takes them.
        by_rival: whether django-auditlog's table can be asked the same.
    """

    name: str
    filters: ActionFilter | AuditFilter
    path: str
    by_rival: bool = False


def action_lists(end: datetime) -> list[Probe]:
    """Lists of action logs of the big tenant, whose newest is of `end`."""
    week_ago, month_ago = end - timedelta(days=7), end - timedelta(days=30)
    asked: dict[str, dict[str, object]] = {
        "all": {},
        "type": {"action_type": ("crm_get",)},
        "type_rare": {"action_type": ("knowledge_delete",)},
        "type_rarer": {"action_type": ("calendar_delete_event",)},
        "type_absent": {"action_type": ("helpdesk_update_ticket",)},
        "types": {"action_type": ("calendar_delete_event", "crm_delete", "knowledge_delete")},
        "provider": {"provider_name": ("hubspot",)},
        "provider_left": {"provider_name": ("freshdesk",)},
        "provider_rare": {"provider_name": ("legacy_erp",)},
        "provider_absent": {"provider_name": ("nobody",)},
        "status": {"status": ("failure",)},
        "status_rare": {"status": ("timeout",)},
        "slow": {"min_execution_time_ms": 1000},
        "slower": {"min_execution_time_ms": 20_000},
        "slowest_absent": {"min_execution_time_ms": 40_000},
        "window": {"since": month_ago, "until": week_ago},
        "window_status": {"since": month_ago, "until": week_ago, "status": ("timeout", "failure")},
        "type_status": {"action_type": ("crm_get",), "status": ("failure",)},
        "type_provider_rare": {"action_type": ("crm_delete",), "provider_name": ("salesforce",)},
        "type_provider_never": {"action_type": ("crm_create",), "provider_name": ("gmail",)},
        "left_type_never": {"provider_name": ("freshdesk",), "action_type": ("crm_get",)},
        "status_slow_never": {"status": ("failure",), "min_execution_time_ms": 1000},
        "provider_slow_rare": {
            "provider_name": ("notion",),
            "status": ("success",),
            "min_execution_time_ms": 500,
        },
        "provider_slow_never": {
            "provider_name": ("notion",),
            "status": ("success",),
            "min_execution_time_ms": 5000,
        },
        "everything": {
            "action_type": ("crm_get", "crm_list"),
            "provider_name": ("hubspot",),
            "status": ("success",),
            "min_execution_time_ms": 500,
            "since": month_ago,
            "until": week_ago,
        },
        "everything_never": {
            "action_type": ("crm_update",),
            "provider_name": ("legacy_erp",),
            "status": ("timeout",),
            "min_execution_time_ms": 500,
            "since": month_ago,
        },
    }
    return [
        Probe(f"actions.{name}", ActionFilter(**values), _path(ACTIONS, values))  # type: ignore[arg-type]
        for name, values in asked.items()
    ]


def audit_lists() -> list[Probe]:
    """Lists of audit logs of the big tenant."""
    bot, other_bot, office = "service:sync", "service:import", "203.0.113.9"
    asked: dict[str, dict[str, object]] = {
        "all": {},
        "action": {"action": "update"},
        "action_rare": {"action": "grant"},
        "action_absent": {"action": "nothing"},
        "type": {"resource_type": "ticket"},
        "type_rare": {"resource_type": "api_key"},
        "action_type_rare": {"action": "grant", "resource_type": "api_key"},
        "user": {"user_id": bot},
        "user_rare": {"user_id": "user-97@example.com"},
        "user_absent": {"user_id": "nobody"},
        "ip": {"ip_address": office},
        "ip_absent": {"ip_address": "192.0.2.1"},
        "resource": {"resource_id": "contact-1"},
        "resource_rare": {"resource_id": "contact-4711"},
        "resource_type_never": {"resource_id": "contact-1", "resource_type": "ticket"},
        "user_ip_never": {"user_id": bot, "ip_address": office},
        "bots_ip_never": {"user_id": other_bot, "ip_address": "10.0.0.5"},
        "user_action_rare": {"user_id": bot, "action": "grant"},
        "ip_action_rare": {"ip_address": office, "action": "grant"},
        "user_resource": {"user_id": other_bot, "resource_id": "contact-1"},
        "ip_resource": {"ip_address": office, "resource_id": "document-3"},
        "everything": {
            "action": "grant",
            "resource_type": "contact",
            "resource_id": "contact-1",
            "user_id": bot,
            "ip_address": "10.0.0.5",
        },
        "everything_never": {
            "action": "grant",
            "resource_type": "ticket",
            "resource_id": "contact-1",
            "user_id": bot,
            "ip_address": office,
        },
    }
    lists = [
        Probe(f"audits.{name}", AuditFilter(**values), _path(AUDITS, values), by_rival=True)  # type: ignore[arg-type]
        for name, values in asked.items()
    ]
    for name, number in (("trail", 1), ("trail_rare", 4711)):
        values = {"resource_type": "contact", "resource_id": f"contact-{number}"}
        path = f"{TRAIL}/contact/contact-{number}?limit={LIMIT}"
        lists.append(Probe(f"audits.{name}", AuditFilter(**values), path, by_rival=True))
    return lists


def _path(path: str, values: dict[str, object]) -> str:
    shown = {
        name: format_time(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    return f"{path}?{urlencode({**shown, 'limit': LIMIT}, doseq=True)}"
