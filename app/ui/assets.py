"""Static files by content: a URL names the file's hash, so that browsers may keep it for ever."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import flask

FOREVER_S = 31_536_000  # a year, the most that HTTP caches promise
HASH_CHARS = 12


def version_assets(app: flask.Flask) -> None:
    """Have url_for() name the version of every static file."""
    folder = Path(app.static_folder or "")

    @cache
    def version_of(filename: str) -> str:
        return hashlib.sha256((folder / filename).read_bytes()).hexdigest()[:HASH_CHARS]

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and "filename" in values:
            values.setdefault("v", version_of(values["filename"]))

    @app.after_request
    def keep_versioned(response: flask.Response) -> flask.Response:
        if flask.request.endpoint == "static" and "v" in flask.request.args:
            response.headers["Cache-Control"] = f"public, max-age={FOREVER_S}, immutable"
        return response
