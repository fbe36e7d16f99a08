"""Sessions of the dashboard: a signed cookie, and nothing kept on the server.

It holds the digest of an API key and not the key: that opens nothing without our signature, and
every request looks the key up anew, so that revoking it ends the session.
"""

import base64
import secrets
import time
from dataclasses import dataclass
from typing import Any

import flask
from itsdangerous import BadSignature, URLSafeSerializer

from ..errors import OpsledgerError

COOKIE = "opsledger_session"
SALT = "opsledger session 1"
VISIT_S = 3600  # how long somebody may look at the sign-in form before it has to be loaded anew
NONCE_BYTES = 18
CURRENT = "_opsledger_session"  # in flask.g


class SessionsClosed(OpsledgerError):
    """Nobody can sign in here: the operator has to set OPSLEDGER_SESSION_KEY."""


class ForgedForm(OpsledgerError):
    """This form was not sent from a page of this session; load the page again and repeat."""


@dataclass(frozen=True, slots=True)
class Session:
    """A visit to the dashboard, signed in if it has a digest.

    Args:
        nonce: what forms have to send back; other sites cannot read it.
        expires_at: seconds since the epoch.
        digest: of the API key.
    """

    nonce: str
    expires_at: int
    digest: bytes | None = None


class Sessions:
    """Signs and reads sessions.

    Args:
        key: the secret of the platform; empty closes the dashboard.
        hours: how long a session lasts, in hours.
    """

    def __init__(self, key: str, hours: int) -> None:
        self._signer = URLSafeSerializer(key, salt=SALT) if key else None
        self._seconds = hours * 3600

    @property
    def open(self) -> bool:
        """Whether anybody can sign in."""
        return self._signer is not None

    def begin(self, digest: bytes | None = None) -> Session:
        """A new session: of a key, or of a visitor who has yet to give one."""
        seconds = self._seconds if digest else VISIT_S
        return Session(secrets.token_urlsafe(NONCE_BYTES), int(time.time()) + seconds, digest)

    def seal(self, session: Session) -> str:
        """The text of a cookie.

        Raises:
            SessionsClosed: there is no key to sign it with.
        """
        if self._signer is None:
            raise SessionsClosed
        digest = base64.b64encode(session.digest).decode() if session.digest else ""
        return str(self._signer.dumps([session.nonce, session.expires_at, digest]))

    def read(self, sealed: str) -> Session | None:
        """The session of a cookie; None if it is not ours or has ended."""
        if self._signer is None:
            return None
        try:
            nonce, expires_at, digest = self._signer.loads(sealed)
        except BadSignature:
            return None
        if expires_at <= time.time():
            return None
        return Session(nonce, expires_at, base64.b64decode(digest) or None)


def sessions() -> Sessions:
    """The sessions of the current app."""
    found: Sessions = flask.current_app.extensions["opsledger-sessions"]
    return found


def current_session() -> Session | None:
    """The session of the current request."""
    if CURRENT not in flask.g:
        sealed = flask.request.cookies.get(COOKIE, "")
        setattr(flask.g, CURRENT, sessions().read(sealed) if sealed else None)
    found: Session | None = flask.g.get(CURRENT)
    return found


def set_session(response: flask.Response, session: Session) -> None:
    """Give the browser a session; a form that is rendered from now on belongs to it."""
    setattr(flask.g, CURRENT, session)
    response.set_cookie(
        COOKIE,
        sessions().seal(session),
        max_age=session.expires_at - int(time.time()),
        **_cookie_options(),
    )


def end_session(response: flask.Response) -> None:
    """Take the session away from the browser."""
    setattr(flask.g, CURRENT, None)
    response.delete_cookie(COOKIE, **_cookie_options())


def check_form() -> None:
    """Refuse a form that another site has sent.

    Raises:
        ForgedForm: it does not have what only a page of this session could know.
    """
    session = current_session()
    sent = flask.request.form.get("csrf", "")
    if session is None or not secrets.compare_digest(sent.encode(), session.nonce.encode()):
        raise ForgedForm
    if flask.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise ForgedForm


def _cookie_options() -> dict[str, Any]:
    return {"httponly": True, "samesite": "Lax", "secure": flask.request.is_secure, "path": "/"}
