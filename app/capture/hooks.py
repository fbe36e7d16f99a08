"""The request hooks: they open a request's list of records, complete it at the end and keep it.

What a request captured is kept also when its view raised, and no error in here reaches the
response.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import flask
from flask.globals import request_ctx
from uuid_utils import uuid4  # without a system call, and so without losing the GIL

from ..domain.context import RequestContext, is_sane_request_id
from ..domain.records import IDENTIFIER_CHARS_MAX, TEXT_CHARS_MAX
from ..domain.secret_values import masked
from ..telemetry import get_logger
from .acting import NOBODY, Acting, current_acting
from .recorder import EXTENSION, PENDING, Recorder

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID_GIVEN = "HTTP_X_REQUEST_ID"  # the same in the WSGI environ, where a look costs less
OPENED = "opsledger.opened"  # when, by time.perf_counter, in the WSGI environ
REQUEST_ID = "opsledger.request_id"  # in the WSGI environ

Told = TypeVar("Told")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RequestValues:
    """How the host application says who asks: called within the request, None for nobody."""

    tenant_id: Callable[[], UUID | None] = lambda: None
    user_id: Callable[[], str | None] = lambda: None


def install_hooks(
    app: flask.Flask, recorder: Recorder, *, trusted_proxies: int, start: Callable[[], None]
) -> None:
    """Hook a recorder into every request of an app.

    Args:
        start: starts the shipper where it is not running yet, so that what a dead process left
            is shipped without waiting for this one to capture something; cheap to repeat.
        trusted_proxies: how many entries of X-Forwarded-For, from the right, were written by
            proxies of ours; 0 if the app is reached directly or uses ProxyFix itself.
    """
    recorder.request_context = lambda: _context_so_far(trusted_proxies)

    @app.before_request
    def open_request() -> None:
        environ = flask.request.environ
        environ[PENDING], environ[OPENED] = [], time.perf_counter()
        try:
            start()
        except Exception:  # no thread to be had: the next request tries again
            log.exception("shipper not started, records wait")

    @app.after_request
    def complete_and_keep(response: flask.Response) -> flask.Response:
        _keep(recorder, trusted_proxies, response.status_code)
        return response

    @app.teardown_request
    def keep_the_rest(_: BaseException | None) -> None:
        environ = flask.request.environ
        if environ.get(PENDING):
            _keep(recorder, trusted_proxies, None)
        environ.pop(PENDING, None)  # from here on records are kept at once


def request_id() -> str:
    """The current request's id: the caller's X-Request-ID if it is sane, else a new one."""
    return _request_id(flask.request.environ)


def _request_id(environ: dict[str, Any]) -> str:
    known: str | None = environ.get(REQUEST_ID)
    if known is None:
        given = environ.get(REQUEST_ID_GIVEN, "")
        known = given if is_sane_request_id(given) else uuid4().hex
        environ[REQUEST_ID] = known
    return known


def request_tenant() -> UUID | str | None:
    """The tenant of who acts here, else the current request's, as the host application tells it."""
    who = current_acting()
    if who.tenant_id is not None:
        return who.tenant_id
    if not flask.has_request_context() or EXTENSION not in flask.current_app.extensions:
        return None
    values: RequestValues = flask.current_app.extensions[EXTENSION].request_values
    return _told(values.tenant_id)


def request_acting() -> Acting:
    """The identity of the current request, as the host application tells it."""
    if not flask.has_request_context() or EXTENSION not in flask.current_app.extensions:
        return NOBODY
    values: RequestValues = flask.current_app.extensions[EXTENSION].request_values
    user_id = _storable(_told(values.user_id), IDENTIFIER_CHARS_MAX)
    return Acting(tenant_id=_told(values.tenant_id), user_id=user_id)


def client_ip(trusted_proxies: int) -> str | None:
    """The caller's address: the entry our outermost proxy added to X-Forwarded-For."""
    return _client_ip(flask.request.environ, trusted_proxies)


def _client_ip(environ: dict[str, Any], trusted_proxies: int) -> str | None:
    address: str | None = environ.get("REMOTE_ADDR")
    if trusted_proxies:
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if len(forwarded) >= trusted_proxies:
            return forwarded[-trusted_proxies].strip() or address
    return address


def _keep(recorder: Recorder, trusted_proxies: int, http_status: int | None) -> None:
    environ = flask.request.environ
    records = environ.get(PENDING)
    if not records:
        return
    environ[PENDING] = []
    context = None
    try:
        context = _context(trusted_proxies, http_status)
    except Exception:
        log.exception("request context not known, records kept without it")
    recorder.keep(records, context)


def _context_so_far(trusted_proxies: int) -> RequestContext | None:
    """What is known within a request; None outside of any, or of one without these hooks."""
    if not flask.has_request_context() or PENDING not in flask.request.environ:
        return None
    return _context(trusted_proxies, None)


def _context(trusted_proxies: int, http_status: int | None) -> RequestContext:
    request = request_ctx.request  # itself, where each look through the proxy has its price
    environ, rule = request.environ, request.url_rule
    values: RequestValues = flask.current_app.extensions[EXTENSION].request_values
    return RequestContext(
        request_id=_request_id(environ),
        method=request.method,
        route=rule.rule if rule else masked(_storable(request.path, TEXT_CHARS_MAX) or ""),
        ip_address=_client_ip(environ, trusted_proxies),
        user_agent=environ.get("HTTP_USER_AGENT"),
        user_id=_storable(_told(values.user_id), IDENTIFIER_CHARS_MAX),
        tenant_id=_told(values.tenant_id),
        http_status=http_status,
        duration_ms=(time.perf_counter() - environ[OPENED]) * 1000,
    )


def _told(ask: Callable[[], Told | None]) -> Told | None:
    """What the host application says of the request; None also where it fails to."""
    try:
        return ask()
    except Exception:
        log.exception("the application does not say who asks")
        return None


def _storable(value: object, chars_max: int) -> str | None:
    """A value of the request as a text that Postgres can hold, None if it is empty."""
    text = "" if value is None else str(value)
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:chars_max] or None
