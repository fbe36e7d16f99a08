"""GET /metrics, and how long each endpoint takes."""

import hmac
import time

import flask

from ..errors import Unauthenticated
from ..telemetry import REQUEST_SECONDS
from .service import current_service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STARTED = "_opsledger_started"  # in flask.g
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others: as one

blueprint = flask.Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def show_metrics() -> flask.Response:
    """The figures of this host and of the pipeline, for Prometheus.

    What names tenants, or was named by them, is shown with the token of the settings alone.
    """
    body = current_service().figures.render(of_tenants=_may_see_tenants())
    return flask.Response(body, content_type=CONTENT_TYPE)


def _may_see_tenants() -> bool:
    given = flask.request.headers.get("Authorization", "")
    if not given:
        return False
    token = current_service().settings.metrics_token
    if not token or not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise Unauthenticated("This token is not that of OPSLEDGER_METRICS_TOKEN")
    return True


def measure_requests(app: flask.Flask) -> None:
    """Measure every request of the app by its endpoint, so that no caller makes up a name."""

    @app.before_request
    def begin() -> None:
        setattr(flask.g, STARTED, time.perf_counter())

    @app.after_request
    def end(response: flask.Response) -> flask.Response:
        started = flask.g.get(STARTED)
        if started is not None:
            method = flask.request.method if flask.request.method in METHODS else "other"
            endpoint = flask.request.endpoint or "none"
            labels = REQUEST_SECONDS.labels(method, endpoint, str(response.status_code))
            labels.observe(time.perf_counter() - started)
        return response
