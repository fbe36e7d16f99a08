"""Every route says who may call it, so that a new one cannot be open by being forgotten."""

from collections.abc import Iterator

import flask
import pytest

from app.config import Settings
from app.domain.access import Scope
from app.factory import close_app, create_app

PUBLIC = {
    "/sign-in": "who has a key gets a session here",
    "/sign-out": "ends a session, whoever holds it",
    "/docs": "the documentation page",
    "/openapi.json": "the documentation itself",
    "/health/live": "probes have no key",
    "/health/ready": "probes have no key",
    "/api/v1/exports/<export_id>/file": "the link is signed, and works for a quarter of an hour",
    "/metrics": "nobody's records; what names a tenant takes a token",
    "/static/<path:filename>": "vendored assets",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[flask.Flask]:
    """The service, not connected to anything."""
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))
    yield app
    close_app(app, grace_s=0)


def test_every_route_needs_a_scope_or_is_public_for_a_reason(app: flask.Flask) -> None:
    """A route that declares neither fails here."""
    for rule in app.url_map.iter_rules():
        scope = getattr(app.view_functions[rule.endpoint], "required_scope", None)
        assert isinstance(scope, Scope) != (rule.rule in PUBLIC), rule


def test_every_route_says_what_it_leaves_on_record_or_why_nothing(app: flask.Flask) -> None:
    """One of the two; who changes something may not leave nothing."""
    for rule in app.url_map.iter_rules():
        if rule.rule in PUBLIC:
            continue
        view = app.view_functions[rule.endpoint]
        leaves, nothing = getattr(view, "leaves", ""), getattr(view, "leaves_nothing", "")
        assert bool(leaves) != bool(nothing), f"{rule}: say leaves= or leaves_nothing="
        if nothing:
            assert rule.methods is not None
            assert rule.methods <= {"GET", "HEAD", "OPTIONS"}, rule


def test_every_public_route_exists(app: flask.Flask) -> None:
    """The list of exceptions does not outlive what it excepts."""
    assert set(PUBLIC) <= {rule.rule for rule in app.url_map.iter_rules()}


def test_log_routes_only_read(app: flask.Flask) -> None:
    """Query endpoints are read-only."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1/logs"):
            assert rule.methods is not None
            assert rule.methods <= {"GET", "HEAD", "OPTIONS"}, rule
