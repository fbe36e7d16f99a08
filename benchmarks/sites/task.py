"""One Celery task per record, with Celery's defaults."""

from typing import Any

import flask

from app.domain.codec import encode
from app.domain.records import BUILTIN_ACTION_TYPES, action_record
from benchmarks.task_per_record import insert_record

from .values import action_values
from .view import flask_site


def create() -> flask.Flask:
    """A delay() for each request."""
    return flask_site(_log)


def _log(request: dict[str, Any], response: dict[str, Any]) -> None:
    record = action_record(action_values(request, response), action_types=BUILTIN_ACTION_TYPES)
    insert_record.delay(encode(record).decode())
