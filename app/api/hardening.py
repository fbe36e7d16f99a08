"""Headers that keep a browser from doing more with an answer than it is for.

Pages of other origins cannot read what this service answers, but for those of the origins that the
platform names, and of these no cookie is ever taken.
"""

from collections.abc import Collection

import flask

# Swagger UI sets styles inline, and loads nothing from elsewhere.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
HSTS = "max-age=31536000"  # s; a year

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

# What a page may send and read beyond what any page may.
CORS_REQUEST_HEADERS = "Content-Encoding, Content-Type, X-API-Key, X-Request-ID"
CORS_ANSWER_HEADERS = (
    "Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID, X-Search-Reached,"
    " X-Tail-End"
)
PREFLIGHT_MAX_AGE = "600"  # s; how long a browser need not ask again


def harden(response: flask.Response) -> None:
    """Add to an answer what browsers are to be told of it."""
    is_page = response.mimetype == "text/html"
    response.headers.update(EVERYWHERE)
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else DATA_POLICY)
    if "frame-ancestors 'none'" not in response.headers["Content-Security-Policy"]:
        del response.headers["X-Frame-Options"]  # which knows no list, and would overrule this one
    if flask.request.blueprint is not None:  # not the vendored files
        response.headers.setdefault("Cache-Control", "no-store")
    if flask.request.is_secure:
        response.headers["Strict-Transport-Security"] = HSTS


def share(response: flask.Response, origins: Collection[str]) -> None:
    """Let a page read an answer of the API, and ask for it, if it is of one of the origins."""
    if not origins:
        return
    response.vary.add("Origin")  # also where it is none of them, or a cache would mix the two
    request = flask.request
    origin = request.headers.get("Origin")
    if origin not in origins:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = CORS_ANSWER_HEADERS
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
        response.headers["Access-Control-Allow-Headers"] = CORS_REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = PREFLIGHT_MAX_AGE
