"""log_action, as our users call it."""

import os
from typing import Any
from uuid import UUID

import flask

from app import Opsledger, log_action

from .view import flask_site


def create() -> flask.Flask:
    """With Opsledger wired in."""
    tenant_id = UUID(os.environ["BENCH_TENANT"])

    def log(request: dict[str, Any], response: dict[str, Any]) -> None:
        log_action(
            tenant_id=tenant_id,
            action_type="crm_create",
            provider_name="hubspot",
            request_payload=request,
            response_data=response,
            status="success",
            execution_time_ms=12,
        )

    app = flask_site(log)
    Opsledger(app)
    return app
