"""The HTTP API: blueprints, their schemas and the OpenAPI document made of them."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import flask
from apispec import APISpec
from flask_smorest import Api, Blueprint

from ..auth import quota_headers
from ..capture.hooks import REQUEST_ID_HEADER, request_id
from . import (
    actions,
    admin,
    admin_erasures,
    admin_holds,
    alert_channels,
    alerts,
    analytics,
    audits,
    calendar,
    crm,
    docs,
    email,
    exports,
    forecasts,
    forwarding,
    health,
    helpdesk,
    ingest,
    knowledge,
    metrics,
    operations,
    otlp,
    shipments,
    stats,
    storage,
    stream,
    tickets,
    viewers,
    views,
)
from .adapter import name_operation
from .hardening import harden, share
from .identifiers import ItemConverter, RestConverter
from .problems import PROBLEM_TYPE, register_problem_handlers
from .schemas import ProblemSchema
from .service import SERVICE, Service

BASE = "/api/v1"
DESCRIPTION = """The action and audit log of a multi-tenant platform.

Send your API key in the header `X-API-Key`. Lists are newest first; the `Link` header leads to the
next page. Times are RFC 3339 in UTC. Errors are problem details (RFC 9457) that name the field.

A key without the scope `logs:read:payloads` is shown `{"withheld": "logs:read:payloads"}` in place
of what is free-form. What quotas leave is in the headers `RateLimit-Policy` and `RateLimit`; past
one the answer is 429 with `Retry-After`."""

OPENAPI = {
    "API_TITLE": "Opsledger",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "API_SPEC_OPTIONS": {
        "info": {"description": DESCRIPTION},
        "security": [{"ApiKey": []}],
        "components": {
            "securitySchemes": {"ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        },
    },
}


class ProblemApi(Api):  # type: ignore[misc]
    """flask-smorest's Api with our errors in its document, and without its error handler.

    Most processes are never asked for the document, so it is made when one first is: it would be
    more than half of what it takes to make the app.
    """

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None  # each route declares its own, by status

    def __init__(self, app: flask.Flask) -> None:
        self._lock = threading.RLock()
        self._unsaid: list[Callable[[], None]] = []
        super().__init__(app)

    @property
    def spec(self) -> APISpec:
        """The document, which describes every route that was added."""
        with self._lock:  # taken again by what is said here
            unsaid, self._unsaid = self._unsaid, []
            for say in unsaid:
                say()
        return self._spec

    @spec.setter
    def spec(self, spec: APISpec) -> None:
        self._spec = spec

    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        """Add the routes of a blueprint."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blueprint.name] = self
        self._app.register_blueprint(blueprint, **options)
        self._unsaid.append(partial(self._describe, blueprint))

    def _describe(self, blueprint: Blueprint) -> None:
        name, spec = blueprint.name, self._spec
        blueprint.register_views_in_doc(self, self._app, spec, name=name, parameters=None)
        spec.tag({"name": name, "description": blueprint.description})

    def _register_error_handlers(self) -> None:
        """Ours are registered for the whole app."""

    def _register_responses(self) -> None:
        self._unsaid.append(self._describe_errors)

    def _describe_errors(self) -> None:
        """Errors are of a media type of their own."""
        self.DEFAULT_RESPONSE_CONTENT_TYPE = PROBLEM_TYPE
        super()._register_responses()
        del self.DEFAULT_RESPONSE_CONTENT_TYPE


def register_api(app: flask.Flask, service: Service) -> None:
    """Add every route of the API, its errors and its documentation to the app."""
    app.extensions[SERVICE] = service
    app.config.update(OPENAPI)
    app.url_map.converters.update(rest=RestConverter, item=ItemConverter)
    register_problem_handlers(app)
    metrics.measure_requests(app)
    api = ProblemApi(app)
    queries = (actions, audits, stream, tickets, operations, stats, analytics, forecasts)
    custody = (admin_holds, admin_erasures)
    watch = (alerts, alert_channels)
    pages = (views, viewers)
    for module in (
        *queries,
        *pages,
        ingest,
        shipments,
        exports,
        admin,
        storage,
        *custody,
        *watch,
        forwarding,
    ):
        api.register_blueprint(module.blueprint, url_prefix=BASE)
    # A request that is to become a WebSocket is routed apart from all others.
    app.add_url_rule(f"{BASE}/logs/stream", "stream.stream_log", websocket=True)
    for adapter in (crm, helpdesk, calendar, email, knowledge):
        api.register_blueprint(adapter.blueprint, url_prefix=BASE)
    api.register_blueprint(otlp.blueprint)  # where SDKs of OpenTelemetry look for it
    app.register_blueprint(health.blueprint)
    app.register_blueprint(metrics.blueprint)
    app.register_blueprint(docs.blueprint)

    app.after_request(name_operation)

    @app.after_request
    def complete_headers(response: flask.Response) -> flask.Response:
        response.headers[REQUEST_ID_HEADER] = request_id()
        response.headers.update(quota_headers())
        harden(response)
        if flask.request.path.startswith(f"{BASE}/"):  # also where no route is
            share(response, service.settings.cors_origins)
        return response
