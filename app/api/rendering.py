"""Lists as bytes: what the store lists goes straight into JSON.

A schema would look at every field of every row; for a page of 1,000 that costs more than the query.
"""

from collections.abc import Mapping, Sequence

import flask
import orjson

from ..store.listing import ListedRow
from .withholding import all_shown


def respond_list(
    rows: Sequence[ListedRow], headers: Mapping[str, str] | None = None
) -> flask.Response:
    """A JSON array of the rows, each with its fields in the contract's order, as the key of this
    request may see them.
    """
    body = orjson.dumps(all_shown(rows))
    response = flask.Response(body, mimetype="application/json")
    response.headers.update(headers or {})
    return response
