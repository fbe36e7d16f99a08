"""The fields of a record, for the ways that make it themselves."""

import os
from typing import Any

from uuid_utils.compat import uuid7


def action_values(request: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """An action by name, of the tenant BENCH_TENANT."""
    return {
        "id": uuid7(),
        "tenant_id": os.environ["BENCH_TENANT"],
        "action_type": "crm_create",
        "provider_name": "hubspot",
        "request_payload": request,
        "response_data": response,
        "status": "success",
        "execution_time_ms": 12,
    }
