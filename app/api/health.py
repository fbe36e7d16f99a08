"""Health: alive says that the process answers, ready that it can do its work."""

from typing import Any

import flask

from ..broker import broker_of
from ..domain.identity import format_time
from ..pipeline.periodic import UNKNOWN, Beat, look_at_beat
from .service import current_service

blueprint = flask.Blueprint("health", __name__)


@blueprint.get("/health/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@blueprint.get("/health/ready")
def ready() -> tuple[dict[str, Any], int]:
    """Queries can be answered: 503 without the database.

    Without the broker records are only delayed, without beat upkeep waits: that is degraded.
    """
    service = current_service()
    there = service.database.answers()
    # Without a database a second try would only take as long again.
    beat = look_at_beat(service.database, service.settings.heartbeat_s) if there else Beat(UNKNOWN)
    checks = {
        "database": "ok" if there else "away",
        "broker": "ok" if broker_of(service.settings).answers() else "away",
        "spool": "ok" if service.settings.spool_dir.is_dir() else "away",
        "beat": beat.state,
    }
    healthy = all(state == "ok" for state in checks.values())
    status = ("ok" if healthy else "degraded") if there else "unavailable"
    seen = format_time(beat.last_seen) if beat.last_seen else None
    return {"status": status, "checks": checks, "beat_last_seen": seen}, 200 if there else 503
