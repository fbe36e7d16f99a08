"""The API's documentation page, from vendored files: it asks no other host for anything."""

import flask
from werkzeug.wrappers import Response

blueprint = flask.Blueprint("docs", __name__)


@blueprint.get("/docs")
def docs() -> str:
    """The page that shows /openapi.json."""
    return flask.render_template("docs.html")


@blueprint.get("/")
def home() -> Response:
    """Lead a visitor to the documentation, until there is a dashboard."""
    return flask.redirect(flask.url_for("docs.docs"))
