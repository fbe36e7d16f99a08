"""The application on Flask."""

from collections.abc import Callable
from typing import Any

import flask

from .work import work

Log = Callable[[dict[str, Any], dict[str, Any]], object]


def flask_site(log: Log) -> flask.Flask:
    """Reads a JSON body, works, logs, answers."""
    app = flask.Flask("site")

    @app.post("/")
    def view() -> flask.Response:
        request = flask.request.get_json()
        response = work(request, flask.request.headers)
        log(request, response)
        return flask.jsonify(response)

    return app
