"""Headers that keep a browser from doing more with an answer than it is for.

No header of CORS is ever sent: pages of other origins cannot read what this service answers.
"""

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


def harden(response: flask.Response) -> None:
    """Add to an answer what browsers are to be told of it."""
    is_page = response.mimetype == "text/html"
    response.headers.update(EVERYWHERE)
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else DATA_POLICY)
    if flask.request.blueprint is not None:  # not the vendored files
        response.headers.setdefault("Cache-Control", "no-store")
    if flask.request.is_secure:
        response.headers["Strict-Transport-Security"] = HSTS
