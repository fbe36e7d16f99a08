"""Health: alive says that the process answers, ready that it can do its work."""

from typing import Any

import flask

from ..broker import broker_of
from .service import current_service

blueprint = flask.Blueprint("health", __name__)


@blueprint.get("/health/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@blueprint.get("/health/ready")
def ready() -> tuple[dict[str, Any], int]:
    """Queries can be answered: 503 without the database; a broker away only delays records."""
    service = current_service()
    checks = {
        "database": "ok" if service.database.answers() else "away",
        "broker": "ok" if broker_of(service.settings).answers() else "away",
        "spool": "ok" if service.settings.spool_dir.is_dir() else "away",
    }
    if checks["database"] != "ok":
        return {"status": "unavailable", "checks": checks}, 503
    healthy = all(state == "ok" for state in checks.values())
    return {"status": "ok" if healthy else "degraded", "checks": checks}, 200
