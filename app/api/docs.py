"""The API's documentation page, from vendored files: it asks no other host for anything."""

import flask

blueprint = flask.Blueprint("docs", __name__)


@blueprint.get("/docs")
def docs() -> str:
    """The page that shows /openapi.json."""
    return flask.render_template("docs.html")
