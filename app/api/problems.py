"""Errors as problem details (RFC 9457), from one handler; no stack trace ever leaves here."""

import http
import math
from typing import Any

import flask
from werkzeug.exceptions import HTTPException

from .. import errors
from ..capture.hooks import request_id
from ..domain.secret_values import masked
from ..telemetry import get_logger
from .paging import next_link

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 5  # about what a restarted Postgres or broker needs

STATUS_BY_ERROR: tuple[tuple[type[errors.OpsledgerError], int, str], ...] = (
    (errors.InvalidInput, 400, "invalid-input"),
    (errors.InvalidRecord, 400, "invalid-record"),
    (errors.Unauthenticated, 401, "unauthenticated"),
    (errors.Forbidden, 403, "forbidden"),
    (errors.NotFound, 404, "not-found"),
    (errors.Conflict, 409, "conflict"),
    (errors.QueryTimeout, 503, "query-timeout"),
    (errors.StoreUnavailable, 503, "store-unavailable"),
    (errors.ArchiveUnavailable, 503, "archive-unavailable"),
    (errors.NotKept, 503, "not-kept"),
    (errors.BrokerAway, 503, "broker-away"),
    (errors.NotManagedHere, 503, "not-managed-here"),
    (errors.ViewersClosed, 503, "viewers-closed"),
)

log = get_logger(__name__)


def register_problem_handlers(app: flask.Flask) -> None:
    """Answer every error of the app with problem details."""
    app.register_error_handler(errors.OpsledgerError, _from_ours)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _from_bug)


def problem(
    status: int,
    detail: str,
    *,
    kind: str,
    fields: tuple[errors.FieldError, ...] = (),
    more: dict[str, Any] | None = None,
) -> flask.Response:
    """A problem response.

    Args:
        kind: the last part of the problem's type, a stable name for programs.
        more: further members, by name.
    """
    body: dict[str, Any] = {
        "type": f"urn:opsledger:problem:{kind}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": masked(detail),
        "request_id": request_id(),
    }
    if fields:
        body["errors"] = [
            {"field": masked(field.field), "detail": masked(field.detail)} for field in fields
        ]
    body |= more or {}
    response = flask.jsonify(body)
    response.status_code = status
    response.content_type = PROBLEM_TYPE
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'ApiKey realm="opsledger"'
    return response


def _from_ours(error: errors.OpsledgerError) -> flask.Response:
    if isinstance(error, errors.ProviderError):
        return _from_provider(error)
    if isinstance(error, errors.CursorTooOld):
        response = problem(410, error.detail, kind="cursor-too-old")
        response.headers["Link"] = next_link(error.resume)
        return response
    if isinstance(error, errors.TooManyRequests):
        response = problem(429, error.detail, kind="too-many-requests")
        response.headers["Retry-After"] = str(error.retry_after_s)
        return response
    for kind, status, name in STATUS_BY_ERROR:
        if isinstance(error, kind):
            fields = error.errors if isinstance(error, errors.InvalidInput) else ()
            return problem(status, error.detail, kind=name, fields=fields)
    return _from_bug(error)


def _from_provider(error: errors.ProviderError) -> flask.Response:
    more: dict[str, Any] = {"code": error.code.value}
    if error.provider_code is not None:
        more["provider_code"] = error.provider_code
    kind = f"provider-{error.code.value.replace('_', '-')}"
    response = problem(error.status, error.detail, kind=kind, fields=error.fields, more=more)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return response


def _from_http(error: HTTPException) -> flask.Response:
    if error.response is not None and error.code is None:
        return flask.make_response(error.response)
    status = error.code or 500
    if status < 400:  # a redirect is no problem
        return flask.make_response(error.get_response())
    kind = http.HTTPStatus(status).phrase.lower().replace(" ", "-")
    detail = error.description or ""
    if status == 413:
        inflated = ", also when it is inflated" if flask.request.content_encoding else ""
        detail = f"The body may have at most {flask.request.max_content_length} bytes{inflated}"
    response = problem(status, detail, kind=kind)
    allowed = dict(error.get_headers()).get("Allow")
    if allowed:
        response.headers["Allow"] = allowed
    return response


def _from_bug(error: Exception) -> flask.Response:
    log.error("unexpected error", exc_info=error, request_id=request_id())
    detail = "Something went wrong here; the request id finds it in the service's log"
    return problem(500, detail, kind="internal-error")
