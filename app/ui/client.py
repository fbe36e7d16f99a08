"""The dashboard's only source: the HTTP API, called in-process as the key that signed in.

Scopes, limits, withholding and validation are the API's, so no page can show what a call would not.
"""

import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import flask
from werkzeug.test import run_wsgi_app

from ..auth import KEY_DIGEST
from ..capture.hooks import REQUEST_ID_GIVEN, request_id

BASE = "/api/v1"
# What of the browser's request the API has to know: where it came from, and by which name.
KEPT = frozenset(
    {"REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SCRIPT_NAME", "HTTP_HOST"}
    | {"HTTP_USER_AGENT", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"}
    | {"HTTP_X_FORWARDED_HOST", "wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess"}
    | {"wsgi.errors", "wsgi.version", "wsgi.run_once", KEY_DIGEST}
)
NEXT_LINK = re.compile(r'<([^>]+)>; rel="next"')

Parameters = Iterable[tuple[str, str]]


class ApiProblem(Exception):
    """The API refused: its problem document.

    Args:
        status: the HTTP status.
        body: the problem, with detail, request_id and perhaps errors.
    """

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.detail = str(body.get("detail", ""))
        self.request_id = str(body.get("request_id", ""))
        self.fields = {str(e["field"]): str(e["detail"]) for e in body.get("errors", ())}
        super().__init__(self.detail)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered.

    Args:
        body: the JSON value.
        after: the cursor that leads on; None at the end of a list.
        headers: all of them.
    """

    body: Any
    after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def ask(path: str, parameters: Parameters = ()) -> Answer:
    """GET a path below /api/v1, its parts not quoted.

    Raises:
        ApiProblem: the status is no success.
    """
    return _call("GET", path, {"QUERY_STRING": urlencode(list(parameters))}, b"")


def tell(method: str, path: str, body: Any = None) -> Answer:
    """Have something changed: POST, PATCH or DELETE a path below /api/v1, with a JSON value.

    Raises:
        ApiProblem: the status is no success.
    """
    content = b"" if body is None else json.dumps(body).encode()
    said = {} if body is None else {"CONTENT_TYPE": "application/json"}
    return _call(method, path, {**said, "CONTENT_LENGTH": str(len(content))}, content)


def _call(method: str, path: str, more: Mapping[str, str], content: bytes) -> Answer:
    outer = flask.request.environ
    environ = {name: outer[name] for name in KEPT & outer.keys()}
    environ |= {
        "REQUEST_METHOD": method,
        "PATH_INFO": f"{BASE}{path}".encode().decode("latin-1"),  # as PEP 3333 has it
        "QUERY_STRING": "",
        "wsgi.input": io.BytesIO(content),
        REQUEST_ID_GIVEN: request_id(),
        **more,
    }
    application = flask.current_app.wsgi_app
    chunks, status_line, headers = run_wsgi_app(application, environ, buffered=True)
    status, answered = int(status_line.split()[0]), b"".join(chunks)
    body = json.loads(answered) if answered else None
    if status >= 400:
        raise ApiProblem(status, body or {})
    return Answer(body, _cursor(headers.get("Link", "")), dict(headers))


def _cursor(link: str) -> str | None:
    found = NEXT_LINK.match(link)
    return parse_qs(urlsplit(found.group(1)).query)["after"][-1] if found else None
