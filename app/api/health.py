"""Health: alive says that the process answers, ready that it can do its work."""

from typing import Any

import flask

from ..broker import broker_of
from ..domain.identity import format_time
from ..pipeline.periodic import OK, UNKNOWN, Beat, look_at_beat
from ..spool import spool_status
from ..store.pipeline_state import PipelineState
from ..worker import ALERTS_TASK, ARCHIVE_TASK, HEARTBEAT_TASK, PARTITIONS_TASK
from .service import Service, current_service

blueprint = flask.Blueprint("health", __name__)


@blueprint.get("/health/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@blueprint.get("/health/ready")
def ready() -> tuple[dict[str, Any], int]:
    """Queries can be answered: 503 without the database.

    Without the broker records are only delayed, without beat upkeep waits, without the archive old
    records stay in Postgres: that is degraded.
    """
    service = current_service()
    there = service.database.answers()
    # Without a database a second try would only take as long again.
    beat = look_at_beat(service.database, service.settings.heartbeat_s) if there else Beat(UNKNOWN)
    state = service.figures.state() if there else None
    checks = {
        "database": "ok" if there else "away",
        "broker": "ok" if broker_of(service.settings).answers() else "away",
        "spool": "ok" if service.settings.spool_dir.is_dir() else "away",
        "beat": beat.state,
        "archive": _archive(state),
    }
    healthy = all(state == "ok" for state in checks.values())
    status = ("ok" if healthy else "degraded") if there else "unavailable"
    seen = format_time(beat.last_seen) if beat.last_seen else None
    ages_s = _ages_s(service, state)
    body = {"status": status, "checks": checks, "beat_last_seen": seen, "ages_s": ages_s}
    return body, 200 if there else 503


def _archive(state: PipelineState | None) -> str:
    """Why runs of the archive fail, if they do; a failing one costs disk alone."""
    if state is None:
        return UNKNOWN
    reason = state.archive.reason if state.archive else None
    return reason.value if reason else OK


def _ages_s(service: Service, state: PipelineState | None) -> dict[str, float | None]:
    """How long ago each part last did its work, in seconds; None where that is not known."""
    tasks = state.task_age_s if state else {}
    oldest_s = spool_status(service.settings.spool_dir).oldest_age_s
    ages_s = {
        "spool": oldest_s,
        "beat": tasks.get(HEARTBEAT_TASK),
        "fold": state.fold_lag_s if state else None,
        "alerts": tasks.get(ALERTS_TASK),
        "partitions": tasks.get(PARTITIONS_TASK),
        "archive": tasks.get(ARCHIVE_TASK),
    }
    return {part: None if age is None else round(age, 1) for part, age in ages_s.items()}
