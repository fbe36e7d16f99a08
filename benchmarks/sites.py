"""A small web application without and with logging, to compare what its visitors notice.

The view does about a millisecond of work, as an adapter's does around its provider call: it reads
a JSON body, builds and writes an answer. SITE says which way it logs.
"""

import json
import os
from collections.abc import Callable
from functools import cache
from uuid import UUID

import flask
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from app import Opsledger, log_action
from app.domain.codec import encode
from app.domain.identity import created_at_of
from app.domain.records import BUILTIN_ACTION_TYPES, action_record
from app.store.models import ActionLogRow

from .task_per_record import insert_record

TENANT = UUID(os.environ.get("BENCH_TENANT", "0" * 32))
WORK = 30  # rounds of JSON, about a millisecond on the machine this was written on


def work(body: dict[str, object]) -> dict[str, object]:
    """What the view does besides logging."""
    for _ in range(WORK):
        body = json.loads(json.dumps(body))
    return {"id": "12345", "properties": body}


def log_nothing(request: dict[str, object], response: dict[str, object]) -> None:
    """The application by itself."""


def log_ours(request: dict[str, object], response: dict[str, object]) -> None:
    """log_action, as our users call it."""
    log_action(
        tenant_id=TENANT,
        action_type="crm_create",
        provider_name="hubspot",
        request_payload=request,
        response_data=response,
        status="success",
        execution_time_ms=12,
    )


def log_by_task(request: dict[str, object], response: dict[str, object]) -> None:
    """One Celery task per record, with Celery's defaults."""
    values = _values(request, response)
    record = action_record(values, action_types=BUILTIN_ACTION_TYPES)
    insert_record.delay(encode(record).decode())


def log_by_orm(request: dict[str, object], response: dict[str, object]) -> None:
    """One row by the ORM, inside the request."""
    values = _values(request, response)
    with Session(_engine()) as session, session.begin():
        session.add(
            ActionLogRow(created_at=created_at_of(values["id"]), batch_id=uuid7(), **values)
        )


def _values(request: dict[str, object], response: dict[str, object]) -> dict[str, object]:
    return {
        "id": uuid7(),
        "tenant_id": TENANT,
        "action_type": "crm_create",
        "provider_name": "hubspot",
        "request_payload": request,
        "response_data": response,
        "status": "success",
        "execution_time_ms": 12,
    }


@cache
def _engine():  # type: ignore[no-untyped-def]
    return create_engine(os.environ["OWNER_DATABASE_URL"])


WAYS: dict[str, Callable[[dict[str, object], dict[str, object]], None]] = {
    "none": log_nothing,
    "ours": log_ours,
    "task": log_by_task,
    "orm": log_by_orm,
}


def create() -> flask.Flask:
    """The application of SITE."""
    app, log = flask.Flask("site"), WAYS[os.environ["SITE"]]
    if os.environ["SITE"] == "ours":
        Opsledger(app)

    @app.post("/")
    def view() -> flask.Response:
        request = flask.request.get_json()
        response = work(request)
        log(request, response)
        return flask.jsonify(response)

    return app
