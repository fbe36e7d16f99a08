"""Lists as bytes: what the store lists, or the points of a series, go straight into JSON.

A schema would look at every field of every row; for a page of 1,000 that costs more than the query.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import flask
import orjson

from ..domain.identity import format_time


def respond_list(rows: Sequence[Any], headers: Mapping[str, str] | None = None) -> flask.Response:
    """A JSON array of the rows, each with its fields in the contract's order.

    Args:
        rows: as the store lists them, or dataclasses whose fields are those of the schema.
    """
    body = orjson.dumps(rows, default=_shown, option=orjson.OPT_PASSTHROUGH_DATETIME)
    response = flask.Response(body, mimetype="application/json")
    response.headers.update(headers or {})
    return response


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return format_time(value)
    raise TypeError(f"{type(value)} has no place in a list")
