"""Signing in with an API key, and out again."""

import threading
from urllib.parse import urlsplit

import flask
from cachetools import TTLCache
from werkzeug.wrappers import Response

from ..auth import KEY_CHARS_MAX, KEY_DIGEST, authorize, hash_secret
from ..capture import AuditService
from ..capture.hooks import client_ip
from ..capture.recorder import EXTENSION
from ..domain.access import Principal, Scope
from ..errors import Forbidden, Unauthenticated
from ..telemetry import SIGN_INS, get_logger
from .pages import Page, pages_named, render
from .session import check_form, current_session, end_session, sessions, set_session

blueprint = pages_named("sign_in")

ATTEMPTS_MAX = 10  # failed ones of an address within the window, in each process
ATTEMPTS_WINDOW_S = 60.0
ADDRESSES_MAX = 10_000

log = get_logger(__name__)


class Attempts:
    """Counts failed attempts by address; it forgets them when the window is over."""

    def __init__(self) -> None:
        self._failed: TTLCache[str, int] = TTLCache(ADDRESSES_MAX, ATTEMPTS_WINDOW_S)
        self._lock = threading.Lock()

    def exhausted(self, address: str) -> bool:
        """Whether the address has to wait."""
        with self._lock:
            return self._failed.get(address, 0) >= ATTEMPTS_MAX

    def fail(self, address: str) -> None:
        """Count a failed attempt; the window is that of the last one."""
        with self._lock:
            self._failed[address] = self._failed.get(address, 0) + 1


attempts = Attempts()


@blueprint.get("/sign-in")
def show_form() -> Page:
    """The sign-in form; who is signed in is led on."""
    session = current_session()
    if session is not None and session.digest is not None:
        return flask.redirect(_wanted())
    return _form(ended="ended" in flask.request.args)


@blueprint.post("/sign-in")
def sign_in() -> Page:
    """Begin a session with the key that was given, if it may read logs."""
    check_form()
    address = client_ip(flask.current_app.extensions[EXTENSION].settings.trusted_proxies) or ""
    if attempts.exhausted(address):
        SIGN_INS.labels("limited").inc()
        response = _form(f"Too many attempts. Try again in {ATTEMPTS_WINDOW_S:.0f} seconds.")
        response.headers["Retry-After"] = f"{ATTEMPTS_WINDOW_S:.0f}"
        response.status_code = 429
        return response
    secret = flask.request.form.get("key", "").strip()[: KEY_CHARS_MAX + 1]
    flask.request.environ[KEY_DIGEST] = hash_secret(secret)
    try:
        principal = authorize(Scope.LOGS_READ)
    except Unauthenticated:
        attempts.fail(address)
        return _refuse(
            "This key is unknown, expired or revoked. Copy it whole, or ask for a new one."
        )
    except Forbidden as error:
        return _refuse(f"{error.detail}. The dashboard needs a key with the scope logs:read.")
    SIGN_INS.labels("done").inc()
    response = flask.make_response(flask.redirect(_wanted(), 303))
    set_session(response, sessions().begin(hash_secret(secret)))
    _put_on_record(principal, "sign_in")
    return response


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """End the session."""
    check_form()
    response = flask.make_response(flask.redirect("/sign-in", 303))
    end_session(response)
    return response


def _put_on_record(principal: Principal, action: str) -> None:
    AuditService().log_change(
        tenant_id=principal.tenant_id,
        action=action,
        resource_type="dashboard",
        resource_id=principal.prefix,
        user_id=f"key:{principal.prefix}",
    )


def _refuse(reason: str) -> flask.Response:
    SIGN_INS.labels("refused").inc()
    response = _form(reason)
    response.status_code = 401
    return response


def _form(reason: str = "", *, ended: bool = False) -> flask.Response:
    """The form, in a session of its own, so that no other site can send it."""
    held = sessions()
    extension = flask.current_app.extensions[EXTENSION]
    visitor = held.begin()
    response = render(
        "sign_in.html",
        reason=reason,
        ended=ended,
        wanted=_wanted(),
        csrf=visitor.nonce,
        closed=not held.open,
        demo=extension.settings.demo,
    )
    if held.open:
        set_session(response, visitor)
    return response


def _wanted() -> str:
    """The page to go on to: one of ours, whatever the URL says."""
    wanted = flask.request.values.get("next", "/")
    parts = urlsplit(wanted)
    ours = wanted.startswith("/") and not parts.scheme and not parts.netloc
    return wanted if ours and "\\" not in wanted and not wanted.startswith("//") else "/"
