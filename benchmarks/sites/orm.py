"""One row by the ORM, inside the request."""

import os
from typing import Any

import flask
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from app.domain.identity import created_at_of
from app.store.models import ActionLogRow

from .values import action_values
from .view import flask_site


def create() -> flask.Flask:
    """A transaction for each request."""
    engine = create_engine(os.environ["OWNER_DATABASE_URL"])

    def log(request: dict[str, Any], response: dict[str, Any]) -> None:
        values = action_values(request, response)
        with Session(engine) as session, session.begin():
            session.add(
                ActionLogRow(created_at=created_at_of(values["id"]), batch_id=uuid7(), **values)
            )

    return flask_site(log)
