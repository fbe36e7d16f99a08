"""Lists as bytes: what the store lists, or the points of a series, go straight into JSON.

A schema would look at every field of every row; for a page of 1,000 that costs more than the query.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import flask
import orjson

from ..domain.analytics import SeriesPoint
from ..domain.identity import format_time
from ..store.listing import ListedRow
from .withholding import all_shown


def respond_list(
    rows: Sequence[ListedRow], headers: Mapping[str, str] | None = None
) -> flask.Response:
    """A JSON array of the rows, each with its fields in the contract's order, as the key of this
    request may see them.
    """
    response = _response(all_shown(rows))
    response.headers.update(headers or {})
    return response


def respond_series(points: Sequence[SeriesPoint]) -> flask.Response:
    """A JSON array of the points, whose fields are those of their schema."""
    return _response(points)


def _response(items: Sequence[Any]) -> flask.Response:
    body = orjson.dumps(items, default=_shown, option=orjson.OPT_PASSTHROUGH_DATETIME)
    return flask.Response(body, mimetype="application/json")


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return format_time(value)
    raise TypeError(f"{type(value)} has no place in a list")
